"""What a shard says reaches Kafka here: whole batches, acknowledged by all replicas, and only under a valid lease."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.protocol.produce import ProduceRequest

from streams.agents.lease import Lease
from streams.contracts.codec import dead_letter_record, encode, headers_of
from streams.contracts.dead_letters import DeadLetter
from streams.contracts.messages import Message
from streams.contracts.partitions import partition_of
from streams.contracts.topics import Shard
from streams.errors import LostOwnership
from streams.settings import TopicSettings

MAX_BATCH_BYTES = 512 * 1024
MAX_REQUEST_BYTES = 16 * 1024 * 1024  # the answer of one partition to a large query is one record

_Record = tuple[int, bytes | None, bytes | None, Sequence[tuple[str, bytes]]]


class Publisher:
    def __init__(
        self,
        kafka: Mapping[str, Any],
        topics: TopicSettings,
        lease: Lease,
        compression: str,
        *,
        fatal: Callable[[BaseException], None],
    ) -> None:
        self._topics = topics
        self._lease, self._fatal = lease, fatal
        self._partitions = {Shard.LISTENER: topics.listener_partitions, Shard.SONG: topics.song_partitions}
        self._arguments = dict(
            kafka,
            acks="all",
            enable_idempotence=True,
            linger_ms=0,
            max_batch_size=MAX_BATCH_BYTES,
            max_request_size=MAX_REQUEST_BYTES,
            compression_type=None if compression == "none" else compression,
        )

    async def start(self) -> None:
        self._producer = AIOKafkaProducer(**self._arguments)
        client, lease, fatal = self._producer.client, self._lease, self._fatal
        send = client.send

        async def send_under_lease(node_id: int, request: object, **how: Any) -> object:
            if isinstance(request, ProduceRequest):
                try:
                    lease.check()  # the last line of ours before the socket
                except LostOwnership as error:
                    fatal(error)  # aiokafka would try again, and the lease might be renewed by then
                    raise
            return await send(node_id, request, **how)

        client.send = send_under_lease
        await self._producer.start()

    async def stop(self) -> None:
        await self._producer.stop()

    async def publish(
        self, messages: Iterable[Message], dead_letters: Iterable[DeadLetter] = (), *, first: Container[str] = ()
    ) -> dict[tuple[str, int], int]:
        """Returns when all is acknowledged: for each topic partition the offset after the last record.

        What goes to the topics in `first` is acknowledged before anything else is sent: whoever sees what follows from
        a decision can find the decision.
        """
        self._lease.check()
        decisions: dict[tuple[str, int], list[_Record]] = defaultdict(list)
        others: dict[tuple[str, int], list[_Record]] = defaultdict(list)
        for message in messages:
            key, value = encode(message)
            partition = message.partition
            if partition is None:
                partition = partition_of(key, self._partitions[message.topic.shard])
            records = decisions if message.topic.name in first else others
            records[message.topic.name, partition].append((message.time_ms, key, value, headers_of(message)))
        for letter in dead_letters:
            topic, dead_key, value, headers = dead_letter_record(letter)
            others[topic, 0].append((letter.time_ms, dead_key, value, headers))
        return {**await self._write_all(decisions), **await self._write_all(others)}

    async def _write_all(self, records: Mapping[tuple[str, int], list[_Record]]) -> dict[tuple[str, int], int]:
        ends = await asyncio.gather(*(self._write(*where, what) for where, what in records.items()))
        return dict(zip(records, ends, strict=True))

    async def _write(self, topic: str, partition: int, records: list[_Record]) -> int:
        name, sent = self._topics.prefix + topic, []
        batch, count = self._producer.create_batch(), 0
        for time_ms, key, value, headers in records:
            while batch.append(timestamp=time_ms, key=key, value=value, headers=headers) is None:
                sent.append((await self._producer.send_batch(batch, name, partition=partition), count))
                batch, count = self._producer.create_batch(), 0
            count += 1
        sent.append((await self._producer.send_batch(batch, name, partition=partition), count))
        end = 0
        for future, count in sent:
            end = (await future).offset + count
        return end
