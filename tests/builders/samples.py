"""Audience samples in one line; and a log of many, seeded."""

from dataclasses import dataclass

import numpy as np

from streams.contracts.crowds import AudienceSamples, ListenersForgotten
from streams.contracts.ids import key_of
from streams.contracts.messages import Batch
from streams.contracts.topics import AUDIENCE_SAMPLES

DAY_MS = 86_400_000
NOW = 1_700_000_000_000
Value = AudienceSamples | ListenersForgotten


@dataclass(frozen=True, slots=True)
class Sample:
    song: str
    by: str
    embedding: tuple[float, ...]
    at: int = NOW
    strength: float = 1.0


def samples(*several: Sample, first: int = 0, partition: int = 0, artifact: str = "a1") -> AudienceSamples:
    """The record that carries them, as plays from offset `first` on."""
    embeddings = np.array([one.embedding for one in several], np.float64)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    return AudienceSamples(
        listener_partition=partition,
        artifact=artifact,
        offsets=tuple(range(first, first + len(several))),
        song_ids=tuple(one.song for one in several),
        listener_keys=np.array([key_of(one.by) for one in several], "<u8").tobytes(),
        played_ms=np.array([one.at for one in several], "<i8").tobytes(),
        embeddings=embeddings.astype("<f4").tobytes(),
        strengths=np.array([one.strength for one in several], "<f4").tobytes(),
    )


def forgotten(*listeners: str) -> ListenersForgotten:
    return ListenersForgotten(np.array([key_of(listener) for listener in listeners], "<u8").tobytes())


def batch(*values: Value, first: int = 0) -> Batch[Value]:
    """Records from offset `first` on, a second apart."""
    count = len(values)
    offsets = range(first, first + count)
    return Batch(
        AUDIENCE_SAMPLES.name, 0, first + count, offsets, [NOW + 1000 * offset for offset in offsets],
        [b"0"] * count, values, [b"raw"] * count,
    )  # fmt: skip


def log(count: int, *, songs: int = 5, listeners: int = 60, dimension: int = 8, seed: int = 7) -> list[Sample]:
    """Listeners of four tastes, songs of unequal popularity with two tastes each, 60 days, some of it late."""
    random = np.random.default_rng(seed)
    tastes = np.linalg.qr(random.normal(size=(dimension, 4)))[0].T
    popularity = 1 / np.arange(1, songs + 1)
    drawn = []
    for n in range(count):
        song = int(random.choice(songs, p=popularity / popularity.sum()))
        taste = (song + int(random.random() < 0.3)) % 4
        listener = int(random.integers(listeners // 4)) * 4 + taste
        late_ms = int(random.exponential(10 * DAY_MS)) if random.random() < 0.2 else 0
        drawn.append(
            Sample(
                f"s{song}",
                f"listener-{listener}",
                tuple(tastes[taste] + 0.3 * random.normal(size=dimension)),
                at=NOW + n * 60 * DAY_MS // count - late_ms,
                strength=float(random.choice([1, 2, 5])),
            )
        )
    return drawn
