"""A log in the order of time, and the live stages driven through it record by record: slow, and plainly right."""

from collections import defaultdict, deque
from collections.abc import Callable, Sequence

from streams.contracts.codec import decode, encode
from streams.contracts.messages import Message
from streams.contracts.partitions import partition_of
from streams.contracts.topics import (
    LISTENER_ERASURES,
    LISTENER_SETTINGS,
    PLAYS,
    PUSH_SUPPRESSIONS,
    PUSH_TARGETS,
    SONG_RELEASES,
    Topic,
)
from streams.contracts.topics import Shard as Side
from streams.recording.log import Log, Logged
from streams.settings import Settings
from streams.state.memory_store import MemoryStore
from streams.wiring import AGENTS_OF, Wiring
from tests.harness.stream import Event

IN_TURN = (SONG_RELEASES, PLAYS, LISTENER_SETTINGS, LISTENER_ERASURES)  # what comes first at one time


def log_of(events: Sequence[Event], settings: Settings) -> Log:
    """Each partition in the order of time."""
    topics = settings.topics
    counts = {Side.SONG: topics.song_partitions, Side.LISTENER: topics.listener_partitions}
    found: dict[str, dict[int, list[Logged]]] = {
        topic.name: {partition: [] for partition in range(counts[topic.shard])} for topic in IN_TURN
    }
    for one in sorted(events, key=lambda event: event.time_ms):
        records = found[one.topic.name][partition_of(one.key, counts[one.topic.shard])]
        records.append(Logged(len(records), one.time_ms, one.key, one.value))
    return Log(found, settings.contracts)


def said_live(log: Log, wiring: Callable[[], Wiring]) -> dict[str, list[tuple[bytes, bytes | None]]]:
    """Targets and suppressions of each release, by its song, where every record is handled by all stages at once."""
    return _Live(wiring()).told(log)


class _Live:
    def __init__(self, wiring: Wiring) -> None:
        self._views, self._settings, topics = wiring.views, wiring.settings, wiring.settings.topics
        self._counts = {Side.SONG: topics.song_partitions, Side.LISTENER: topics.listener_partitions}
        self._shards = {
            (side, partition): wiring.shard(side, partition, MemoryStore())
            for side in Side
            for partition in range(self._counts[side])
        }
        self._written: dict[tuple[Topic, int], int] = defaultdict(int)
        self._said: dict[str, list[tuple[bytes, bytes | None]]] = {}

    def told(self, log: Log) -> dict[str, list[tuple[bytes, bytes | None]]]:
        records = [
            (record.timestamp, IN_TURN.index(topic), partition, record.offset, record)
            for topic in IN_TURN
            for partition in log.partitions(topic)
            for record in log.records(topic, partition)
        ]
        for _, topic, partition, _, record in sorted(records, key=lambda one: one[:4]):
            waiting = deque([(IN_TURN[topic], partition, record)])
            while waiting:
                for message in self._handled(*waiting.popleft()):
                    waiting.append(self._published(message))
        return self._said

    def _handled(self, topic: Topic, partition: int, record: Logged) -> Sequence[Message]:
        if topic in self._views.TOPICS:
            value = decode(topic, record.key, record.value, record.timestamp, self._settings.contracts)
            self._views.apply(topic, partition, record.offset + 1, (record.key or b"").decode(), value)  # type: ignore[arg-type]
        if topic not in AGENTS_OF[topic.shard]:
            return []
        shard = self._shards[topic.shard, partition]
        decided = shard.decide(topic, [record])
        shard.commit(decided)
        return decided.messages

    def _published(self, message: Message) -> tuple[Topic, int, Logged]:
        topic, (key, value) = message.topic, encode(message)
        partition = message.partition
        if partition is None:
            partition = partition_of(key, self._counts[topic.shard])
        if topic in (PUSH_TARGETS, PUSH_SUPPRESSIONS):
            self._said.setdefault(message.value.song_id, []).append((key, value))  # type: ignore[union-attr]
        offset = self._written[topic, partition]
        self._written[topic, partition] += 1
        return topic, partition, Logged(offset, message.time_ms, key, value)
