"""The door of a stage that waits for the world outside: each partition decides in a thread, and none for another."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor

from streams.agents.door import Door
from streams.agents.feed import Feed, Fetched
from streams.agents.precedence import Precedence
from streams.agents.publisher import Publisher
from streams.metrics import Metrics


class PatientDoor(Door):
    """Heartbeats and the other partitions go on meanwhile; the order of one partition's steps is every door's."""

    def __init__(
        self,
        feed: Feed,
        publisher: Publisher,
        metrics: Metrics,
        fatal: Callable[[BaseException], None],
        threads: Executor,
    ) -> None:
        super().__init__(feed, publisher, metrics, fatal, Precedence())
        self._threads = threads

    async def _partition(self, fetched: Fetched, partition: int, turn: asyncio.Lock) -> None:
        owned, records = self._feed.owned.get(partition), fetched.records[partition]
        if owned is None:
            return
        async with owned.lock:
            if fetched.assignment != self._feed.assignment:
                return
            loop = asyncio.get_running_loop()
            decided = await loop.run_in_executor(self._threads, owned.shard.decide, fetched.topic, records)
            await self._carry_out(owned.shard, fetched, decided)
