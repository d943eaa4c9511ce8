"""Kafka's door: one consumer for each side, whole batches to the agents, assignments, commits.

Faust's own consumer loses records in rebalances, this feed does not. An assignment restores each shard and seeks to
the offsets that its state holds before anything is fetched; every batch carries the number of its assignment, and what
belongs to an older one is neither decided nor written nor acknowledged.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from aiokafka.structs import ConsumerRecord, OffsetAndMetadata
from faust import Service
from faust.types import ChannelT

from streams.agents.lease import Lease, now_s
from streams.contracts.topics import Topic
from streams.errors import NoProgress
from streams.settings import KafkaSettings, TopicSettings, WorkerSettings
from streams.shard import Shard
from streams.state.crash_points import BEFORE_ACKNOWLEDGEMENT, reached


@dataclass(frozen=True, slots=True)
class Fetched:
    """Records of one topic, by partition, as they were assigned."""

    topic: Topic
    assignment: int
    records: Mapping[int, Sequence[ConsumerRecord]]


@dataclass
class Owned:
    """A shard, and the lock that lets one batch at a time pass."""

    shard: Shard
    lock: asyncio.Lock


class Feed(Service):
    def __init__(
        self,
        side: str,
        topics: Mapping[Topic, ChannelT[Any]],
        *,
        kafka: Mapping[str, Any],
        group: str,
        settings: tuple[KafkaSettings, TopicSettings, WorkerSettings],
        lease: Lease,
        open_shard: Callable[[int], Awaitable[Shard]],
        fatal: Callable[[BaseException], None],
    ) -> None:
        super().__init__()
        self.side = side
        self.assignment = 0
        self.owned: dict[int, Owned] = {}
        self.lease = lease
        self._kafka_arguments, self._group = kafka, group
        self._kafka, self._topic_settings, self._worker = settings
        self._channels = topics
        self._by_name = {self._topic_settings.prefix + topic.name: topic for topic in topics}
        self._open_shard, self._fatal = open_shard, fatal
        self._acknowledged: dict[TopicPartition, int] = {}
        self._moved_at: dict[TopicPartition, float] = {}
        self._handed: dict[TopicPartition, int] = {}  # the offset after the last record that an agent was given
        self._assigned = asyncio.Event()
        self._generation = -1

    # -- the group

    async def on_start(self) -> None:
        self.consumer = AIOKafkaConsumer(
            **self._kafka_arguments,
            group_id=self._group,
            group_instance_id=f"{self._worker.name}-{self.side}" if self._worker.name else None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            session_timeout_ms=self._kafka.session_timeout_ms,
            heartbeat_interval_ms=self._kafka.heartbeat_ms,
            partition_assignment_strategy=[RangePartitionAssignor],
            fetch_max_wait_ms=20,  # a partition that was drained waits for the fetch under way: this bounds the wait
            max_partition_fetch_bytes=4 * 1024 * 1024,
            max_poll_interval_ms=900_000,
        )
        await self.consumer.start()
        # Plays that give way lie fetched for a while; aiokafka would ask that broker for nothing else meanwhile.
        self.consumer._fetcher._prefetch_backoff = 0.0
        self.consumer.subscribe(topics=list(self._by_name), listener=_Rebalances(self))
        self._renew_lease_with_heartbeats()

    def _renew_lease_with_heartbeats(self) -> None:
        coordinator, lease = self.consumer._coordinator, self.lease
        beat = coordinator._do_heartbeat

        async def beat_and_renew() -> bool:
            asked_s = now_s()
            answered: bool = await beat()
            if answered:
                lease.renew(asked_s)
            return answered

        coordinator._do_heartbeat = beat_and_renew

    async def give_up(self, partitions: Iterable[TopicPartition]) -> None:
        """The group is about to rebalance: what is under way is finished, acknowledged and kept until we know more."""
        self._assigned.clear()
        locks = [owned.lock for owned in self.owned.values()]
        for lock in locks:
            await lock.acquire()
        self.assignment += 1
        for lock in locks:
            lock.release()
        await self.commit_offsets()
        self._acknowledged.clear()
        self._moved_at.clear()
        self._handed.clear()

    async def take_over(self, assigned: Iterable[TopicPartition]) -> None:
        """State first: each shard is opened, and reading goes on where its state ends."""
        self.lease.renew(now_s())
        # aiokafka starts it only after this call: a restore that outlasts the session would lose the partitions
        self.consumer._coordinator._start_heartbeat_task()
        assigned = set(assigned)
        partitions = {at.partition for at in assigned}
        generation = self.consumer._coordinator.generation
        # One generation later nobody else can have owned in between what we owned before; else the disk is stale.
        kept = self.owned if generation == self._generation + 1 else {}
        for partition in sorted(set(self.owned) - (partitions & set(kept))):
            self.owned.pop(partition).shard.close()
        self._generation = generation
        for partition in sorted(partitions - set(self.owned)):
            self.owned[partition] = Owned(await self._open_shard(partition), asyncio.Lock())
        beginnings = await self.consumer.beginning_offsets(list(assigned))
        for at in assigned:
            known = self.owned[at.partition].shard.next_offset(self._by_name[at.topic].name)
            self.consumer.seek(at, max(known or 0, beginnings[at]))
            if known is not None:
                self._acknowledged[at] = known  # a crash may have come between state and acknowledgement
            self._moved_at[at] = time.monotonic()
        self._partitions = {
            topic: [at for at in assigned if self._by_name[at.topic] is topic] for topic in self._channels
        }
        self.assignment += 1
        if assigned:
            self._assigned.set()
        self.log.info("%s: partitions %s", self.side, sorted(partitions))

    @property
    def is_assigned(self) -> bool:
        """Not while the group rebalances: then nobody decides."""
        return self._assigned.is_set()

    # -- records to the agents

    def pumps(self) -> list[Awaitable[None]]:
        return [self._pump(topic, channel) for topic, channel in self._channels.items()]

    async def on_started(self) -> None:
        for pump in self.pumps():
            self.add_future(pump)

    async def _pump(self, topic: Topic, channel: ChannelT[Any]) -> None:
        """Each topic has its own, so that a backlog of plays never stands before a release."""
        try:
            while not self.should_stop:
                await self._assigned.wait()
                fetched = await self._take(topic)
                if fetched.records and self.is_assigned:  # what comes after the partitions were given up is not ours
                    for partition, records in fetched.records.items():
                        at = TopicPartition(self._topic_settings.prefix + topic.name, partition)
                        self._handed[at] = records[-1].offset + 1
                    await channel.put(fetched)  # type: ignore[arg-type]  # as its agents do
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            if not self.should_stop:
                self._fatal(error)

    async def _take(self, topic: Topic) -> Fetched:
        """A batch of each partition that has one: while one waits for its acknowledgements, another is decided."""
        at_most, partitions = self._worker.records_per_batch, self._partitions[topic]
        fetched = await self.consumer.getmany(*partitions, timeout_ms=200, max_records=at_most)
        # The number is read with the records, and counted up before and after every seek: what was fetched from
        # another position than the state's is never taken for the present.
        assignment = self.assignment
        for at in partitions if fetched else ():
            if at not in fetched:
                more = await self.consumer.getmany(at, max_records=at_most)
                if assignment != self.assignment:
                    fetched, assignment = more, self.assignment
                    break
                fetched.update(more)
        return Fetched(topic, assignment, {at.partition: records for at, records in fetched.items()})

    def acknowledge(self, topic: Topic, partition: int, next_offset: int, assignment: int) -> None:
        if assignment == self.assignment:
            at = TopicPartition(self._topic_settings.prefix + topic.name, partition)
            self._acknowledged[at] = next_offset
            self._moved_at[at] = time.monotonic()

    @Service.task
    async def keep_committing(self) -> None:
        while not self.should_stop:
            await self.sleep(self._worker.commit_every_s)
            await self.commit_offsets()
            if not self._assigned.is_set():
                # A spare worker fetches nothing: aiokafka would take it for stuck and leave the group (aiokafka#720).
                with self.consumer._subscription.fetch_context():
                    pass

    async def commit_offsets(self) -> None:
        """For those who watch the lag; state is never restored from these."""
        offsets, self._acknowledged = self._acknowledged, {}
        if offsets:
            reached(BEFORE_ACKNOWLEDGEMENT)
            try:
                await self.consumer.commit({at: OffsetAndMetadata(offset, "") for at, offset in offsets.items()})
            except (CommitFailedError, IllegalStateError, KafkaError) as error:
                self.log.info("%s: commit refused, tried again unless the partitions move: %s", self.side, error)
                self._acknowledged = {**offsets, **self._acknowledged}

    # -- liveness

    def is_caught_up(self) -> bool:
        return self._assigned.is_set() and sum(self.lags().values()) <= self._worker.records_per_batch

    def lags(self) -> dict[TopicPartition, int]:
        """Records that lie in Kafka and are not yet in the state; without asking Kafka."""
        if not self.is_assigned:
            return {}
        return {at: self._lag(at) for at in self.consumer.assignment() if at.partition in self.owned}

    def _lag(self, at: TopicPartition) -> int:
        end = self.consumer.highwater(at) or 0
        folded = self.owned[at.partition].shard.next_offset(self._by_name[at.topic].name) or 0
        read = self.consumer._subscription.subscription.assignment.state_value(at)._position or 0
        if read >= end and folded >= self._handed.get(at, 0):
            return 0  # compaction may have left nothing between the last record and the end
        return max(0, end - folded)

    @Service.task
    async def watch_progress(self) -> None:
        while not self.should_stop:
            await self.sleep(min(5.0, self._worker.progress_within_s / 2))
            now = time.monotonic()
            for at, lag in self.lags().items():
                if lag == 0:
                    self._moved_at[at] = now
                elif now - self._moved_at.get(at, now) > self._worker.progress_within_s:
                    self._fatal(
                        NoProgress(
                            f"{at.topic}[{at.partition}] has {lag} records and has not moved for "
                            f"{self._worker.progress_within_s:.0f} s"
                        )
                    )

    async def on_stop(self) -> None:
        await self.give_up(())
        await self.consumer.stop()  # lets a rebalance end that is under way, with its calls of us
        for owned in self.owned.values():
            owned.shard.close()
        self.owned.clear()


class _Rebalances(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka is untyped
    """aiokafka logs what its listener raises and goes on; we must not."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        await self._or_die(self._feed.give_up(revoked))

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        await self._or_die(self._feed.take_over(assigned))

    async def _or_die(self, step: Awaitable[None]) -> None:
        try:
            await step
        except Exception as error:
            self._feed._fatal(error)
