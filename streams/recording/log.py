"""A recorded log: what every topic held, record by record, each where it stood."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from streams.broker.security import kafka_python_arguments, reachable_now
from streams.contracts.codec import Record, decode
from streams.contracts.topics import TOPICS, Topic
from streams.errors import MalformedMessage
from streams.settings import ContractSettings, Settings


class Logged(NamedTuple):
    """One record; all that the door needs of it."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None


class Log:
    """By topic name and partition, in the order of the offsets.

    Where compaction has taken what a decision knew, that decision cannot be taken again: record before it does.
    """

    def __init__(self, topics: Mapping[str, Mapping[int, Sequence[Record]]], contracts: ContractSettings) -> None:
        self._topics, self._contracts = topics, contracts

    def records(self, topic: Topic, partition: int) -> Sequence[Record]:
        return self._topics.get(topic.name, {}).get(partition, ())

    def partitions(self, topic: Topic) -> Sequence[int]:
        return sorted(self._topics.get(topic.name, ()))

    def contracts(self, topic: Topic, partition: int) -> Iterator[tuple[Record, Any]]:
        """Those that can be read, each with its contract; None: a tombstone."""
        for record in self.records(topic, partition):
            try:
                yield record, decode(topic, record.key, record.value, record.timestamp, self._contracts)
            except MalformedMessage:
                continue


def recorded(settings: Settings) -> Log:
    """Everything that the topics hold now; of a system at work, topic after topic."""
    from kafka import KafkaConsumer, TopicPartition

    reachable_now(settings.kafka)
    consumer = KafkaConsumer(**kafka_python_arguments(settings.kafka), enable_auto_commit=False)
    try:
        topics: dict[str, dict[int, list[Record]]] = {}
        for name in TOPICS:
            there = sorted(consumer.partitions_for_topic(settings.topics.prefix + name) or ())
            at = [TopicPartition(settings.topics.prefix + name, partition) for partition in there]
            topics[name] = {partition: [] for partition in there}
            consumer.assign(at)
            consumer.seek_to_beginning(*at)
            ends = consumer.end_offsets(at)
            while any(consumer.position(one) < ends[one] for one in at):
                for one, records in consumer.poll(timeout_ms=500).items():
                    topics[name][one.partition] += [Logged(r.offset, r.timestamp, r.key, r.value) for r in records]
        return Log(topics, settings.contracts)
    finally:
        consumer.close()
