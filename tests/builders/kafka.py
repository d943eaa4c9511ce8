"""Settings of Kafka and of its topics in one line; a producer and a reader for what a test says and sees."""

import dataclasses
import time
from collections.abc import Iterable
from typing import Any

from streams.broker.security import kafka_python_arguments
from streams.settings import KafkaSettings, TopicSettings

SHORTEST_SESSION_MS = 6_000  # that a broker allows: who dies is missed soon, and who is slow may be taken for dead


def kafka_settings(brokers: str, **changes: Any) -> KafkaSettings:
    settings = KafkaSettings(
        brokers=brokers,
        security="PLAINTEXT",
        ca_file="",
        cert_file="",
        key_file="",
        sasl_mechanism="SCRAM-SHA-256",
        sasl_user="",
        sasl_password="",
        session_timeout_ms=30_000,
        heartbeat_ms=1000,
        compression="lz4",
    )
    return dataclasses.replace(settings, **changes)


def topic_settings(**changes: Any) -> TopicSettings:
    settings = TopicSettings(listener_partitions=4, song_partitions=2, replication=1, min_insync=1, prefix="")
    return dataclasses.replace(settings, **changes)


def send(settings: KafkaSettings, topic: str, records: Iterable[tuple[bytes | None, bytes | None]]) -> None:
    """Returns when every record (key, value) is acknowledged."""
    from kafka import KafkaProducer

    producer = KafkaProducer(**kafka_python_arguments(settings), acks="all", linger_ms=5)
    try:
        sent = [producer.send(topic, key=key, value=value) for key, value in records]
        producer.flush(timeout=60)
        for future in sent:
            future.get(timeout=60)
    finally:
        producer.close()


def read(settings: KafkaSettings, topic: str, *, at_least: int = 0, within_s: float = 60.0) -> list[Any]:
    """Every record of a topic up to its present end; waits until there are `at_least` so many."""
    from kafka import KafkaConsumer, TopicPartition

    consumer = KafkaConsumer(**kafka_python_arguments(settings), enable_auto_commit=False, consumer_timeout_ms=500)
    try:
        until = time.monotonic() + within_s
        partitions = [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic) or ())]
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        found: list[Any] = []
        while time.monotonic() < until:
            for records in consumer.poll(timeout_ms=200).values():
                found += records
            ends = consumer.end_offsets(partitions)
            if len(found) >= at_least and all(consumer.position(one) >= ends[one] for one in partitions):
                return found
        raise AssertionError(f"{topic} has {len(found)} records after {within_s} s, wanted {at_least}")
    finally:
        consumer.close()
