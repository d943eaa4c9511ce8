"""The demo's own line to Kafka: what it publishes, what it watches, how far the workers are behind, and the log."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Any, NamedTuple, Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from aiokafka.structs import ConsumerRecord

from streams.broker.security import aiokafka_arguments
from streams.contracts.topics import Shard, Topic, group_of
from streams.settings import KafkaSettings, TopicSettings
from streams.wiring import AGENTS_OF

BATCH_BYTES = 512 * 1024
AT_ONCE = 20_000

Keyed = tuple[int, bytes, bytes]  # time, key, value


class Seen(NamedTuple):
    at_s: float  # when it was here, before anything was done with it
    topic: Topic
    value: bytes


class Traffic:
    def __init__(self, kafka: KafkaSettings, topics: TopicSettings) -> None:
        self._arguments, self._topics = aiokafka_arguments(kafka), topics
        self._compression = None if kafka.compression == "none" else kafka.compression

    async def __aenter__(self) -> Self:
        self._producer = AIOKafkaProducer(
            **self._arguments, acks="all", linger_ms=0, max_batch_size=BATCH_BYTES, compression_type=self._compression
        )
        self._admin = AIOKafkaAdminClient(**self._arguments)
        self._reader = self._consumer()
        for client in (self._producer, self._admin, self._reader):
            await client.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._reader.stop()
        await self._admin.close()
        await self._producer.stop()

    async def say(self, topic: Topic, key: str, value: bytes, at_ms: int) -> None:
        """Returns when it is acknowledged."""
        await self._producer.send_and_wait(self._name(topic), value, key.encode(), timestamp_ms=at_ms)

    async def say_all(self, topic: Topic, records: Iterable[tuple[str, bytes, int]]) -> int:
        """The partition follows from the key; returns when all are acknowledged."""
        sent = [
            await self._producer.send(self._name(topic), value, key.encode(), timestamp_ms=at_ms)
            for key, value, at_ms in records
        ]
        await asyncio.gather(*sent)
        return len(sent)

    async def say_in_batches(self, topic: Topic, by_partition: Mapping[int, Sequence[Keyed]]) -> int:
        """The same for many records at once, whose partitions are known."""
        await asyncio.gather(*(self._batches(topic, partition, some) for partition, some in by_partition.items()))
        return sum(map(len, by_partition.values()))

    async def lag(self) -> int:
        """Records that no worker has acknowledged, over all inputs of all stages."""
        return sum([await self._lag_of(side) for side in Shard])

    async def count(self, topics: Iterable[str]) -> int:
        """Records that these topics have been given."""
        partitions = [
            TopicPartition(self._topics.prefix + name, number)
            for name in topics
            for number in self._reader.partitions_for_topic(self._topics.prefix + name) or (0,)
        ]
        return sum((await self._reader.end_offsets(partitions)).values())

    @asynccontextmanager
    async def watched(self, topics: Sequence[Topic]) -> AsyncIterator[AsyncIterator["Seen"]]:
        """All that comes from now on."""
        consumer = self._consumer()
        await consumer.start()
        try:
            partitions = [at for topic in topics for at in self._partitions(topic)]
            consumer.assign(partitions)
            await consumer.seek_to_end(*partitions)
            yield _coming(consumer, {self._name(topic): topic for topic in topics})
        finally:
            await consumer.stop()

    async def logged(
        self, topic: Topic, partition: int | None = None
    ) -> AsyncIterator[tuple[int, list[ConsumerRecord]]]:
        """(partition, records) of all there is now, some at a time, each partition in the order of its offsets."""
        consumer = self._reader
        partitions = [at for at in self._partitions(topic) if partition in (None, at.partition)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        ends = await consumer.end_offsets(partitions)
        left = {at for at in partitions if await consumer.position(at) < ends[at]}
        while left:
            for at, records in (await consumer.getmany(*left, timeout_ms=500, max_records=AT_ONCE)).items():
                yield at.partition, records
            left = {at for at in left if await consumer.position(at) < ends[at]}

    def _consumer(self) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            **self._arguments,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=4 * 1024 * 1024,
        )

    def _name(self, topic: Topic) -> str:
        return self._topics.prefix + topic.name

    def _partitions(self, topic: Topic) -> list[TopicPartition]:
        is_song = topic.shard is Shard.SONG
        count = self._topics.song_partitions if is_song else self._topics.listener_partitions
        return [TopicPartition(self._name(topic), number) for number in range(count)]

    async def _batches(self, topic: Topic, partition: int, records: Sequence[Keyed]) -> None:
        producer, sent = self._producer, []
        batch = producer.create_batch()
        for at_ms, key, value in records:
            while batch.append(timestamp=at_ms, key=key, value=value) is None:
                sent.append(await producer.send_batch(batch, self._name(topic), partition=partition))
                batch = producer.create_batch()
        if batch.record_count():
            sent.append(await producer.send_batch(batch, self._name(topic), partition=partition))
        await asyncio.gather(*sent)

    async def _lag_of(self, side: Shard) -> int:
        partitions = [at for topic in AGENTS_OF[side] for at in self._partitions(topic)]
        ends: dict[Any, int] = await self._reader.end_offsets(partitions)
        try:
            found = await self._admin.list_consumer_group_offsets(group_of(side, self._topics.prefix))
        except KafkaError:  # nobody has used the group yet, or its coordinator is being elected
            found = {}
        return sum(end - (found[at].offset if at in found else 0) for at, end in ends.items())


async def _coming(consumer: AIOKafkaConsumer, topics: Mapping[str, Topic]) -> AsyncIterator[Seen]:
    while True:
        found = await consumer.getmany(timeout_ms=200)
        at_s = perf_counter()
        for at, records in found.items():
            for record in records:
                yield Seen(at_s, topics[at.topic], record.value or b"")
