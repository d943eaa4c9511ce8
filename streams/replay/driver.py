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
from typing import Any, NamedTuple

import msgspec

from streams.catalogue.embed_songs import SongEncoder
from streams.catalogue.exact_index import ExactIndex
from streams.contracts.codec import Record, decode, encode
from streams.contracts.dead_letters import DeadLetter
from streams.contracts.messages import Message
from streams.contracts.partitions import partition_of
from streams.contracts.queries import AudienceAnswer, TargetsSelected
from streams.contracts.targets import Suppression, Target, TargetReactions
from streams.contracts.topics import (
    AUDIENCE_ANSWERS,
    AUDIENCE_SAMPLES,
    SONG_DECISIONS,
    TARGET_REACTIONS,
    TOPICS,
    Topic,
)
from streams.contracts.topics import Shard as Side
from streams.replay.log import Log
from streams.replay.moments import Moment, known_to, listener_moments, song_moments
from streams.settings import Settings
from streams.state.memory_store import MemoryStore
from streams.wiring import AGENTS_OF, Views, Wiring

RECORDS_PER_BATCH = 5_000
READ_ONLY = (AUDIENCE_SAMPLES, TARGET_REACTIONS)
PROMISED = tuple(
    topic
    for topic in TOPICS.values()
    if topic not in READ_ONLY and not any(topic in agents for agents in AGENTS_OF.values())
)


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
