"""What every agent does: let the batch through its shard, publish, commit, acknowledge - in this order.

    decide ─► publish, all acknowledged ─► state and offset in one write ─► acknowledge
             after-outputs            after-state                before-acknowledgement   (crash points)

A crash repeats messages and loses none: what was published and not written is adopted or recognised when it comes
again.
"""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from time import time

from streams.agents.feed import Feed, Fetched
from streams.agents.precedence import Precedence
from streams.agents.publisher import Publisher
from streams.contracts.topics import AUDIENCE_SAMPLES, PLAYS, TARGET_REACTIONS
from streams.metrics import Metrics
from streams.shard import Decided, Shard
from streams.state.crash_points import AFTER_OUTPUTS, AFTER_STATE, reached

GIVES_WAY = {PLAYS, AUDIENCE_SAMPLES, TARGET_REACTIONS}  # to releases, and to what follows from them
STEPS_TO_THE_DOOR = 8  # turns of the loop in which a release that has arrived comes from the socket to its shard


class Door:
    def __init__(
        self,
        feed: Feed,
        publisher: Publisher,
        metrics: Metrics,
        fatal: Callable[[BaseException], None],
        precedence: Precedence,
    ) -> None:
        self._feed, self._publisher, self._metrics, self._fatal = feed, publisher, metrics, fatal
        self._precedence = precedence

    async def let_through(self, fetched: Fetched) -> None:
        try:
            turn = asyncio.Lock()
            await asyncio.gather(*(self._partition(fetched, partition, turn) for partition in fetched.records))
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # an agent that raises would be restarted by Faust, one batch short
            self._fatal(error)

    async def _partition(self, fetched: Fetched, partition: int, turn: asyncio.Lock) -> None:
        """Partitions are decided one by one: what one has said is sent before the next begins."""
        owned, records = self._feed.owned.get(partition), fetched.records[partition]
        if owned is None:
            return
        async with AsyncExitStack() as held:
            async with turn:
                await asyncio.sleep(0)  # what else has arrived gets its chance
                if fetched.topic in GIVES_WAY:
                    for _ in range(STEPS_TO_THE_DOOR):
                        await asyncio.sleep(0)
                    await self._precedence.give_way()
                else:
                    self._precedence.take()
                await held.enter_async_context(owned.lock)
                if fetched.assignment != self._feed.assignment:
                    return
                decided = owned.shard.decide(fetched.topic, records)
            await self._carry_out(owned.shard, fetched, decided)

    async def _carry_out(self, shard: Shard, fetched: Fetched, decided: Decided) -> None:
        topic, partition = fetched.topic, shard.partition
        own = await self._publish(shard, decided)
        if topic not in GIVES_WAY:
            self._precedence.take()
        reached(AFTER_OUTPUTS)
        shard.commit(decided, own)
        reached(AFTER_STATE)
        self._feed.acknowledge(topic, partition, decided.next_offset, fetched.assignment)
        self._metrics.consumed(topic.name, decided.records)
        self._metrics.moved(topic.name, partition)
        self._metrics.fresh(topic.name, fetched.records[partition][-1].timestamp)

    async def expire(self) -> None:
        """Decisions that wait for nobody any longer; called by a timer."""
        try:
            for owned in list(self._feed.owned.values()):
                async with owned.lock:
                    if self._feed.owned.get(owned.shard.partition) is not owned or not self._feed.is_assigned:
                        continue
                    messages = owned.shard.expire(int(time() * 1000))
                    if messages:
                        nothing = Decided(messages[0].topic, 0, 0, messages, [])
                        owned.shard.commit_expired(await self._publish(owned.shard, nothing))
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self._fatal(error)

    async def _publish(self, shard: Shard, decided: Decided) -> dict[str, int]:
        ends = await self._publisher.publish(decided.messages, decided.dead_letters, first=shard.decisions)
        for letter in decided.dead_letters:
            self._metrics.dead_letter(letter.topic)
        self._metrics.published(decided.messages)
        return {topic: end for (topic, p), end in ends.items() if p == shard.partition and topic in shard.decisions}
