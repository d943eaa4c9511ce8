"""The replicated views: every worker reads all partitions of the compacted song topics, from its snapshot on."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from faust import Service

from streams.contracts.codec import decode
from streams.settings import ContractSettings, TopicSettings
from streams.wiring import Views


class ViewReader(Service):
    """Feeds the views; `caught_up` is set once they hold all that was there at the start."""

    def __init__(
        self,
        views: Views,
        kafka: Mapping[str, Any],
        topics: TopicSettings,
        contracts: ContractSettings,
        *,
        fatal: Callable[[BaseException], None],
    ) -> None:
        super().__init__()
        self._views, self._topics, self._contracts, self._fatal = views, topics, contracts, fatal
        self._kafka = kafka
        self.caught_up = asyncio.Event()

    async def on_start(self) -> None:
        self._consumer = AIOKafkaConsumer(
            **self._kafka,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=20,
            max_partition_fetch_bytes=4 * 1024 * 1024,
        )
        await self._consumer.start()
        self._of = {
            TopicPartition(self._topics.prefix + topic.name, partition): topic
            for topic in self._views.TOPICS
            for partition in range(self._topics.song_partitions)
        }
        self._consumer.assign(list(self._of))
        for at, topic in self._of.items():
            known = self._views.offset(topic, at.partition)
            if known:
                self._consumer.seek(at, known)
        ends = await self._consumer.end_offsets(list(self._of))
        self._awaited = {at: end for at, end in ends.items() if end > self._views.offset(self._of[at], at.partition)}
        self._mark_if_caught_up()

    @Service.task
    async def read(self) -> None:
        try:
            while not self.should_stop:
                fetched = await self._consumer.getmany(timeout_ms=200, max_records=5_000)
                for at, records in fetched.items():
                    topic = self._of[at]
                    for record in records:
                        value: Any = decode(topic, record.key, record.value, record.timestamp, self._contracts)
                        self._views.apply(topic, at.partition, record.offset + 1, record.key.decode(), value)
                    await asyncio.sleep(0)
                self._views.warm.catch_up()
                if self._awaited:
                    await self._mark_positions()
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self._fatal(error)

    async def _mark_positions(self) -> None:
        # positions, not offsets of records: the end of a compacted partition may hold none
        for at, end in list(self._awaited.items()):
            if await self._consumer.position(at) >= end:
                del self._awaited[at]
        self._mark_if_caught_up()

    def _mark_if_caught_up(self) -> None:
        if not self._awaited:
            self.caught_up.set()

    async def lag(self) -> int:
        ends = await self._consumer.end_offsets(list(self._of))
        return sum([ends[at] - await self._consumer.position(at) for at in self._of])

    async def on_stop(self) -> None:
        await self._consumer.stop()
