"""The log-mel frames of a corpus, made once and kept beside it: half precision, mapped, gone on with after a crash.

    .spectra-3f9a…/frames.npy    (songs, most frames, mels), float16, standardised, zeros behind the end
    .spectra-3f9a…/lengths.npy   (songs,), frames of each; NOT_YET or UNREADABLE in place of a length

The name follows from the front end and from the songs' paths, so another front end never reads these.
"""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from bcl_model.htcl.corpus import Corpus, Ints
from bcl_model.htcl.mel import Heard, LogMel
from bcl_model.htcl.settings import SoundSettings
from bcl_model.htcl.sound import UnreadableSound, read_sound

NOT_YET, UNREADABLE = 0, -1


class Spectra:
    def __init__(self, corpus: Corpus, settings: SoundSettings, fewest_frames: int) -> None:
        """Songs of fewer frames than the fewest count as unreadable."""
        self._corpus, self._mel, self._fewest = corpus, LogMel(settings), fewest_frames
        told = json.dumps([asdict(settings), corpus.audio])
        kept = corpus.folder / f".spectra-{sha256(told.encode()).hexdigest()[:12]}"
        kept.mkdir(exist_ok=True)
        self._frames = _mapped(
            kept / "frames.npy", (len(corpus), self._mel.most_frames, settings.mels), np.dtype(np.float16)
        )
        self._lengths = _mapped(kept / "lengths.npy", (len(corpus),), np.dtype(np.int32))

    def prepare(self, threads: int = 1, done: Callable[[int, int], None] = lambda done, of: None) -> list[str]:
        """Makes what is missing; says which songs cannot be heard and are left out, and why."""
        waiting = np.flatnonzero(self._lengths == NOT_YET).tolist()
        refused = []
        with ThreadPoolExecutor(threads) as pool:
            for n, (row, reason) in enumerate(zip(waiting, pool.map(self._make, waiting), strict=True), 1):
                if reason:
                    refused.append(f"{self._corpus.songs[row]}: {reason}")
                done(n, len(waiting))
        self._frames.flush()
        self._lengths.flush()
        return refused

    def heard(self, rows: Ints) -> Ints:
        """Those of the rows that can be heard."""
        return rows[np.asarray(self._lengths)[rows] > 0]

    def of(self, rows: Ints) -> Heard:
        lengths = np.asarray(self._lengths)[rows]
        frames = np.asarray(self._frames[rows, : int(lengths.max())])
        return Heard(torch.from_numpy(frames).float(), torch.from_numpy(lengths.astype(np.int64)))

    def _make(self, row: int) -> str:
        try:
            frames = self._mel(read_sound(self._corpus.folder / self._corpus.audio[row], self._mel.settings))
            if len(frames) < self._fewest:
                raise UnreadableSound(f"it has {len(frames)} frames, wanted at least {self._fewest}")
        except UnreadableSound as error:
            self._lengths[row] = UNREADABLE
            return str(error)
        self._frames[row, : len(frames)] = frames.numpy()
        self._lengths[row] = len(frames)  # last: a length says that the frames are there
        return ""


def _mapped(file: Path, shape: tuple[int, ...], kind: npt.DTypeLike) -> "np.memmap[Any, np.dtype[Any]]":
    if not file.exists():
        aside = file.with_name(f".{file.name}")
        np.lib.format.open_memmap(aside, mode="w+", dtype=kind, shape=shape).flush()
        aside.rename(file)
    return np.lib.format.open_memmap(file, mode="r+")
