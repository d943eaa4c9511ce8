"""A live system in one thread, without Kafka: shards that read, publish, crash and go back as chance will have it."""

from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from random import Random

from streams.contracts.codec import decode, decode_value, encode
from streams.contracts.messages import Message
from streams.contracts.partitions import partition_of
from streams.contracts.topics import TOPICS, Topic
from streams.contracts.topics import Shard as Side
from streams.recording.log import Logged
from streams.state.memory_store import MemoryStore
from streams.wiring import AGENTS_OF, Views, Wiring


class Bus:
    """Topics in memory."""

    def __init__(self, listener_partitions: int, song_partitions: int) -> None:
        self.partitions = {Side.LISTENER: listener_partitions, Side.SONG: song_partitions}
        self.topics: dict[str, dict[int, list[Logged]]] = {
            topic.name: {partition: [] for partition in range(self.partitions[topic.shard])}
            for topic in TOPICS.values()
        }

    def write(self, topic: Topic, key: bytes, value: bytes | None, time_ms: int, partition: int | None = None) -> None:
        if partition is None:
            partition = partition_of(key, self.partitions[topic.shard])
        log = self.topics[topic.name][partition]
        log.append(Logged(len(log), time_ms, key, value))

    def publish(self, messages: Iterable[Message]) -> None:
        for message in messages:
            self.write(message.topic, *encode(message), message.time_ms, message.partition)


class Living:
    """One shard, and the worker's views with it. What it does next, and how far it is behind, is drawn."""

    def __init__(self, bus: Bus, side: Side, partition: int, wiring: Callable[[], Wiring], random: Random) -> None:
        self._bus, self._side, self._partition, self._wiring, self._random = bus, side, partition, wiring, random
        self._store, self._old = MemoryStore(), MemoryStore()
        self._now_ms = 0
        self._open()

    def step(self, *, crashes: float) -> bool:
        """False if there is nothing left to read."""
        self._look_at_songs()
        if self._random.random() < 0.05:
            self._old = deepcopy(self._store)  # a checkpoint
        if self._random.random() < 0.5:
            self._now_ms += 10_000  # whatever waits has waited long enough
            self._publish_and_commit(self._shard.expire(self._now_ms), {})
        waiting = [topic for topic in AGENTS_OF[self._side] if self._unread(topic)]
        if waiting:
            self._handle(self._random.choice(waiting), crashes)
        return bool(waiting)

    def _handle(self, topic: Topic, crashes: float) -> None:
        records = self._unread(topic)[: self._random.randrange(1, 400)]
        decided = self._shard.decide(topic, records)
        if self._random.random() < crashes:
            self._crash(decided.messages)
        else:
            self._publish_and_commit(decided.messages, {topic.name: decided.next_offset})

    def _publish_and_commit(self, messages: Sequence[Message], folded: dict[str, int]) -> None:
        self._bus.publish(sorted(messages, key=lambda message: message.topic.name not in self._shard.decisions))
        ends = {name: len(self._bus.topics[name][self._partition]) for name in self._shard.decisions}
        self._shard._commit(folded, ends if messages else {})

    def _crash(self, messages: Sequence[Message]) -> None:
        """Some of it was published: decisions first, and of each partition what comes first."""
        first = sorted(messages, key=lambda message: message.topic.name not in self._shard.decisions)
        self._bus.publish(first[: self._random.randrange(len(first) + 1)])
        self._store._pending.clear()
        if self._random.random() < 0.5:
            self._store = deepcopy(self._old)  # taken over with the checkpoint's state
        self._open()

    def _open(self) -> None:
        wiring = self._wiring()
        self._views: Views = wiring.views
        self._shard = wiring.shard(self._side, self._partition, self._store)
        for _ in range(self._random.randrange(12)):
            self._look_at_songs()
        read = {topic.name: len(self._bus.topics[topic.name][self._partition]) for topic in AGENTS_OF[self._side]}
        self._shard.adopts_until(read)
        for name in self._shard.decisions:
            for record in self._bus.topics[name][self._partition][self._shard.next_offset(name) or 0 :]:
                self._shard.adopt(name, decode_value(TOPICS[name], record.value or b""))

    def _unread(self, topic: Topic) -> list[Logged]:
        return self._bus.topics[topic.name][self._partition][self._shard.next_offset(topic.name) or 0 :]

    def _look_at_songs(self) -> None:
        contracts = self._wiring().settings.contracts
        for topic in self._views.TOPICS:
            for partition, log in self._bus.topics[topic.name].items():
                if self._random.random() < 0.5:
                    seen = self._views.offset(topic, partition)
                    for record in log[seen : seen + self._random.randrange(1, 40)]:
                        assert record.key is not None
                        value = decode(topic, record.key, record.value, record.timestamp, contracts)
                        self._views.apply(topic, partition, record.offset + 1, record.key.decode(), value)  # type: ignore[arg-type]
