"""A log that was lived through without Kafka: shards read whatever chance gives them until nothing is left."""

from collections.abc import Callable, Iterable, Sequence
from random import Random

from streams.contracts.topics import Shard as Side
from streams.recording.log import Log
from streams.settings import Settings
from streams.wiring import Wiring
from tests.builders.bus import Bus, Living
from tests.harness.stream import Event

QUIET = 30  # rounds without anything to read, after which nothing comes any more


def lived(phases: Sequence[Iterable[Event]], settings: Settings, wiring: Callable[[], Wiring], seed: int) -> Log:
    """What belongs to one phase is read before the next one is written."""
    topics, random = settings.topics, Random(seed)
    bus = Bus(topics.listener_partitions, topics.song_partitions)
    counts = {Side.SONG: topics.song_partitions, Side.LISTENER: topics.listener_partitions}
    shards = [Living(bus, side, partition, wiring, random) for side in Side for partition in range(counts[side])]
    for events in phases:
        for one in events:
            bus.write(*one)
        quiet = 0
        while quiet < QUIET:
            busy = [shard.step(crashes=0.0) for shard in shards]
            quiet = 0 if any(busy) else quiet + 1
    return Log(bus.topics, settings.contracts)
