"""All that a live run's topics hold, decoded, and the state that its workers left on their disks."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streams.contracts.codec import decode
from streams.contracts.topics import Topic
from streams.errors import MalformedMessage
from streams.state.memory_store import MemoryStore
from streams.state.rocksdict_store import RocksdictStore
from tests.harness.live import STAGE_INPUTS, Live


@dataclass(frozen=True)
class Entry:
    partition: int
    offset: int
    time_ms: int
    key: str
    value: Any  # None: a tombstone
    whole: tuple[object, ...]  # everything that a reader of the topic sees, byte by byte


class Log:
    """Reads a topic once; what could not be read is left out, as the door does."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._contracts = live.settings().contracts
        self._read: dict[str, dict[int, list[Entry]]] = {}
        self.ends: dict[tuple[str, int], int] = {}

    def partitions(self, topic: Topic) -> dict[int, list[Entry]]:
        if topic.name not in self._read:
            self._read[topic.name] = {}
            for partition, records in self._live.records(topic).items():
                self.ends[topic.name, partition] = records[-1].offset + 1 if records else 0
                self._read[topic.name][partition] = list(self._entries(topic, partition, records))
        return self._read[topic.name]

    def entries(self, topic: Topic) -> Iterator[Entry]:
        for entries in self.partitions(topic).values():
            yield from entries

    def _entries(self, topic: Topic, partition: int, records: list[Any]) -> Iterator[Entry]:
        for one in records:
            try:
                value = decode(topic, one.key, one.value, one.timestamp, self._contracts)
            except MalformedMessage:
                continue
            whole = (one.key, one.value, one.timestamp, tuple(one.headers))
            yield Entry(partition, one.offset, one.timestamp, (one.key or b"").decode(), value, whole)


@dataclass(frozen=True)
class State:
    """A shard's store as its last owner left it."""

    folder: Path
    offsets: dict[str, int]
    rows: dict[bytes, bytes]

    def of(self, kind: bytes) -> dict[bytes, bytes]:
        return {key[len(kind) :]: value for key, value in self.rows.items() if key.startswith(kind)}

    def store(self) -> MemoryStore:
        store = MemoryStore()
        for key, value in self.rows.items():
            store.put(key, value)
        store.commit(self.offsets)
        return store


def last_state(live: Live, side: str, partition: int) -> State:
    """Of all workers' copies the one that has read its inputs furthest. The workers have ended."""
    found = [read_state(folder) for folder in sorted(live.folder.glob(f"*/state/{side}-{partition}"))]
    if not found:
        raise AssertionError(f"no worker has state of {side}-{partition}")
    inputs = STAGE_INPUTS[f"{side}s"]
    return max(found, key=lambda state: sum(state.offsets.get(name, 0) for name in inputs))


def read_state(folder: Path) -> State:
    store = RocksdictStore(folder)
    try:
        return State(folder, store.offsets(), dict(store.items(b"")))
    finally:
        store.close()
