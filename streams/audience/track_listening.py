"""A play refreshes its listener, and a sample of the plays tells each song who listens to it."""

from collections.abc import Iterable
from dataclasses import dataclass
from operator import attrgetter

import numpy as np

from streams.audience.audience import Audience, Plays
from streams.audience.rings import Times
from streams.audience.sampled_plays import Numbers, Sampled, SampledPlays, strengths
from streams.audience.song_plays import SongPlays
from streams.contracts.crowds import AudienceSamples
from streams.contracts.messages import Batch, Message
from streams.contracts.plays import Play
from streams.contracts.topics import AUDIENCE_SAMPLES
from streams.settings import ListeningSettings
from streams.state.store import Store


@dataclass
class TrackListening:
    """Samples are named by the offsets of their plays and do not depend on where a batch was cut."""

    audience: Audience
    store: Store
    settings: ListeningSettings
    song_partitions: int

    def __post_init__(self) -> None:
        self._songs = SongPlays(self.store, self.song_partitions)
        self._sampled = SampledPlays(self.audience, self._songs, self.settings)

    def handle(self, batch: Batch[Play]) -> list[Message]:
        plays = [play for play in batch.values if play is not None]  # the door lets no other one in
        strengths = strengths_of(plays, self.settings)
        effective = np.flatnonzero(strengths)
        if len(effective) == 0:
            return []
        if len(effective) < len(plays):
            plays = [plays[n] for n in effective.tolist()]
        self.audience.sweep()
        song_ids, listener_ids = list(map(_SONG_ID, plays)), list(map(_LISTENER_ID, plays))
        songs = self._songs.numbers(song_ids)
        heard = Plays(
            listener_ids=listener_ids,
            slots=self.audience.slots_of(listener_ids),
            song_keys=self._songs.keys[songs],
            played_ms=_times(map(_PLAYED_MS, plays), len(plays)),
            strengths=strengths[effective],
            markets=self.audience.markets_of(list(map(_MARKET, plays))),
        )
        samples = _Samples(heard, song_ids, effective, self._sampled.fold(heard, songs))
        return [
            samples.message(batch, partition, rows, self.audience.songs.artifact)
            for partition, rows in enumerate(
                _by_partition(self._songs.partitions[songs[samples.sampled.plays]], self.song_partitions)
            )
            if len(rows)
        ]


@dataclass(frozen=True, slots=True, eq=False)
class _Samples:
    """The sampled ones of the plays of a batch."""

    heard: Plays
    song_ids: list[str]  # of each play
    records: Numbers  # of the batch, of each play
    sampled: Sampled

    def message(self, batch: Batch[Play], song_partition: int, rows: Numbers, artifact: str) -> Message:
        plays = self.sampled.plays[rows]
        records = self.records[plays].tolist()
        value = AudienceSamples(
            listener_partition=batch.partition,
            artifact=artifact,
            offsets=tuple([batch.offsets[n] for n in records]),
            song_ids=tuple([self.song_ids[n] for n in plays.tolist()]),
            listener_keys=self.sampled.listener_keys[rows].astype("<u8").tobytes(),
            played_ms=self.heard.played_ms[plays].astype("<i8").tobytes(),
            embeddings=self.sampled.embeddings[rows].astype("<f4").tobytes(),
            strengths=(self.heard.strengths[plays] / 1_000).astype("<f4").tobytes(),
        )
        return Message(AUDIENCE_SAMPLES, str(song_partition), value, batch.times_ms[records[-1]], song_partition)


def strengths_of(plays: list[Play], settings: ListeningSettings) -> Times:
    listened_ms, song_ms = (_times(map(of, plays), len(plays)) for of in (_LISTENED_MS, _SONG_MS))
    return strengths(listened_ms, song_ms, np.fromiter(map(_LIKED, plays), np.bool_, len(plays)), settings)


def _by_partition(partitions: Numbers, count: int) -> list[Numbers]:
    """The rows of each partition, in order."""
    rows = np.argsort(partitions, kind="stable")
    return np.split(rows, np.cumsum(np.bincount(partitions, minlength=count))[:-1])


def _times(values: Iterable[int], count: int) -> Times:
    return np.fromiter(values, np.int64, count)


_LISTENER_ID, _SONG_ID, _MARKET = attrgetter("listener_id"), attrgetter("song_id"), attrgetter("market")
_PLAYED_MS, _LISTENED_MS, _SONG_MS = attrgetter("played_ms"), attrgetter("listened_ms"), attrgetter("song_ms")
_LIKED = attrgetter("liked")
