"""The log-mel front end: samples in, frames of decibels out, standardised over what was really heard.

frames (T, mels) = standardised( max(10 log10 mel power, peak - 80 dB) ),   T = samples / hop + 1

The authors pad to a fixed length first and standardise over the padding; here padding comes last and counts nowhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bcl_model.htcl.settings import SoundSettings
from bcl_model.htcl.sound import Samples, UnreadableSound
from bcl_model.mel_statistics import mel_bank

_QUIET = 1e-10


@dataclass(frozen=True)
class Heard:
    """Songs side by side, zeros where a song has ended."""

    frames: Tensor  # (B, T, mels)
    lengths: Tensor  # (B,), frames of each song

    def __len__(self) -> int:
        return len(self.lengths)

    def to(self, device: str | torch.device) -> "Heard":
        return Heard(self.frames.to(device), self.lengths.to(device))


class LogMel:
    def __init__(self, settings: SoundSettings) -> None:
        self.settings = settings
        self.window = round(settings.window_s * settings.sample_rate)
        self.hop = round(settings.hop_s * settings.sample_rate)
        self.most_frames = round(settings.seconds * settings.sample_rate) // self.hop + 1
        self._hann = torch.hann_window(self.window)
        self._bank = torch.from_numpy(mel_bank(settings.sample_rate, self.window, settings.mels))

    def decibels(self, samples: Samples) -> Tensor:
        """(T, mels), not below the floor under the peak."""
        heard = torch.from_numpy(np.ascontiguousarray(samples, dtype=np.float32))
        heard = heard[: round(self.settings.seconds * self.settings.sample_rate)]
        if len(heard) <= self.window // 2:
            raise UnreadableSound(f"the sound has {len(heard)} samples, wanted more than {self.window // 2}")
        spectrum = torch.stft(
            heard, self.window, self.hop, window=self._hann, center=True, pad_mode="reflect", return_complex=True
        )
        power = self._bank @ spectrum.abs().square()  # (mels, bins) @ (bins, T) -> (mels, T)
        decibels = 10 * torch.log10(power.clamp_min(_QUIET)).T
        return decibels.clamp_min(float(decibels.max()) - self.settings.below_peak_db)

    def __call__(self, samples: Samples) -> Tensor:
        return standardised(self.decibels(samples))


def standardised(decibels: Tensor) -> Tensor:
    return (decibels - decibels.mean()) / (decibels.std(correction=0) + 1e-8)


def together(songs: Sequence[Tensor]) -> Heard:
    """(T, mels) each; padded to the longest."""
    lengths = torch.tensor([len(song) for song in songs])
    return Heard(torch.nn.utils.rnn.pad_sequence(list(songs), batch_first=True), lengths)
