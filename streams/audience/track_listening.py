"""A play refreshes its listener, and a sample of the plays tells each song who listens to it."""

from collections.abc import Iterable
from dataclasses import dataclass
from operator import attrgetter
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from streams.audience.audience import STALE_AT_MOST, Audience, Folded, Plays
from streams.audience.listener import thousandths
from streams.audience.rings import Embeddings, Keys, Times
from streams.audience.song_plays import SongPlays
from streams.contracts.crowds import AudienceSamples
from streams.contracts.ids import unit_draws
from streams.contracts.messages import Batch, Message
from streams.contracts.plays import Play
from streams.contracts.topics import AUDIENCE_SAMPLES
from streams.settings import ListeningSettings
from streams.state.store import Store

SAMPLING = 0x73616D70  # so that sampling and other draws are independent

Numbers: TypeAlias = NDArray[np.int64]


@dataclass
class TrackListening:
    """Samples are named by the offsets of their plays and do not depend on where a batch was cut.

    The n-th play of a song in this partition is sampled if n <= sampled_plays, or else with a chance of
    sampled_plays / n: a hit does not flood the topic. A sample holds the listener as they were before the play.
    """

    audience: Audience
    store: Store
    settings: ListeningSettings
    song_partitions: int

    def __post_init__(self) -> None:
        self._songs = SongPlays(self.store, self.song_partitions)

    def handle(self, batch: Batch[Play]) -> list[Message]:
        plays = [play for play in batch.values if play is not None]  # the door lets no other one in
        strengths = strengths_of(plays, self.settings)
        effective = np.flatnonzero(strengths)
        if len(effective) == 0:
            return []
        if len(effective) < len(plays):
            plays = [plays[n] for n in effective.tolist()]
        song_ids = list(map(_SONG_ID, plays))
        songs = self._songs.numbers(song_ids)
        heard = Plays(
            listener_ids=list(map(_LISTENER_ID, plays)),
            song_ids=song_ids,
            song_keys=self._songs.keys[songs],
            played_ms=_times(map(_PLAYED_MS, plays), len(plays)),
            strengths=strengths[effective],
            markets=list(map(_MARKET, plays)),
        )
        folded = self.audience.fold(heard)
        nth = self._songs.count(songs, folded.is_counted)
        sampled = np.flatnonzero(folded.is_counted & (self._draws(folded, heard) * nth < self.settings.sampled_plays))
        embeddings = folded.embeddings_before(sampled)
        told = np.flatnonzero(embeddings.any(axis=1))
        samples = _Samples(heard, folded.listener_keys, effective, sampled[told], embeddings[told])
        self.audience.refresh(stale_at_most=STALE_AT_MOST)
        return [
            samples.message(batch, partition, rows, self.audience.songs.artifact)
            for partition, rows in enumerate(
                _by_partition(self._songs.partitions[songs[samples.plays]], self.song_partitions)
            )
            if len(rows)
        ]

    def _draws(self, folded: Folded, heard: Plays) -> NDArray[np.float64]:
        return unit_draws(SAMPLING, folded.listener_keys, heard.song_keys, heard.played_ms.astype(np.uint64))


@dataclass(frozen=True, slots=True, eq=False)
class _Samples:
    """The sampled ones of the plays of a batch."""

    heard: Plays
    listener_keys: Keys  # of each play
    records: Numbers  # of the batch, of each play
    plays: Numbers  # of each sample
    embeddings: Embeddings  # of each sample

    def message(self, batch: Batch[Play], song_partition: int, rows: Numbers, artifact: str) -> Message:
        plays = self.plays[rows]
        records = self.records[plays].tolist()
        value = AudienceSamples(
            listener_partition=batch.partition,
            artifact=artifact,
            offsets=tuple([batch.offsets[n] for n in records]),
            song_ids=tuple([self.heard.song_ids[n] for n in plays.tolist()]),
            listener_keys=self.listener_keys[plays].astype("<u8").tobytes(),
            played_ms=self.heard.played_ms[plays].astype("<i8").tobytes(),
            embeddings=self.embeddings[rows].astype("<f4").tobytes(),
            strengths=(self.heard.strengths[plays] / 1_000).astype("<f4").tobytes(),
        )
        return Message(AUDIENCE_SAMPLES, str(song_partition), value, batch.times_ms[records[-1]], song_partition)


def strengths_of(plays: list[Play], settings: ListeningSettings) -> Times:
    """`listener.strength_of` each play in thousandths; 0 for one that is not effective."""
    listened_ms = _times(map(_LISTENED_MS, plays), len(plays))
    song_ms = _times(map(_SONG_MS, plays), len(plays))
    is_effective = listened_ms >= settings.effective_s * 1_000
    is_effective |= (song_ms > 0) & (listened_ms >= settings.effective_share * song_ms)
    is_completed = (song_ms > 0) & (listened_ms >= settings.completed_share * song_ms)
    is_liked = np.fromiter(map(_LIKED, plays), np.bool_, len(plays))
    strengths = np.where(is_completed, thousandths(settings.strength_completed), thousandths(settings.strength_played))
    strengths[is_liked] = thousandths(settings.strength_liked)
    return np.where(is_effective, strengths, 0)


def _by_partition(partitions: Numbers, count: int) -> list[Numbers]:
    """The rows of each partition, in order."""
    rows = np.argsort(partitions, kind="stable")
    return np.split(rows, np.cumsum(np.bincount(partitions, minlength=count))[:-1])


def _times(values: Iterable[int], count: int) -> Times:
    return np.fromiter(values, np.int64, count)


_LISTENER_ID, _SONG_ID, _MARKET = attrgetter("listener_id"), attrgetter("song_id"), attrgetter("market")
_PLAYED_MS, _LISTENED_MS, _SONG_MS = attrgetter("played_ms"), attrgetter("listened_ms"), attrgetter("song_ms")
_LIKED = attrgetter("liked")
