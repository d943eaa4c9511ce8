"""What the command line writes to Kafka and reads from it, through kafka-python; documents come from files or stdin."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import time
from typing import Any

import msgspec

from streams.broker.security import kafka_python_arguments, reachable_now
from streams.contracts.codec import Headers, decode
from streams.contracts.topics import Topic
from streams.errors import BadSettings, BrokerUnavailable, MalformedMessage
from streams.settings import KafkaSettings, Settings

ASKED_AGAIN_AFTER_S = 10.0
GIVEN_UP_AFTER_S = 30.0  # a new topic elects its leaders first, slowly on a busy machine


@dataclass(frozen=True, slots=True)
class Written:
    """A record to be published; its partition follows from the key, unless it is given."""

    topic: str
    key: bytes | None
    value: bytes | None
    time_ms: int
    headers: Headers
    partition: int | None = None


@contextmanager
def reacting(kafka: KafkaSettings) -> Iterator[None]:
    """The reason if Kafka cannot be reached, and its errors as ours."""
    from kafka.errors import KafkaError

    reachable_now(kafka)
    try:
        yield
    except KafkaError as error:
        raise BrokerUnavailable(f"Kafka at {kafka.brokers}: {type(error).__name__} {error}") from error


Places = list[tuple[int, int]]  # partition and offset of each record
Publish = Callable[[Sequence[Written]], Places]


@contextmanager
def publishing(settings: KafkaSettings, topic: str) -> Iterator[Publish]:
    """A function that returns when all replicas have the records it was given."""
    from kafka import KafkaConsumer, KafkaProducer

    with reacting(settings):
        _refuse_missing(KafkaConsumer(**kafka_python_arguments(settings)), topic, settings)
        producer = KafkaProducer(
            **kafka_python_arguments(settings),
            acks="all",
            linger_ms=5,
            request_timeout_ms=int(1000 * ASKED_AGAIN_AFTER_S),
            delivery_timeout_ms=int(1000 * GIVEN_UP_AFTER_S),
        )

        def publish(records: Sequence[Written]) -> Places:
            sent = [
                producer.send(one.topic, one.value, one.key, one.headers, one.partition, one.time_ms) for one in records
            ]
            metadata = [future.get() for future in sent]
            return [(one.partition, one.offset) for one in metadata]

        try:
            yield publish
        finally:
            producer.close()


def publish(settings: KafkaSettings, records: Sequence[Written]) -> Places:
    """Some records, of one topic or of several."""
    places: dict[int, tuple[int, int]] = {}
    for topic in dict.fromkeys(record.topic for record in records):
        of_topic = [n for n, record in enumerate(records) if record.topic == topic]
        with publishing(settings, topic) as send:
            places.update(zip(of_topic, send([records[n] for n in of_topic]), strict=True))
    return [places[n] for n in range(len(records))]


def _refuse_missing(consumer: Any, topic: str, settings: KafkaSettings) -> None:
    """A producer would wait for a minute, and not say for what."""
    try:
        if topic not in consumer.topics():
            raise BrokerUnavailable(f"Kafka at {settings.brokers} has no topic {topic}; run `bcl topics create`")
    finally:
        consumer.close()


def read_to_the_end(settings: KafkaSettings, topic: str) -> Iterator[Any]:
    """Every record that the topic holds now, partition by partition in the order of the offsets."""
    from kafka import KafkaConsumer, TopicPartition

    with reacting(settings):
        _refuse_missing(KafkaConsumer(**kafka_python_arguments(settings)), topic, settings)
        consumer = KafkaConsumer(**kafka_python_arguments(settings), enable_auto_commit=False)
        try:
            for partition in sorted(consumer.partitions_for_topic(topic)):
                at = TopicPartition(topic, partition)
                consumer.assign([at])
                consumer.seek_to_beginning(at)
                end = consumer.end_offsets([at])[at]
                while consumer.position(at) < end:
                    for record in consumer.poll(timeout_ms=500).get(at, []):
                        if record.offset < end:
                            yield record
        finally:
            consumer.close()


def documents(source: str) -> list[Any]:
    """A file, or stdin for `-`: one JSON document, a list of them, or one on each line."""
    try:
        text = sys.stdin.read() if source == "-" else Path(source).read_text("utf-8")
    except ValueError as error:
        raise MalformedMessage(f"{source} is no UTF-8 text: {error}") from error
    try:
        whole = json.loads(text)
        return whole if isinstance(whole, list) else [whole]
    except ValueError:
        found = []
        for n, line in enumerate(text.splitlines(), 1):
            if line.strip():
                try:
                    found.append(json.loads(line))
                except ValueError as error:
                    raise MalformedMessage(f"{source}, line {n}: {error}") from error
        return found


@dataclass(frozen=True, slots=True)
class Read:
    """A document as the record that it would be."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None

    @classmethod
    def of(cls, document: Any, key_field: str, offset: int, time_ms: int) -> "Read":
        key = document.get(key_field) if isinstance(document, dict) else None
        return cls(
            offset,
            time_ms,
            key.encode("utf-8", "replace") if isinstance(key, str) else b"?",  # the door names what is wrong with it
            json.dumps(document).encode(),
        )


def checked(topic: Topic, key_field: str, document: Any, settings: Settings, time_ms: int) -> Written:
    """As the door will judge it; raises MalformedMessage."""
    read = Read.of(document, key_field, 0, time_ms)
    contract = decode(topic, read.key, read.value, time_ms, settings.contracts)
    return Written(settings.topics.prefix + topic.name, read.key, msgspec.json.encode(contract), time_ms, [])


def now_ms() -> int:
    return int(time() * 1000)


def ms_of(text: str) -> int:
    """Milliseconds since 1970, or a date or time as in ISO 8601; UTC where no zone is given."""
    if text.isdigit():
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadSettings(
            f"{text!r} is no time, wanted 2026-03-01, 2026-03-01T12:00 or milliseconds since 1970"
        ) from error
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def pairs(assignments: Sequence[str], option: str) -> dict[str, str]:
    found = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not (name and equals):
            raise BadSettings(f"{option} {assignment}: wanted NAME=VALUE")
        found[name] = value
    return found
