"""How HTCL hears a song, as frozen values; the defaults are the published sizes.

Grades: FOUND is in the authors' code; everything else is our reconstruction: the paper does not publish this value.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class SoundSettings:
    sample_rate: int = 16_000  # our reconstruction: so the windows are 2048 and 1536 samples
    seconds: float = 120.0  # FOUND: from the beginning; the rest is not heard
    window_s: float = 0.128  # FOUND: Hann
    hop_s: float = 0.096  # FOUND
    mels: int = 128  # FOUND
    below_peak_db: float = 80.0  # FOUND: what is quieter counts as this quiet


@dataclass(frozen=True)
class AudioSettings:
    """FOUND, every one."""

    channels: tuple[int, ...] = (512, 512, 512)
    kernels: tuple[int, ...] = (5, 3, 3)
    strides: tuple[int, ...] = (2, 2, 2)
    width: int = 768
    position_kernel: int = 31
    position_groups: int = 16
    layers: int = 12
    heads: int = 12
    feed_forward: int = 3072
    dropout: float = 0.1


@dataclass(frozen=True)
class HtclSettings:
    sound: SoundSettings = field(default_factory=SoundSettings)
    audio: AudioSettings = field(default_factory=AudioSettings)
