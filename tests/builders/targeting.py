"""A stage driven as a worker drives it, with crashes where one can happen; and what targeting stages are made of."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import numpy as np

from streams.audience.wishes import Wishes, erased_ms, settings_of
from streams.contracts.codec import encode
from streams.contracts.messages import Batch, Message
from streams.contracts.queries import AudienceQuery, Candidates
from streams.contracts.topics import PUSH_SUPPRESSIONS, PUSH_TARGETS, SONG_DECISIONS, Topic
from streams.settings import AdmissionSettings
from streams.state.layout import OPEN_QUERY, named
from streams.state.memory_store import MemoryStore
from streams.targeting.admit_targets import AdmitTargets
from streams.targeting.watched_releases import WatchedReleases
from tests.builders.contracts import settings

DECISIONS = (SONG_DECISIONS, PUSH_TARGETS, PUSH_SUPPRESSIONS)


class Crash(Enum):
    BEFORE_PUBLISHING = "before publishing"
    HALF_PUBLISHED = "half published"
    BEFORE_COMMIT = "before the commit of state"
    AFTER_COMMIT = "after the commit of state"


@dataclass
class Worker:
    """One stage and its store. What it published outlives it, and is adopted by its successor, old and new."""

    make: Callable[[MemoryStore], Any]
    store: MemoryStore = field(default_factory=MemoryStore)
    published: list[Message] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.stage = self.make(self.store)

    def deliver(self, batch: Batch[Any], crash: Crash | None = None) -> list[Message]:
        """What came out of it, in the end: after a crash the batch is delivered again."""
        messages = self.stage.handle(batch)
        if crash in (Crash.BEFORE_PUBLISHING, Crash.HALF_PUBLISHED, Crash.BEFORE_COMMIT):
            published = {Crash.BEFORE_PUBLISHING: 0, Crash.HALF_PUBLISHED: len(messages) // 2}.get(crash, len(messages))
            self.published += messages[:published]
            self.restart()
            return self.deliver(batch)
        self.published += messages
        self.store.commit({batch.topic: batch.next_offset})
        if crash is Crash.AFTER_COMMIT:
            self.restart()
        return list(messages)

    def deliver_all(self, batches: Iterable[Batch[Any]]) -> list[Message]:
        return [message for batch in batches for message in self.deliver(batch)]

    def restart(self) -> None:
        with TemporaryDirectory() as folder:
            self.store.checkpoint(Path(folder) / "state")
            self.store = MemoryStore(Path(folder) / "state")
        self.stage = self.make(self.store)
        for message in self.published:
            if message.topic in DECISIONS and message.value is not None:
                self.stage.adopt(message.value)


def cut(whole: Batch[Any], *ends: int) -> list[Batch[Any]]:
    """The same records in several batches; `ends` are counts of records."""
    bounds = sorted({0, len(whole), *(end for end in ends if 0 < end < len(whole))})
    return [_part(whole, start, end) for start, end in pairwise(bounds)]


def _part(whole: Batch[Any], start: int, end: int) -> Batch[Any]:
    columns: list[Sequence[Any]] = [whole.offsets, whole.times_ms, whole.keys, whole.values, whole.raw]
    next_offset = whole.next_offset if end == len(whole) else whole.offsets[end]
    return Batch(whole.topic, whole.partition, next_offset, *(column[start:end] for column in columns))


def as_bytes(messages: Iterable[Message]) -> list[tuple[str, int | None, bytes | None, bytes | None]]:
    return [(message.topic.name, message.partition, *encode(message)) for message in messages]


def of(topic: Topic, messages: Iterable[Message]) -> list[Any]:
    return [message.value for message in messages if message.topic is topic]


def random_candidates(draw: np.random.Generator, prefix: str, count: int, *, levels: int | None = None) -> Candidates:
    """Best first, ties by id. Few levels: many ties."""
    scores = draw.normal(size=count) if levels is None else draw.integers(levels, size=count) / levels
    names = [f"{prefix}-{n}" for n in draw.permutation(count).tolist()]
    ranked = sorted(zip(scores.astype(np.float32).tolist(), names, strict=True), key=lambda pair: (-pair[0], pair[1]))
    return Candidates(
        tuple(name for _, name in ranked),
        np.array([score for score, _ in ranked], dtype="<f4").tobytes(),
        draw.integers(4, size=count).astype(np.uint8).tobytes(),
    )


def with_open(query: AudienceQuery, store: MemoryStore) -> MemoryStore:
    """As match_songs leaves it."""
    store.put(named(OPEN_QUERY, query.query_id), msgspec.msgpack.encode(query))
    store.commit({})
    return store


def admission(**more: Any) -> AdmissionSettings:
    """No quiet hours, no cool-down: a test names the limit it is about."""
    open_to_all = {"quiet_from_minute": 0, "quiet_to_minute": 0, "cooldown_h": 0.0, "rolling_cap": 50, "day_cap": 50}
    return settings(admission=open_to_all | more).admission


def admitting(
    limits: AdmissionSettings, heard: frozenset[tuple[str, str]] = frozenset()
) -> Callable[[MemoryStore], AdmitTargets]:
    """`heard`: pairs of song and listener."""

    def make(store: MemoryStore) -> AdmitTargets:
        def have_heard(song_id: str, listener_ids: Sequence[str]) -> list[bool]:
            return [(song_id, listener_id) in heard for listener_id in listener_ids]

        def wishes_of(names: Sequence[str]) -> Wishes:
            return [settings_of(store, name) for name in names], [erased_ms(store, name) for name in names]

        return AdmitTargets(store, WatchedReleases(store, settings().outcomes), limits, have_heard, wishes_of)

    return make
