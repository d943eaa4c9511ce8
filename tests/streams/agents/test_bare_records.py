"""What the worker's consumers hand over is what aiokafka's own records say, wherever reading begins or pauses."""

from collections.abc import Iterator

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.consumer import fetcher
from kafka import KafkaProducer

from streams.agents.bare_records import BareRecords
from streams.broker.security import aiokafka_arguments, kafka_python_arguments
from streams.contracts.topics import SONG_RELEASES
from streams.settings import KafkaSettings, TopicSettings

Told = tuple[int, int, bytes | None, bytes | None]


@pytest.fixture
def written(kafka_settings: KafkaSettings, topics: TopicSettings) -> Iterator[tuple[KafkaSettings, TopicPartition]]:
    """Compressed batches of several records, with keys, without, and with null values."""
    at = TopicPartition(topics.prefix + SONG_RELEASES.name, 0)
    producer = KafkaProducer(**kafka_python_arguments(kafka_settings), linger_ms=50, compression_type="lz4")
    for n in range(300):
        key, value = (b"k%d" % n if n % 3 else b"k"), (b"v%d" % n if n % 5 else None)
        producer.send(at.topic, key=key, value=value, partition=0, timestamp_ms=1_767_225_600_000 + n)
    producer.close()
    yield kafka_settings, at


async def read(kafka: KafkaSettings, at: TopicPartition, first: int, at_once: int) -> list[Told]:
    consumer = AIOKafkaConsumer(**aiokafka_arguments(kafka), group_id=None)
    await consumer.start()
    try:
        consumer.assign([at])
        consumer.seek(at, first)
        found: list[Told] = []
        while len(found) < 300 - first:
            for record in (await consumer.getmany(at, timeout_ms=500, max_records=at_once)).get(at, []):
                found.append((record.offset, record.timestamp, record.key, record.value))
            assert await consumer.position(at) == first + len(found)
        return found
    finally:
        await consumer.stop()


@pytest.mark.parametrize(("first", "at_once"), [(0, 1_000), (0, 7), (123, 7), (299, 1)])
async def test_bare_records_say_what_the_usual_ones_say(written, monkeypatch, first, at_once):
    usual = await read(*written, first, at_once)
    monkeypatch.setattr(fetcher, "PartitionRecords", BareRecords)
    assert await read(*written, first, at_once) == usual
    assert [offset for offset, *_ in usual] == list(range(first, 300))
