"""What the rivals would have chosen for each release of an exact replay, knowing what its decision knew."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from streams.audience.audience import Audience
from streams.catalogue.warm_songs import WarmSongs
from streams.contracts.embeddings import SongEmbedded
from streams.contracts.queries import AudienceQuery
from streams.recording.played import NameTable
from streams.replay import rivals
from streams.replay.choices import Choice
from streams.replay.rivals import Shortlist
from streams.state.store import Store

Numbers: TypeAlias = NDArray[np.int64]
Counts: TypeAlias = Callable[[int, Store], Numbers]  # plays that a partition has read, by listener

FREE = -1  # a slot without a listener


@dataclass
class _Release:
    facts: SongEmbedded | None = None
    eligible: dict[int, int] = field(default_factory=dict)  # by partition
    shortlists: dict[str, dict[int, Shortlist]] = field(default_factory=dict)  # of each rival


class Bystanders:
    """A witness. A release is named by its query and when it was decided: the same song may be released again."""

    def __init__(self, listeners: NameTable, counts: Counts, half_life_ms: float) -> None:
        self._listeners, self._counts, self._half_life_ms = listeners, counts, half_life_ms
        self._releases: dict[tuple[str, int], _Release] = {}
        self._numbers: dict[int, tuple[Audience, int, Numbers]] = {}

    def matched(self, query: AudienceQuery, embedded: SongEmbedded, warm: WarmSongs) -> None:
        self._release(query).facts = embedded

    def asked(self, query: AudienceQuery, partition: int, audience: Audience, store: Store) -> None:
        """They choose from whoever could be reached, under no limits of their own."""
        release = self._release(query)
        audience.refresh()
        matrix, slots = audience.matrix, audience.slots
        may = audience.is_present() & matrix.has_embedding[:slots] & matrix.consents[:slots]
        may &= ~matrix.is_held_out[:slots] & ~audience.has_heard(query.song_id)
        if query.markets:
            may &= audience.is_in(query.markets)
        who = np.flatnonzero(may)
        release.eligible[partition] = len(who)
        numbers, plays = self._numbers_of(partition, audience)[who], self._counts(partition, store)
        scores = rivals.scores(audience, who, query, plays[numbers], self._half_life_ms)
        for name, score in scores.items():
            best = rivals.shortlist(numbers, matrix.listener_keys[who], score, query.budget)
            release.shortlists.setdefault(name, {})[partition] = best

    def facts(self, query: AudienceQuery) -> SongEmbedded | None:
        return self._release(query).facts

    def chosen(self, query: AudienceQuery, partitions: Iterable[int]) -> dict[str, Choice]:
        """Of the partitions whose answers were merged."""
        release, wanted = self._release(query), sorted(partitions)
        eligible = sum(release.eligible.get(partition, 0) for partition in wanted)
        shortlists: dict[str, Sequence[Shortlist]] = {
            name: [there[partition] for partition in wanted if partition in there]
            for name in rivals.NAMES
            if (there := release.shortlists.get(name, {})) is not None
        }
        return {
            name: Choice.by_score(*rivals.merged(some, query.budget), eligible=eligible)
            for name, some in shortlists.items()
        }

    def _release(self, query: AudienceQuery) -> _Release:
        return self._releases.setdefault((query.query_id, query.decided_ms), _Release())

    def _numbers_of(self, partition: int, audience: Audience) -> Numbers:
        """By slot; a slot has its listener until one is given up."""
        known, given_up, numbers = self._numbers.get(partition, (None, 0, np.zeros(0, np.int64)))
        if known is not audience or given_up != audience.given_up:
            numbers = np.zeros(0, np.int64)
        if len(numbers) < audience.slots:
            more = audience.listener_ids[len(numbers) :]
            own = [self._listeners.number(name) if name else FREE for name in more]
            numbers = np.concatenate([numbers, np.array(own, np.int64)])
            self._numbers[partition] = audience, audience.given_up, numbers
        return numbers
