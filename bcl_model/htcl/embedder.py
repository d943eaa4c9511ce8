"""A trained model at work: sounds and texts in, vectors of unit length out; the same for a file and for a release."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from bcl_model.htcl.artifact import read_htcl
from bcl_model.htcl.corpus import Corpus, Ints
from bcl_model.htcl.mel import LogMel, together
from bcl_model.htcl.model import Htcl
from bcl_model.htcl.sound import Samples, UnreadableSound, read_sound
from bcl_model.htcl.words import rows_of

Floats = npt.NDArray[np.float32]


class Embedder:
    def __init__(self, name: str, model: Htcl, *, device: str = "cpu", bf16: bool = False) -> None:
        self.name, self.size, self.hears = name, model.settings.size, model.settings.sound
        self._model = model.to(device).eval()
        self._mel = LogMel(model.settings.sound)
        self._device, self._bf16 = torch.device(device), bf16

    @classmethod
    def load(cls, folder: Path, *, device: str = "cpu", bf16: bool = False) -> "Embedder":
        artifact = read_htcl(folder)
        return cls(artifact.name, artifact.model, device=device, bf16=bf16)

    def frames(self, source: Path | bytes | Samples) -> Tensor:
        """(T, mels) of a sound file or of samples at the model's rate; raises UnreadableSound."""
        samples = source if isinstance(source, np.ndarray) else read_sound(source, self._mel.settings)
        frames = self._mel(samples)
        fewest = self._model.audio_encoder.fewest_frames
        if len(frames) < fewest:
            seconds = (fewest - 1) * self._mel.settings.hop_s
            raise UnreadableSound(f"the sound has {len(frames)} frames, wanted at least {fewest} ({seconds:.2g} s)")
        return frames

    def sounds(self, frames: Sequence[Tensor]) -> Floats:
        """(n, size) of what `frames` gave."""
        if not frames:
            return np.zeros((0, self.size), np.float32)
        with torch.inference_mode(), self._precision():
            return _unit_rows(self._model.audio(together(frames).to(self._device)))

    def texts(self, texts: Sequence[str]) -> Floats:
        """(n, size)."""
        if not texts:
            return np.zeros((0, self.size), np.float32)
        with torch.inference_mode(), self._precision():
            return _unit_rows(self._model.text(self._model.text_encoder.tokens(texts).to(self._device)))

    def words_of(self, corpus: Corpus, rows: Ints) -> Floats:
        """(n, size) of these songs' texts; what the text encoder makes of them is kept beside the corpus."""
        said = rows_of(corpus, self._model.text_encoder, self._device)
        with torch.inference_mode(), self._precision():
            return _unit_rows(self._model.text(said[torch.from_numpy(rows).to(self._device)]))

    def _precision(self) -> torch.autocast:
        return torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16)


def _unit_rows(rows: Tensor) -> Floats:
    units: Floats = functional.normalize(rows.float()).cpu().numpy()
    return units
