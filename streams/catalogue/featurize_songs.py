"""Makes the vectors of releases that come as sound and text, and passes the releases on."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

import numpy as np
import numpy.typing as npt

from streams.contracts.dead_letters import DeadLetter
from streams.contracts.messages import Batch, Message
from streams.contracts.releases import AudioRelease, Release
from streams.contracts.topics import SONG_RELEASES
from streams.errors import UnusableSound
from streams.settings import FeaturizeSettings

Vector = npt.NDArray[np.float32]

DIGITS = 6  # of a number in a vector


class Sounds(Protocol):
    """The port to wherever sounds lie; called by several threads."""

    def fetched(self, uri: str) -> bytes:
        """Raises UnusableSound if it may not be had, or cannot."""
        ...


class ContentEncoder(Protocol):
    """The port to the model; called by several threads. A vector follows from its own sound or text alone."""

    @property
    def name(self) -> str: ...

    @property
    def size(self) -> int: ...

    def sound(self, raw: bytes) -> Vector:
        """Of a whole file. Raises UnusableSound if it is none, or too short."""
        ...

    def text(self, title: str, caption: str, lyrics: str) -> Vector | None:
        """None: this encoder does not read."""
        ...

    def close(self) -> None:
        """Nothing is heard afterwards."""
        ...


@dataclass(frozen=True)
class FeaturizeSongs:
    """One release follows from one, in the same order and with its time; it keeps no state.

    A second time it says the same bytes, if the sound is still the same: audio_sha256 makes sure of that.
    """

    sounds: Sounds
    encoder: ContentEncoder
    settings: FeaturizeSettings
    threads: Executor | None = None  # None: one song after the other

    def handle(self, batch: Batch[AudioRelease]) -> list[Message | DeadLetter]:
        outputs: list[Message | DeadLetter] = []
        releases = [release for release in batch.values if release is not None]  # the topic has no withdrawals
        for n, filled in enumerate(self._each(self._filled, releases)):
            if isinstance(filled, str):
                outputs.append(batch.dead_letter(n, filled))
            else:
                outputs.append(Message(SONG_RELEASES, filled.song_id, filled, batch.times_ms[n]))
        return outputs

    def _each(
        self, do: Callable[[AudioRelease], Release | str], releases: Iterable[AudioRelease]
    ) -> Iterator[Release | str]:
        return map(do, releases) if self.threads is None else self.threads.map(do, releases)

    def _filled(self, release: AudioRelease) -> Release | str:
        """Or why not."""
        try:
            made = self._made(release)
        except UnusableSound as reason:
            return str(reason)
        for field, vector in made.items():
            if not np.isfinite(vector).all():
                return f"field {field!r}: {self.encoder.name} makes numbers of it that are not finite"
        vectors = {field: tuple(np.round(vector.astype(np.float64), DIGITS).tolist()) for field, vector in made.items()}
        told = {name: getattr(release, name) for name in Release.__struct_fields__}
        return Release(**(told | {"vectors": {**vectors, **release.vectors}, "vectors_by": self.encoder.name}))

    def _made(self, release: AudioRelease) -> dict[str, Vector]:
        """What the release does not say itself."""
        made: dict[str, Vector] = {}
        audio, text = self.settings.audio_field, self.settings.text_field
        if audio not in release.vectors:
            made[audio] = self.encoder.sound(self._sound(release))
        if text and text not in release.vectors and (release.title or release.caption or release.lyrics):
            read = self.encoder.text(release.title, release.caption or in_words(release), release.lyrics)
            if read is not None:
                made[text] = read
        return made

    def _sound(self, release: AudioRelease) -> bytes:
        raw = self.sounds.fetched(release.audio_uri)
        if release.audio_sha256 and (found := sha256(raw).hexdigest()) != release.audio_sha256:
            raise UnusableSound(
                f"audio_sha256 is {release.audio_sha256}, what audio_uri {release.audio_uri!r:.200} names has {found}"
            )
        return raw


def in_words(release: Release) -> str:
    """A caption made of the attributes, sorted by name: `genre: folk. moods: calm, warm. tempo: 92.5.`"""
    said = []
    for name, value in sorted(release.attributes.items()):
        words = ", ".join(sorted(set(value))) if isinstance(value, tuple) else value
        said.append(f"{name}: {words:g}." if isinstance(words, float) else f"{name}: {words}.")
    return " ".join(said)
