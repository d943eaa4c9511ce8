"""What is published arrives whole, in order, in the partition that its key names, and only under a valid lease."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from streams.agents.lease import Lease
from streams.agents.publisher import MAX_BATCH_BYTES, Publisher
from streams.broker.security import aiokafka_arguments
from streams.contracts.dead_letters import DeadLetter
from streams.contracts.messages import Message
from streams.contracts.partitions import partition_of
from streams.contracts.topics import PLAYS, PUSH_TARGETS, SONG_EMBEDDINGS
from streams.errors import LostOwnership
from streams.settings import KafkaSettings, TopicSettings
from tests.builders.contracts import embedded, target
from tests.builders.kafka import read


@asynccontextmanager
async def publisher(
    kafka: KafkaSettings, topics: TopicSettings, lease: Lease, ends: Callable[[BaseException], None] = print
) -> AsyncIterator[Publisher]:
    one = Publisher(aiokafka_arguments(kafka), topics, lease, "lz4", fatal=ends)
    await one.start()
    try:
        yield one
    finally:
        await one.stop()


async def test_messages_arrive_in_the_partition_of_their_key_and_their_end_is_told(
    kafka_settings: KafkaSettings, make_topics: Callable[..., TopicSettings]
):
    topics = make_topics()
    songs = [f"s{n}" for n in range(50)]
    async with publisher(kafka_settings, topics, Lease(60)) as one:
        ends = await one.publish(
            Message(SONG_EMBEDDINGS, song, embedded(song), 1_000 + n) for n, song in enumerate(songs)
        )

    records = read(kafka_settings, topics.prefix + SONG_EMBEDDINGS.name, at_least=50)
    assert {(r.key.decode(), r.partition) for r in records} == {
        (song, partition_of(song.encode(), topics.song_partitions)) for song in songs
    }
    assert sorted(r.timestamp for r in records) == [1_000 + n for n in range(50)]
    for partition in range(topics.song_partitions):
        count = sum(r.partition == partition for r in records)
        assert ends[SONG_EMBEDDINGS.name, partition] == count


async def test_more_than_one_batch_keeps_its_order(
    kafka_settings: KafkaSettings, make_topics: Callable[..., TopicSettings]
):
    topics = make_topics()
    message = Message(PUSH_TARGETS, "ann", target("ann"), 1, partition=2)
    many = [Message(PUSH_TARGETS, "ann", target("ann"), n + 1, partition=2) for n in range(3 * MAX_BATCH_BYTES // 600)]
    assert message.partition == 2

    async with publisher(kafka_settings, topics, Lease(60)) as one:
        ends = await one.publish(many)

    records = read(kafka_settings, topics.prefix + PUSH_TARGETS.name, at_least=len(many))
    assert [r.timestamp for r in records] == [m.time_ms for m in many]
    assert ends == {(PUSH_TARGETS.name, 2): len(many)}


async def test_a_dead_letter_says_where_it_came_from(
    kafka_settings: KafkaSettings, make_topics: Callable[..., TopicSettings]
):
    topics = make_topics()
    async with publisher(kafka_settings, topics, Lease(60)) as one:
        await one.publish([], [DeadLetter("plays", 3, 17, 1_000, b"ann", b"{oops", "truncated")])

    [letter] = read(kafka_settings, topics.prefix + PLAYS.dead_letters, at_least=1)
    headers = dict(letter.headers)
    assert letter.value == b"{oops" and letter.key == b"ann"
    assert (headers["topic"], headers["partition"], headers["offset"]) == (b"plays", b"3", b"17")
    assert headers["reason"] == b"truncated"


async def test_without_a_valid_lease_nothing_is_published(
    kafka_settings: KafkaSettings, make_topics: Callable[..., TopicSettings]
):
    topics = make_topics()
    lease = Lease(60)
    async with publisher(kafka_settings, topics, lease) as one:
        await one.publish([Message(PUSH_TARGETS, "ann", target("ann"), 1, partition=0)])
        lease.lasts_s = 0.0
        with pytest.raises(LostOwnership):
            await one.publish([Message(PUSH_TARGETS, "bob", target("bob"), 1, partition=0)])

    assert [r.key for r in read(kafka_settings, topics.prefix + PUSH_TARGETS.name, at_least=1)] == [b"ann"]


class LostOnItsWay(Lease):
    """Valid when a batch is handed over, and no longer when its bytes are about to leave."""

    def __init__(self) -> None:
        super().__init__(60)
        self.asked = 0

    def check(self) -> None:
        self.asked += 1
        self.lasts_s = 60 if self.asked == 1 else 0
        super().check()


async def test_a_lease_that_is_lost_on_the_way_ends_the_worker_before_the_socket(
    kafka_settings: KafkaSettings, make_topics: Callable[..., TopicSettings]
):
    topics = make_topics()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda *_: None)  # a producer that fails leaves futures that nobody asks
    ended: asyncio.Future[BaseException] = loop.create_future()

    def end(error: BaseException) -> None:
        if not ended.done():
            ended.set_result(error)

    async with publisher(kafka_settings, topics, LostOnItsWay(), end) as one:
        publishing = asyncio.create_task(one.publish([Message(PUSH_TARGETS, "ann", target("ann"), 1, partition=0)]))
        assert isinstance(await asyncio.wait_for(ended, 60), LostOwnership)
        publishing.cancel()

    assert read(kafka_settings, topics.prefix + PUSH_TARGETS.name) == []
