"""What a feed hands to its agents: records of partitions that are its own at that moment, and no others."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest
from aiokafka import TopicPartition
from aiokafka.structs import ConsumerRecord

from streams.agents.feed import Feed, Fetched
from streams.agents.lease import Lease
from streams.contracts.topics import PLAYS
from tests.builders.contracts import settings
from tests.builders.kafka import kafka_settings

AT = TopicPartition(PLAYS.name, 0)
RECORD = ConsumerRecord(PLAYS.name, 0, 7, 1_000, 0, b"ann", b"{}", None, 3, 2, ())


class Consumer:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.is_asked, self.answers = asyncio.Event(), asyncio.Event()

    async def getmany(self, *partitions: TopicPartition, **_: object) -> dict[TopicPartition, list[ConsumerRecord]]:
        self.is_asked.set()
        await self.answers.wait()
        self.answers.clear()
        return {AT: [RECORD]}


class Channel(list[Fetched]):
    async def put(self, fetched: Fetched) -> None:
        self.append(fetched)


@pytest.fixture
def feed() -> Iterator[Feed]:
    usual = settings()
    one = Feed(
        "listener",
        {PLAYS: Channel()},
        kafka={},
        group="bcl-listeners",
        settings=(kafka_settings(""), replace(usual.topics, prefix=""), usual.worker),
        lease=Lease(60),
        open_shard=lambda _: pytest.fail("no shard is opened"),
        fatal=pytest.fail,
    )
    one.consumer, one._partitions = Consumer(), {PLAYS: [AT]}
    one._assigned.set()
    yield one


@pytest.mark.parametrize(("is_given_up", "handed"), [(False, [{0: [RECORD]}]), (True, [])])
async def test_what_was_asked_for_before_the_partitions_were_given_up_is_not_handed_over(feed, is_given_up, handed):
    [pump], channel = feed.pumps(), feed._channels[PLAYS]
    pumping = asyncio.create_task(pump)
    await feed.consumer.is_asked.wait()
    if is_given_up:
        await feed.give_up([AT])
    feed.consumer.answers.set()
    while feed.consumer.answers.is_set():
        await asyncio.sleep(0)
    for _ in range(10):
        await asyncio.sleep(0)
    assert [fetched.records for fetched in channel] == handed
    assert not pumping.done()
    pumping.cancel()
