"""One listener partition in a replay: plays as columns are folded by the live rules, questions answered by live stages.

What depends on the way to decide alone, who was pushed what, is kept apart for each policy.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from streams.audience.audience import NO_SLOT, Audience, Plays
from streams.audience.erase_listeners import EraseListeners
from streams.audience.follow_settings import FollowSettings
from streams.audience.listener import half_life_ms
from streams.audience.sampled_plays import SampledPlays
from streams.audience.score_listeners import ScoreListeners
from streams.audience.song_plays import nth_plays
from streams.catalogue.songs import Songs
from streams.contracts.crowds import ListenersForgotten
from streams.contracts.dead_letters import DeadLetter
from streams.contracts.messages import Batch, Message
from streams.contracts.queries import AudienceAnswer, AudienceQuery, TargetCandidates
from streams.contracts.targets import Suppression, Target
from streams.contracts.topics import AUDIENCE_QUERIES, LISTENER_ERASURES, LISTENER_SETTINGS, PLAYS, TARGET_CANDIDATES
from streams.replay import rivals
from streams.replay.growing import longer
from streams.replay.lanes import Lane
from streams.replay.log_names import LogNames
from streams.replay.past_rings import NONE, Followed, PastRings
from streams.replay.waiting_samples import Samples
from streams.settings import Settings
from streams.state.layout import EXPOSURE, named
from streams.state.memory_store import MemoryStore
from streams.targeting.admit_targets import AdmitTargets
from streams.targeting.watched_releases import WatchedReleases

Numbers = NDArray[np.int64]
UNSEEN = -2  # by number: nothing is known of it here yet


class HeardHere(NamedTuple):
    """Plays of one listener partition, columns of equal length; names are numbers of the log's tables."""

    partition: int
    places: Numbers  # of the plays in the order of the log
    listeners: Numbers
    songs: Numbers
    played_ms: Numbers
    strengths: Numbers  # thousandths; 0: not effective
    markets: Numbers
    next_offset: int


class ListenerSide:
    def __init__(self, partition: int, lane: Lane, songs: Songs, names: LogNames, past: PastRings) -> None:
        settings = lane.settings
        self.partition = partition
        self._names = names
        self._store = MemoryStore()
        self._audience = Audience(self._store, songs, settings.listening, settings.admission, is_stored=False)
        self._song_plays = _SongPlays()
        self._sampled = SampledPlays(self._audience, self._song_plays, settings.listening)
        self._followed = Followed(past)
        self._half_life_ms = half_life_ms(settings.listening)
        self._follow_settings = FollowSettings(self._audience, self._store)
        self._erase_listeners = EraseListeners(self._audience, self._store, song_partitions=1)
        self._deciders = {
            name: _Decider(own, self._audience, self._store, settings.topics.listener_partitions)
            for name, own in lane.policies.items()
        }
        self._first = next(iter(self._deciders.values()))
        self._given_up = 0
        self._slot_of, self._market_of = (np.zeros(0, np.int64) for _ in range(2))
        self._listener_of = np.zeros(0, np.int64)  # by slot
        self._offsets: dict[str, int] = {}

    def fold(self, heard: HeardHere) -> Samples:
        self._known(PLAYS.name, heard.next_offset)
        effective = np.flatnonzero(heard.strengths)
        listeners, songs = heard.listeners[effective], heard.songs[effective]
        self._audience.sweep()
        self._song_plays.room(len(self._names.songs))
        plays = Plays(
            listener_ids=_Chosen(self._names.listeners, listeners),
            slots=self._slots(listeners),
            song_keys=self._names.song_keys[songs],
            played_ms=heard.played_ms[effective],
            strengths=heard.strengths[effective],
            markets=self._markets(heard.markets[effective]),
        )
        folded, drawn = self._sampled.drawn(plays, songs)
        ends = self._followed.follow(folded)
        self._find_slots(listeners[plays.slots == NO_SLOT])
        drawn = drawn[(ends[folded.place[drawn]] != NONE) & ~folded.is_forgotten[folded.place[drawn]]]
        return Samples(
            places=heard.places[effective[drawn]],
            songs=songs[drawn],
            listener_keys=folded.listener_keys[drawn],
            played_ms=plays.played_ms[drawn],
            strengths=(plays.strengths[drawn] / 1_000).astype(np.float32),
            rings=ends[folded.place[drawn]],
        )

    def continue_no_ring(self) -> None:
        """Whoever keeps the rings of the past begins anew."""
        self._audience.matrix.is_continued[:] = False

    def follow(self, batch: Batch) -> list[DeadLetter]:  # type: ignore[type-arg]
        """Settings."""
        refused = [one for one in self._follow_settings.handle(batch) if isinstance(one, DeadLetter)]
        self._known(LISTENER_SETTINGS.name, batch.next_offset)
        return refused

    def erase(self, batch: Batch) -> NDArray[np.uint64]:  # type: ignore[type-arg]
        """The keys of who is to be forgotten by the crowds."""
        messages = self._erase_listeners.handle(batch)
        for key, erasure in zip(batch.keys, batch.values, strict=True):
            listener_id = (erasure.listener_id if erasure else None) or (key or b"").decode()
            for decider in self._deciders.values():
                decider.store.purge([named(EXPOSURE, listener_id)])
        self._known(LISTENER_ERASURES.name, batch.next_offset)
        forgotten = [one.value.listener_keys for one in messages if isinstance(one.value, ListenersForgotten)]
        return np.frombuffer(b"".join(forgotten), "<u8")

    def answer(self, policy: str, query: AudienceQuery) -> AudienceAnswer:
        [message] = self._deciders[policy].score.handle(_batch(AUDIENCE_QUERIES.name, self.partition, [query]))
        assert isinstance(message.value, AudienceAnswer)
        return message.value

    def admit(self, policy: str, candidates: Sequence[TargetCandidates]) -> list[Message]:
        """Targets and suppressions."""
        decider = self._deciders[policy]
        said = decider.admit.handle(_batch(TARGET_CANDIDATES.name, self.partition, candidates))
        decider.store.commit({})
        return [one for one in said if isinstance(one, Message) and isinstance(one.value, Target | Suppression)]

    def shortlists(self, query: AudienceQuery, most: int, plays: Numbers) -> tuple[int, dict[str, rivals.Shortlist]]:
        """How many are eligible, and whom each rival would choose; `plays`: so far, by number of the listener.

        To be asked after the answer.
        """
        slots = self._first.score.eligible(query)
        keys, numbers = self._audience.matrix.listener_keys[slots], self._listener_of[slots]
        scores = rivals.scores(self._audience, slots, query, plays[numbers], self._half_life_ms)
        return len(slots), {name: rivals.shortlist(numbers, keys, score, most) for name, score in scores.items()}

    def _known(self, topic: str, next_offset: int) -> None:
        """Read up to there: decisions name it."""
        self._offsets[topic] = max(next_offset, self._offsets.get(topic, 0))
        self._store.commit(self._offsets)

    def _slots(self, listeners: Numbers) -> Numbers:
        if self._given_up != self._audience.given_up:
            self._given_up = self._audience.given_up
            self._slot_of[:] = UNSEEN
        self._slot_of = longer(self._slot_of, len(self._names.listeners), UNSEEN)
        slots = self._slot_of[listeners]
        return slots if self._find_slots(listeners[slots < 0]) == 0 else self._slot_of[listeners]

    def _find_slots(self, listeners: Numbers) -> int:
        """How many were looked for."""
        if len(listeners) == 0:
            return 0
        wanted = np.unique(listeners)
        slots = self._audience.slots_of([self._names.listeners[number] for number in wanted.tolist()])
        self._slot_of[wanted] = slots
        self._listener_of = longer(self._listener_of, self._audience.slots + 1, UNSEEN)
        self._listener_of[slots] = wanted  # the last place is what NO_SLOT writes
        return len(wanted)

    def _markets(self, markets: Numbers) -> NDArray[np.int32]:
        if len(self._market_of) <= len(self._names.markets):
            every: list[str | None] = [*self._names.markets, None]
            self._market_of = self._audience.markets_of(every).astype(np.int64)
        return self._market_of[markets].astype(np.int32)  # the last one is what no market reads


