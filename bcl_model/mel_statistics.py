"""What a spectrum alone says of a song: mean, spread and restlessness of every mel band; no model, numpy alone.

It is what learned sound is compared with, and enough to hear a genre by.

    vector (3 bands) = mean over frames ‖ deviation over frames ‖ mean step from frame to frame,  in tens of decibels
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float32]

_QUIET = 1e-10


@dataclass(frozen=True)
class MelStatistics:
    bands: int = 32
    window_s: float = 0.064
    hop_s: float = 0.048
    below_peak_db: float = 80.0

    @property
    def size(self) -> int:
        return 3 * self.bands

    def of(self, samples: npt.NDArray[np.floating], rate: int) -> Vector:
        """Of mono sound, at least two windows long."""
        window, hop = round(self.window_s * rate), round(self.hop_s * rate)
        if len(samples) < window + hop:
            raise ValueError(f"{len(samples)} samples at {rate} Hz, wanted at least {window + hop}")
        frames = np.lib.stride_tricks.sliding_window_view(samples.astype(np.float32), window)[::hop]
        power = np.abs(np.fft.rfft(frames * np.hanning(window).astype(np.float32))) ** 2
        decibels = 10 * np.log10(power @ mel_bank(rate, window, self.bands).T + _QUIET)  # (T, bands)
        decibels = np.maximum(decibels, decibels.max() - self.below_peak_db) - decibels.max()
        steps = np.abs(np.diff(decibels, axis=0))
        vector = np.concatenate([decibels.mean(axis=0), decibels.std(axis=0), steps.mean(axis=0)]) / 10
        return vector.astype(np.float32)


def mel_bank(rate: int, window: int, bands: int) -> npt.NDArray[np.float32]:
    """(bands, bins): triangles with evenly spaced peaks on the mel scale 2595 log10(1 + f / 700)."""
    frequencies = np.fft.rfftfreq(window, 1 / rate)
    highest = 2595 * np.log10(1 + rate / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, highest, bands + 2) / 2595) - 1)
    low, peak, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    triangles = np.minimum((frequencies - low) / (peak - low), (high - frequencies) / (high - peak)).clip(0)
    for empty in np.flatnonzero(triangles.sum(axis=1) == 0):  # narrower than a bin: the nearest one
        triangles[empty, np.abs(frequencies - edges[empty + 1]).argmin()] = 1
    bank: npt.NDArray[np.float32] = triangles.astype(np.float32)
    return bank
