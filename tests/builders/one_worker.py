"""One worker without Kafka: all shards share its views, and how far each of them reads before another does is drawn."""

from collections.abc import Iterable, Sequence
from random import Random

from streams.contracts.codec import decode
from streams.contracts.messages import Message
from streams.contracts.topics import SONG_RELEASES, Topic
from streams.contracts.topics import Shard as Side
from streams.recording.log import Log, Logged
from streams.settings import Settings
from streams.state.memory_store import MemoryStore
from streams.wiring import AGENTS_OF, Wiring
from tests.builders.bus import Bus
from tests.harness.stream import Event

WRITTEN_AT_ONCE = 20_000  # events, at most
READ_AT_ONCE = 5_000  # records, at most


def lived(events: Iterable[Event], settings: Settings, wiring: Wiring, seed: int) -> Log:
    """A release is decided before anything later is written, as it is where nobody is far behind."""
    bus, random = Bus(settings.topics.listener_partitions, settings.topics.song_partitions), Random(seed)
    worker, waiting = _Worker(bus, wiring, random), 0
    for one in events:
        bus.write(*one)
        waiting += 1
        if one.topic is SONG_RELEASES:
            worker.reads_all()
        elif waiting >= WRITTEN_AT_ONCE:
            worker.reads_some()
        else:
            continue
        waiting = 0
    worker.reads_all()
    return Log(bus.topics, settings.contracts)


class _Worker:
    def __init__(self, bus: Bus, wiring: Wiring, random: Random) -> None:
        self._bus, self._views, self._random = bus, wiring.views, random
        self._contracts = wiring.settings.contracts
        self._shards = [
            wiring.shard(side, partition, MemoryStore()) for side in Side for partition in range(bus.partitions[side])
        ]

    def reads_all(self) -> None:
        while sum(self._step(n) for n in self._in_any_order()):  # each has its turn
            pass

    def reads_some(self) -> None:
        for n in self._in_any_order()[: len(self._shards) // 2]:
            self._step(n)

    def _in_any_order(self) -> list[int]:
        return self._random.sample(range(len(self._shards)), len(self._shards))

    def _step(self, n: int) -> bool:
        """False if the shard has nothing left to read."""
        looked, shard = self._looks_at_songs(), self._shards[n]
        waiting = [topic for topic in AGENTS_OF[shard.side] if self._unread(n, topic, 1)]
        if not waiting:
            return looked
        topic = self._random.choice(waiting)
        decided = shard.decide(topic, self._unread(n, topic, self._random.randrange(1, READ_AT_ONCE)))
        self._publish(shard.decisions, decided.messages)
        ends = {name: len(self._bus.topics[name][shard.partition]) for name in shard.decisions}
        shard.commit(decided, ends if decided.messages else {})
        return True

    def _publish(self, decisions: Iterable[str], messages: Sequence[Message]) -> None:
        """Decisions first."""
        self._bus.publish(sorted(messages, key=lambda message: message.topic.name not in decisions))

    def _unread(self, n: int, topic: Topic, most: int) -> list[Logged]:
        shard = self._shards[n]
        read = shard.next_offset(topic.name) or 0
        return self._bus.topics[topic.name][shard.partition][read : read + most]

    def _looks_at_songs(self) -> bool:
        """Of each view and partition some of what is new, or nothing yet. False if nothing is new."""
        is_new = False
        for topic in self._views.TOPICS:
            for partition, log in self._bus.topics[topic.name].items():
                seen = self._views.offset(topic, partition)
                is_new |= seen < len(log)
                for record in log[seen : seen + self._random.choice((0, READ_AT_ONCE))]:
                    assert record.key is not None
                    value = decode(topic, record.key, record.value, record.timestamp, self._contracts)
                    self._views.apply(topic, partition, record.offset + 1, record.key.decode(), value)  # type: ignore[arg-type]
        return is_new
