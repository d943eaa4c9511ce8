"""A folder of songs to train on: what is known of each, which pairs please alike, and who is held out.

    songs.parquet      song_id, audio (a path below the folder), artist (a name or a list of them); title, caption and
                       lyrics where there are any; every other column of text is a tag that probes may ask for
    feedback.parquet   trigger, recalled, shown, liked: how often a song was recommended because of another, and how
                       often that pleased; for stage 2 only

Held out are artists (or songs), never rows: no pair and no batch of the training holds a song of theirs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from bcl_model.errors import BadData
from bcl_model.htcl.settings import FeedbackSettings, HeldOutBy, RunSettings
from bcl_model.htcl.text_encoder import song_text

Ints = npt.NDArray[np.int64]

SONGS, FEEDBACK = "songs.parquet", "feedback.parquet"
_WORDS = ("title", "caption", "lyrics")
_KNOWN = ("song_id", "audio", "artist", *_WORDS)


@dataclass(frozen=True)
class Feedback:
    """Columns of equal length; songs as their rows."""

    triggers: Ints
    recalled: Ints
    shown: Ints
    liked: Ints

    def pairs(self, settings: FeedbackSettings) -> Ints:
        """(P, 2), trigger and recalled: of the pairs shown often enough those whose rate of likes is high."""
        is_judged = (self.shown >= settings.min_shown) & (self.triggers != self.recalled)
        if not is_judged.any():
            return np.zeros((0, 2), dtype=np.int64)
        rates = self.liked[is_judged] / self.shown[is_judged]
        pleased = rates >= np.quantile(rates, settings.min_like_rate)
        return np.stack([self.triggers[is_judged][pleased], self.recalled[is_judged][pleased]], axis=1)


@dataclass(frozen=True)
class Corpus:
    """Columns of equal length, a song a row."""

    folder: Path
    songs: tuple[str, ...]
    audio: tuple[str, ...]  # below the folder
    artists: tuple[tuple[str, ...], ...]
    texts: tuple[str, ...]
    tags: Mapping[str, tuple[str | None, ...]]
    feedback: Feedback | None

    def __len__(self) -> int:
        return len(self.songs)


@dataclass(frozen=True)
class Split:
    """Rows of songs; a song of artists from both sides is on neither."""

    training: Ints
    held_out: Ints


def read_corpus(folder: Path) -> Corpus:
    table = _read(folder / SONGS)
    for column in ("song_id", "audio"):
        if column not in table:
            raise BadData(f"{folder / SONGS} has no column {column!r}, only {', '.join(sorted(table))}")
    songs, count = tuple(map(str, table["song_id"])), len(table["song_id"])
    rows = {song: row for row, song in enumerate(songs)}
    if len(rows) < count:
        twice = next(song for row, song in enumerate(songs) if rows[song] != row)
        raise BadData(f"{folder / SONGS} names the song {twice!r} twice")
    words = [[str(said or "") for said in table.get(column, [None] * count)] for column in _WORDS]
    return Corpus(
        folder=folder,
        songs=songs,
        audio=tuple(map(str, table["audio"])),
        artists=tuple(_artists(said, song) for said, song in zip(table.get("artist", songs), songs, strict=True)),
        texts=tuple(song_text(*said) for said in zip(*words, strict=True)),
        tags={
            name: tuple(values)
            for name, values in table.items()
            if name not in _KNOWN and all(value is None or isinstance(value, str) for value in values)
        },
        feedback=_feedback(folder / FEEDBACK, rows) if (folder / FEEDBACK).exists() else None,
    )


def split_of(corpus: Corpus, run: RunSettings) -> Split:
    """The same for the same seed: what a training holds out, its probe finds again."""
    owners: Sequence[Sequence[str]] = corpus.artists
    if run.held_out_by is HeldOutBy.SONG:
        owners = [(song,) for song in corpus.songs]
    names = sorted({name for some in owners for name in some})
    if len(names) < 2:
        raise BadData(f"all {len(corpus)} songs are of one {run.held_out_by}, wanted at least two: one is held out")
    count = min(max(1, round(run.held_out_share * len(names))), len(names) - 1)
    unseen = {names[n] for n in np.random.default_rng([run.seed, 1]).permutation(len(names))[:count]}
    return Split(
        training=np.flatnonzero([not any(name in unseen for name in some) for some in owners]),
        held_out=np.flatnonzero([all(name in unseen for name in some) for some in owners]),
    )


def _feedback(file: Path, rows: Mapping[str, int]) -> Feedback:
    table = _read(file)
    if missing := sorted({"trigger", "recalled", "shown", "liked"} - table.keys()):
        raise BadData(f"{file} has no column {missing[0]!r}, only {', '.join(sorted(table))}")
    for name in ("trigger", "recalled"):
        if unknown := next((song for song in table[name] if str(song) not in rows), None):
            raise BadData(f"{file}: {name} names the song {unknown!r}, which {SONGS} does not have")
    try:
        shown, liked = (np.array(table[name], dtype=np.int64) for name in ("shown", "liked"))
    except (TypeError, ValueError) as error:
        raise BadData(f"{file}: shown and liked are counts: {error}") from None
    odd = np.flatnonzero((liked < 0) | (liked > shown))
    if len(odd):
        raise BadData(f"{file}: row {odd[0]} was shown {shown[odd[0]]} times and liked {liked[odd[0]]} times")
    triggers, recalled = (
        np.array([rows[str(song)] for song in table[name]], dtype=np.int64) for name in ("trigger", "recalled")
    )
    return Feedback(triggers, recalled, shown, liked)


def _artists(said: Any, song: str) -> tuple[str, ...]:
    """A song that names none is its own: nobody else's."""
    names = tuple(map(str, said)) if isinstance(said, list) else (str(said),) if said else ()
    return names or (f"only {song}",)


def _read(file: Path) -> dict[str, list[Any]]:
    try:
        columns: dict[str, list[Any]] = pq.read_table(file).to_pydict()
        return columns
    except FileNotFoundError:
        raise BadData(f"{file} is missing; `bcl htcl train --help` says what the folder holds") from None
    except (OSError, pa.ArrowInvalid) as error:
        raise BadData(f"{file} cannot be read as parquet: {error}") from error