class _SongPlays:
    """How often each song was played in the partition, by its number in the log."""

    def __init__(self) -> None:
        self._plays = np.zeros(0, np.int64)

    def room(self, songs: int) -> None:
        self._plays = longer(self._plays, songs)

    def count(self, songs: Numbers, counts: NDArray[np.bool_]) -> Numbers:
        nth, played, new = nth_plays(songs, counts, self._plays)
        self._plays[played] += new
        return nth


class _Decider:
    """What one policy adds to a partition."""

    def __init__(self, settings: Settings, audience: Audience, shared: MemoryStore, listener_partitions: int) -> None:
        self.store = _Beside(shared)
        self.score = ScoreListeners(
            audience,
            shared,
            settings.scoring,
            settings.selection,
            settings.admission.hold_out_share,
            listener_partitions,
        )
        watched = WatchedReleases(self.store, settings.outcomes)
        self.admit = AdmitTargets(self.store, watched, settings.admission, audience.have_heard, audience.wishes_of)


class _Beside(MemoryStore):
    """Holds what is put into it; what it does not hold is read from the store beside it."""

    def __init__(self, shared: MemoryStore) -> None:
        super().__init__()
        self._shared = shared

    def get(self, key: bytes) -> bytes | None:
        own = super().get(key)
        return self._shared.get(key) if own is None else own

    def offsets(self) -> dict[str, int]:
        return self._shared.offsets()


@dataclass(frozen=True, slots=True)
class _Chosen(Sequence[str]):
    """Names by place, looked up when they are asked for."""

    names: list[str]
    numbers: Numbers

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, place: int) -> str: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[str]: ...

    def __getitem__(self, place: int | slice) -> str | Sequence[str]:
        if isinstance(place, slice):
            return [self.names[number] for number in self.numbers[place].tolist()]
        return self.names[int(self.numbers[place])]

    def __iter__(self) -> Iterator[str]:
        return iter(self[:])


def _batch(topic: str, partition: int, values: Sequence[AudienceQuery] | Sequence[TargetCandidates]) -> Batch:  # type: ignore[type-arg]
    rows = len(values)
    return Batch(topic, partition, rows, range(rows), [0] * rows, [None] * rows, values, [None] * rows)
