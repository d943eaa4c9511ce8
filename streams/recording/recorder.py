"""Records topics into files while they are read: part after part, each whole or not there, so that a cut is made good.

    <folder>/<topic>/<partition>-<first offset>-<last offset>.jsonl or .parquet         offsets with 20 digits

Where it ends is settled before the first record is read. Who records into the same folder again goes on behind the
last part of each partition.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from streams.broker.security import kafka_python_arguments, reachable_now
from streams.contracts.codec import Record
from streams.contracts.topics import TOPICS, Topic
from streams.errors import BadSettings
from streams.recording.files import write_lines
from streams.recording.log import Logged
from streams.recording.noted import Noted, unnoticed
from streams.recording.offsets import Place
from streams.recording.parquet_log import write_records
from streams.settings import Settings

FORMATS = ("jsonl", "parquet")
RECORDS_PER_PART = 131_072  # and, of smaller partitions, what is there at the end
BYTES_PER_PART = 64 << 20
POLLED_WITHIN_MS = 500
_PART = re.compile(r"(\d+)-(\d{20})-(\d{20})\.(?:jsonl|parquet)")


@dataclass(frozen=True)
class Recording:
    settings: Settings
    folder: Path
    format: str = "jsonl"
    noted: Noted = unnoticed

    def record(self, start: Place, until: Place) -> dict[str, int]:
        """How many records of each topic were written by this call."""
        from kafka import KafkaConsumer

        reachable_now(self.settings.kafka)
        consumer = KafkaConsumer(**kafka_python_arguments(self.settings.kafka), enable_auto_commit=False)
        try:
            return self._recorded(consumer, start, until)
        finally:
            consumer.close()

    def _recorded(self, consumer: Any, start: Place, until: Place) -> dict[str, int]:
        from kafka import TopicPartition

        prefix = self.settings.topics.prefix
        there = [
            TopicPartition(prefix + name, partition)
            for name in TOPICS
            for partition in sorted(consumer.partitions_for_topic(prefix + name) or ())
        ]
        if not there:
            raise BadSettings(
                f"[kafka] brokers = {self.settings.kafka.brokers!r} has none of our topics with [topics] prefix = "
                f"{prefix!r}; run `bcl topics create`, or name another prefix"
            )
        ends, begins = _offsets(consumer, there, until), _offsets(consumer, there, start)
        counts = dict.fromkeys(TOPICS, 0)
        reading = {}
        for one in there:
            name = one.topic.removeprefix(prefix)
            begin = max(begins[one], parts_end(self.folder / name, one.partition))
            if begin < ends[one]:
                reading[one] = _Partition(TOPICS[name], one.partition, begin, ends[one])
        wanted, read = sum(part.end - part.position for part in reading.values()), 0
        self.noted(0, wanted)
        consumer.assign(list(reading))
        for one, part in reading.items():
            consumer.seek(one, part.position)
        while reading:
            for one, records in consumer.poll(timeout_ms=POLLED_WITHIN_MS).items():
                if one in reading:
                    reading[one].take(Logged(r.offset, r.timestamp, r.key, r.value) for r in records)
            for one, part in list(reading.items()):
                before = part.position
                part.position = max(before, min(part.end, consumer.position(one)))
                read += part.position - before
                is_over = part.position >= part.end
                if is_over or part.is_full():
                    counts[part.topic.name] += self._write(part)
                if is_over:
                    del reading[one]
                    consumer.pause(one)
            self.noted(read, wanted)
        return counts

    def _write(self, part: "_Partition") -> int:
        records, part.records, part.bytes = part.records, [], 0
        if not records:
            return 0
        name = f"{part.number}-{records[0].offset:020}-{records[-1].offset:020}.{self.format}"
        path = self.folder / part.topic.name / name
        if self.format == "parquet":
            write_records(path, part.topic, part.number, records, self.settings.contracts)
        else:
            write_lines(path, part.topic, part.number, records)
        return len(records)


@dataclass
class _Partition:
    """What of it is read and not yet written."""

    topic: Topic
    number: int
    position: int
    end: int
    records: list[Record] = field(default_factory=list)
    bytes: int = 0

    def take(self, records: Iterator[Logged]) -> None:
        for record in records:
            if self.position <= record.offset < self.end:
                self.records.append(record)
                self.bytes += len(record.key or b"") + len(record.value or b"")

    def is_full(self) -> bool:
        return len(self.records) >= RECORDS_PER_PART or self.bytes >= BYTES_PER_PART


def parts_end(folder: Path, partition: int) -> int:
    """The offset behind the last part; 0: there is none."""
    parts = [_PART.fullmatch(path.name) for path in (folder.iterdir() if folder.is_dir() else ())]
    return max((int(part[3]) + 1 for part in parts if part is not None and int(part[1]) == partition), default=0)


def _offsets(consumer: Any, there: list[Any], place: Place) -> Mapping[Any, int]:
    if place.at_ms is None:
        found: Mapping[Any, int] = (consumer.end_offsets if place.is_end else consumer.beginning_offsets)(there)
        return found
    ends = consumer.end_offsets(there)
    told = consumer.offsets_for_times(dict.fromkeys(there, max(place.at_ms, 0)))
    return {one: ends[one] if told.get(one) is None else told[one].offset for one in there}
