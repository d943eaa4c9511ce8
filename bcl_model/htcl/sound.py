"""Sound files as samples: wav, flac, ogg and mp3 in, the first seconds of one channel at the model's rate out."""

from io import BytesIO
from math import gcd
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.signal import resample_poly

from bcl_model.errors import BadData, ModelError
from bcl_model.htcl.settings import SoundSettings

try:
    import soundfile
except ModuleNotFoundError:  # only what reads or writes sound files needs it
    soundfile = None

Samples = npt.NDArray[np.float32]

SOUND_FILES = (".wav", ".flac", ".ogg", ".mp3")
RATES = (1_000, 768_000)  # outside of them a header is not believed


class UnreadableSound(BadData):
    """These bytes are no sound that can be read, or it is too short to be heard."""


def read_sound(source: Path | bytes, settings: SoundSettings) -> Samples:
    """Channels are averaged; no more of a long file is decoded than is heard."""
    need_soundfile()
    name = source.name if isinstance(source, Path) else f"a sound of {len(source)} bytes"
    try:
        with soundfile.SoundFile(BytesIO(source) if isinstance(source, bytes) else str(source)) as file:
            rate = int(file.samplerate)
            if not RATES[0] <= rate <= RATES[1]:
                raise UnreadableSound(f"{name} says a sample rate of {rate} Hz, wanted {RATES[0]} to {RATES[1]}")
            heard = file.read(frames=int(np.ceil(settings.seconds * rate)), dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError) as error:
        raise UnreadableSound(f"{name} cannot be read as sound: {error}") from error
    if not len(heard):
        raise UnreadableSound(f"{name} holds no samples")
    if not np.isfinite(heard).all():
        raise UnreadableSound(f"{name} holds samples that are not finite")
    return resampled(heard.mean(axis=1), rate, settings.sample_rate)


def resampled(samples: Samples, rate: int, wanted: int) -> Samples:
    if rate == wanted:
        return samples
    common = gcd(rate, wanted)
    changed: Samples = resample_poly(samples, wanted // common, rate // common).astype(np.float32)
    return changed


def write_sound(path: Path, samples: Samples, rate: int) -> None:
    """The format follows from the ending."""
    need_soundfile()
    soundfile.write(str(path), np.clip(samples, -1, 1), rate)


def need_soundfile() -> None:
    """Raises ModelError if sounds cannot be decoded here."""
    if soundfile is None:
        raise ModelError("the package soundfile is missing; install the extra: pip install 'bcl-matching[htcl]'")
