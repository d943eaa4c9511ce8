"""Drives the stages of every shard from a recorded log: each decision is taken again, knowing what it knew.

What no decision stands for follows from its own topic alone. Two topics are read as they were recorded, and what is
said on them anew is not promised: audience-samples, which hold listeners as one worker's view of the songs made them,
and target-reactions, where a play and an erasure may have met in either order. Both name the records that they follow
from, and crowds and outcomes follow from them, byte by byte.

A shard that was taken over from a worker that had read further goes back. Here as there it begins a new life: it is
built anew, adopts what was decided before, and reads from the beginning.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, NamedTuple

from streams.catalogue.embed_songs import SongEncoder
from streams.catalogue.exact_index import ExactIndex
from streams.contracts.codec import Record, decode, encode
from streams.contracts.dead_letters import DeadLetter
from streams.contracts.messages import Message
from streams.contracts.partitions import partition_of
from streams.contracts.queries import AudienceAnswer
from streams.contracts.targets import Suppression, Target
from streams.contracts.topics import (
    AUDIENCE_ANSWERS,
    AUDIENCE_QUERIES,
    AUDIENCE_SAMPLES,
    READ_FROM_NEIGHBOURS,
    SONG_EMBEDDINGS,
    TARGET_REACTIONS,
    TOPICS,
    Topic,
)
from streams.contracts.topics import Shard as Side
from streams.recording.log import Log
from streams.replay.moments import Moment, admission_of, known_to, listener_moments, song_moments
from streams.replay.witness import Nobody, Witness
from streams.settings import Settings, TopicSettings
from streams.state.memory_store import MemoryStore
from streams.wiring import AGENTS_OF, Views, Wiring

RECORDS_PER_BATCH = 5_000
THE_END = 1 << 62
READ_ONLY = (AUDIENCE_SAMPLES, TARGET_REACTIONS)
PROMISED = tuple(topic for topic in TOPICS.values() if topic not in (*READ_FROM_NEIGHBOURS, *READ_ONLY))


class Said(NamedTuple):
    """A record as a shard publishes it."""

    key: bytes | None
    value: bytes | None
    time_ms: int


@dataclass
class Replayed:
    """What the shards said: each of it once, by topic and partition."""

    said: dict[str, dict[int, list[Said]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    dead_letters: list[DeadLetter] = field(default_factory=list)
    lives: dict[str, int] = field(default_factory=dict)  # of each shard

    def differences(self, log: Log) -> list[str]:
        """What was recorded and is not said again, and the reverse."""
        found = []
        for topic in PROMISED:
            for partition in log.partitions(topic):
                live, again = Counter(first_copies(log, topic, partition)), Counter(self.said[topic.name][partition])
                for what, some in (("only recorded", live - again), ("only replayed", again - live)):
                    found += [f"{topic.name}[{partition}] {what}: {said!r:.1000}" for said in some.elements()]
        return found


def replay(log: Log, wiring: Callable[[], Wiring], witness: Witness | None = None) -> Replayed:
    """Every shard, one after the other; each life of a shard gets a wiring whose views have read nothing yet."""
    replayed, topics = Replayed(), wiring().settings.topics
    for side, count, moments_of in (
        (Side.SONG, topics.song_partitions, song_moments),
        (Side.LISTENER, topics.listener_partitions, listener_moments),
    ):
        for partition in range(count):
            recorded = _Recorded(side, partition, log, list(moments_of(log, partition)))
            replayed.lives[f"{side.value}-{partition}"] = _replayed(
                recorded, wiring, _Mouth(recorded, topics, replayed), witness or Nobody()
            )
    return replayed


def exact(settings: Settings, encoder: SongEncoder) -> Callable[[], Wiring]:
    """Bytes are promised for the exact index."""
    return lambda: Wiring(settings, encoder, Views.of(settings, encoder, ExactIndex(encoder.dimension)))


def first_copies(log: Log, topic: Topic, partition: int) -> list[Said]:
    said: dict[Hashable, Said] = {}
    for record, contract in log.contracts(topic, partition):
        one = Said(record.key, record.value, record.timestamp)
        said.setdefault(_name(topic, partition, contract, one), one)
    return list(said.values())


def _name(topic: Topic, partition: int, contract: Any, said: Said) -> Hashable:
    """What a second copy has in common with the first; but for answers, and what a crash cut off, it is every byte."""
    match contract:
        case AudienceAnswer():
            return topic.name, contract.query_id, contract.listener_partition, said.time_ms
        case Target() | Suppression():
            return admission_of(contract)
        case _:
            return topic.name, partition, said


def _replayed(recorded: "_Recorded", wiring: Callable[[], Wiring], mouth: "_Mouth", witness: Witness) -> int:
    """How many lives it took."""
    life, lives, moments = _Life(recorded, wiring(), mouth), 1, recorded.moments
    for n, moment in enumerate(moments):
        if not life.can_follow(moment):
            life, lives = _Life(recorded, wiring(), mouth), lives + 1
            for earlier in moments[:n]:
                life.adopt(earlier)
            for earlier in moments[:n]:
                if (earlier.topic, earlier.offset) != (moment.topic, moment.offset):
                    life.handle(earlier)
        life.follow(moment, witness)
    life.finish()
    return lives


@dataclass(frozen=True)
class _Recorded:
    """What the log has of one shard."""

    side: Side
    partition: int
    log: Log
    moments: Sequence[Moment]

    def inputs(self) -> dict[Topic, Sequence[Record]]:
        """Of the answers those that were chosen: to the others nobody listened."""
        inputs = {topic: self.log.records(topic, self.partition) for topic in AGENTS_OF[self.side]}
        if answers := inputs.get(AUDIENCE_ANSWERS):
            chosen = {offset for moment in self.moments for offset in moment.chosen}
            inputs[AUDIENCE_ANSWERS] = [answer for answer in answers if answer.offset in chosen]
        return inputs


class _Life:
    """A shard from its first record on, until it can follow no further."""

    def __init__(self, recorded: _Recorded, wiring: Wiring, mouth: "_Mouth") -> None:
        self._log, self._inputs, self._mouth = recorded.log, recorded.inputs(), mouth
        self._views, self._contracts = wiring.views, wiring.settings.contracts
        self._shard = wiring.shard(recorded.side, recorded.partition, MemoryStore())

    def can_follow(self, moment: Moment) -> bool:
        """What is to be known has not been read past."""
        views = [(topic, partition, end) for topic, ends in moment.views.items() for partition, end in enumerate(ends)]
        return (
            self._read_up_to(moment.topic) <= moment.offset
            and all(self._read_up_to(topic) <= end for topic, end in moment.known.items())
            and all(self._views.offset(topic, partition) <= end for topic, partition, end in views)
        )

    def follow(self, moment: Moment, witness: Witness) -> None:
        for topic, end in moment.known.items():
            self._read(topic, end)
        for topic, ends in moment.views.items():
            for partition, end in enumerate(ends):
                self._view(topic, partition, end)
        self._show(moment, witness)
        self.handle(moment)

    def _show(self, moment: Moment, witness: Witness) -> None:
        if moment.topic not in (SONG_EMBEDDINGS, AUDIENCE_QUERIES):
            return
        [record] = _between(self._inputs[moment.topic], moment.offset, moment.offset + 1)
        value: Any = decode(moment.topic, record.key, record.value, record.timestamp, self._contracts)
        if moment.topic is SONG_EMBEDDINGS:
            [(_, query)] = moment.decided
            witness.matched(query, value, self._views.warm)
        else:
            witness.asked(value, self._shard.partition, self._shard.audience, self._shard.store)

    def adopt(self, moment: Moment) -> None:
        for topic, decision in moment.decided:
            self._shard.adopt(topic.name, decision)

    def handle(self, moment: Moment) -> None:
        self._read(moment.topic, moment.offset + 1)
        if moment.chosen:  # with fewer answers than there are partitions it was the deadline that decided
            self.adopt(moment)
            self._mouth.say(self._shard.expire(now_ms=0), [])
            self._shard.commit_expired({})

    def finish(self) -> None:
        for topic in self._views.TOPICS:
            for partition in self._log.partitions(topic):
                self._view(topic, partition, THE_END)
        for topic in self._inputs:
            self._read(topic, THE_END)

    def _read_up_to(self, topic: Topic) -> int:
        return self._shard.next_offset(topic.name) or 0

    def _read(self, topic: Topic, end: int) -> None:
        records = _between(self._inputs[topic], self._read_up_to(topic), end)
        for start in range(0, len(records), RECORDS_PER_BATCH):
            decided = self._shard.decide(topic, records[start : start + RECORDS_PER_BATCH])
            self._mouth.say(decided.messages, decided.dead_letters)
            self._shard.commit(decided)

    def _view(self, topic: Topic, partition: int, end: int) -> None:
        for record in _between(self._log.records(topic, partition), self._views.offset(topic, partition), end):
            value: Any = decode(topic, record.key, record.value, record.timestamp, self._contracts)
            self._views.apply(topic, partition, record.offset + 1, (record.key or b"").decode(), value)


class _Mouth:
    """What the lives of a shard say, once. An admission is said in the life that knew what it knew, in no other."""

    def __init__(self, recorded: _Recorded, topics: TopicSettings, replayed: Replayed) -> None:
        self._partitions = {Side.SONG: topics.song_partitions, Side.LISTENER: topics.listener_partitions}
        self._replayed = replayed
        self._names: set[Hashable] = set()
        decisions = [decision for moment in recorded.moments for _, decision in moment.decided]
        self._known_to = {
            admission_of(one): known_to(one) for one in decisions if isinstance(one, Target | Suppression)
        }

    def say(self, messages: Iterable[Message], dead_letters: Iterable[DeadLetter]) -> None:
        self._replayed.dead_letters += filter(self._is_new, dead_letters)
        for message in messages:
            topic, contract, (key, value) = message.topic, message.value, encode(message)
            said = Said(key, value, message.time_ms)
            partition = message.partition
            if partition is None:
                partition = partition_of(key, self._partitions[topic.shard])
            if self._is_of_now(contract) and self._is_new(_name(topic, partition, contract, said)):
                self._replayed.said[topic.name][partition].append(said)

    def _is_of_now(self, contract: object) -> bool:
        if not isinstance(contract, Target | Suppression):
            return True
        known = known_to(contract)
        return self._known_to.get(admission_of(contract), known) == known

    def _is_new(self, name: Hashable) -> bool:
        is_new = name not in self._names
        self._names.add(name)
        return is_new


def _between(records: Sequence[Record], start: int, end: int) -> Sequence[Record]:
    offset = attrgetter("offset")
    return records[bisect_left(records, start, key=offset) : bisect_left(records, end, key=offset)]
