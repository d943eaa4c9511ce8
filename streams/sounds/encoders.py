"""What hears a sound and reads a text: the spectrum alone, or a trained HTCL model."""

import wave
from io import BytesIO
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from bcl_model.mel_statistics import MelStatistics
from streams.catalogue.featurize_songs import ContentEncoder, Vector
from streams.errors import BadSettings, UnusableSound
from streams.settings import FeaturizeSettings
from streams.sounds.decoder import Decoders, decoder_command

if TYPE_CHECKING:
    from bcl_model.htcl.embedder import Embedder

MEL = "mel"
HEARD_S = 120  # from the beginning
_SAMPLES = {1: ("u1", 128.0, 128.0), 2: ("<i2", 0.0, 32_768.0), 4: ("<i4", 0.0, 2_147_483_648.0)}


def encoder_of(settings: FeaturizeSettings) -> ContentEncoder:
    """Mel statistics, or a trained model. Raises BadSettings if there is none."""
    return MelEncoder() if settings.encoder == MEL else HtclEncoder.load(settings)


class MelEncoder:
    """Hears wav alone and reads nothing: no package and no training, for trials and for comparison."""

    def __init__(self) -> None:
        self._statistics = MelStatistics()
        self.name, self.size = f"{MEL}-{self._statistics.bands}", self._statistics.size

    def sound(self, raw: bytes) -> Vector:
        check_whole(raw)
        samples, rate = read_wav(raw)
        try:
            return self._statistics.of(samples, rate)
        except ValueError as error:
            raise UnusableSound(f"the sound is too short: {error}") from error

    def text(self, title: str, caption: str, lyrics: str) -> Vector | None:
        return None

    def close(self) -> None:
        pass


class HtclEncoder:
    """One song at a time: whatever else is embedded cannot change a bit of it."""

    def __init__(self, embedder: "Embedder", decoders: Decoders) -> None:
        self.name, self.size = embedder.name, embedder.size
        self._embedder, self._decoders, self._turn = embedder, decoders, Lock()

    @classmethod
    def load(cls, settings: FeaturizeSettings) -> "HtclEncoder":
        from bcl_model.errors import ModelError
        from bcl_model.htcl.embedder import Embedder  # torch: only where it is asked for
        from bcl_model.htcl.sound import need_soundfile

        try:
            need_soundfile()
            embedder = Embedder.load(Path(settings.encoder), device=settings.device)
        except (ModelError, OSError) as error:
            raise BadSettings(
                f"[featurize] encoder is {settings.encoder}, wanted mel or a trained model: {error}"
            ) from error
        heard = embedder.hears
        command = decoder_command(heard.sample_rate, heard.seconds, settings.decode_within_s, settings.decode_bytes)
        return cls(embedder, Decoders(command, settings.decoders))

    def sound(self, raw: bytes) -> Vector:
        from bcl_model.htcl.sound import UnreadableSound

        check_whole(raw)
        samples = self._decoders.decoded(raw)
        try:
            frames = self._embedder.frames(samples)
        except UnreadableSound as error:
            raise UnusableSound(f"the sound cannot be heard: {error}") from error
        with self._turn:
            vector: Vector = self._embedder.sounds([frames])[0]
            return vector

    def text(self, title: str, caption: str, lyrics: str) -> Vector | None:
        from bcl_model.htcl.text_encoder import song_text

        with self._turn:
            vector: Vector = self._embedder.texts([song_text(title=title, caption=caption, lyrics=lyrics)])[0]
            return vector

    def close(self) -> None:
        self._decoders.close()


def check_whole(raw: bytes) -> None:
    """A wav says how long it is; decoders would hear the part that is there."""
    if raw[:4] == b"RIFF" and len(raw) >= 8:
        told = int.from_bytes(raw[4:8], "little") + 8
        if len(raw) < told < 0xFFFFFFFF:  # streamed ones say the most that can be said
            raise UnusableSound(f"the sound is {len(raw)} bytes long and says that it has {told}: its end is missing")


def read_wav(raw: bytes) -> tuple[npt.NDArray[np.float32], int]:
    """The first two minutes as mono samples, and their rate."""
    try:
        with wave.open(BytesIO(raw)) as sound:
            width, channels, rate = sound.getsampwidth(), sound.getnchannels(), sound.getframerate()
            if width not in _SAMPLES or not 1_000 <= rate <= 768_000:
                raise UnusableSound(f"the sound has {8 * width} bits at {rate} Hz, wanted 8, 16 or 32 at 1 to 768 kHz")
            data = sound.readframes(HEARD_S * rate)
    except (wave.Error, EOFError, ValueError, ZeroDivisionError) as error:
        why = str(error) or "it ends early"
        raise UnusableSound(f"the sound of {len(raw)} bytes cannot be read as wav: {why}") from error
    kind, middle, most = _SAMPLES[width]
    samples = np.frombuffer(data[: len(data) // (width * channels) * width * channels], dtype=kind)
    mono = (samples.astype(np.float32) - middle) / most
    return mono.reshape(-1, channels).mean(axis=1), rate
