"""A recorded log as JSON Lines: written whole or not at all, read back byte for byte, damaged lines counted and named.

One or several files for each topic partition, `<folder>/<topic>/<partition>[...].jsonl`, a record on each line:

    {"topic": "plays", "partition": 3, "offset": 17, "time_ms": 1700000000000, "key": "l1", "value": {...}}

`value` is the record's JSON as it was, null for a record without a value. What is not JSON stands in `value_base64`,
a key that is not UTF-8 in `key_base64`. A line that cannot be read is left out: of the first ten it is told why.
"""

import base64
import binascii
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path

import msgspec

from streams.contracts.codec import Record
from streams.contracts.topics import TOPICS, Topic, Wire
from streams.errors import BadSettings
from streams.recording.log import Log, Logged
from streams.recording.parquet_log import files_below, records_of
from streams.settings import ContractSettings

NAMED = 10  # damaged lines


class Line(msgspec.Struct, omit_defaults=True):
    topic: str
    partition: int
    offset: int
    time_ms: int
    key: str | None = None
    key_base64: str | None = None
    value: msgspec.Raw = msgspec.Raw(b"null")
    value_base64: str | None = None


@dataclass
class Damage:
    """What could not be read."""

    lines: int = 0
    first: list[str] = field(default_factory=list)  # file, line, reason

    def note(self, file: Path, line: int, reason: str) -> None:
        self.lines += 1
        if len(self.first) < NAMED:
            self.first.append(f"{file}, line {line}: {reason}")


def write_log(log: Log, folder: Path) -> int:
    """How many records. A file that is there already is replaced."""
    return sum(
        write_lines(folder / topic.name / f"{partition}.jsonl", topic, partition, log.records(topic, partition))
        for topic in TOPICS.values()
        for partition in log.partitions(topic)
    )


def read_log(folder: Path, contracts: ContractSettings, *, but_not: Sequence[Topic] = ()) -> tuple[Log, Damage]:
    """Every `*.jsonl` and `*.parquet` below the folder; of lines that name one record the first counts."""
    files, columnar = sorted(folder.rglob("*.jsonl")), files_below(folder)
    if not files and not columnar:
        raise BadSettings(f"{folder} holds no log: there is no *.jsonl or *.parquet file below it")
    damage = Damage()
    found: dict[str, dict[int, dict[int, Record]]] = {}
    left_out = {topic.name for topic in but_not}
    for file in files:
        for topic, partition, record in _lines(file, damage):
            if topic not in left_out:
                found.setdefault(topic, {}).setdefault(partition, {}).setdefault(record.offset, record)
    for one in columnar:
        if one.topic.name not in left_out:
            kept = found.setdefault(one.topic.name, {}).setdefault(one.partition, {})
            for record in records_of(one):
                kept.setdefault(record.offset, record)
    offset = attrgetter("offset")
    topics = {
        topic: {partition: sorted(records.values(), key=offset) for partition, records in partitions.items()}
        for topic, partitions in found.items()
    }
    return Log(topics, contracts), damage


def write_lines(file: Path, topic: Topic, partition: int, records: Iterable[Record]) -> int:
    """How many; the file is there whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_name(f".{file.name}.{os.getpid()}.aside")
    written = 0
    try:
        with aside.open("wb") as out:
            for record in records:
                out.write(_encoded(topic, partition, record) + b"\n")
                written += 1
            out.flush()
            os.fsync(out.fileno())
        aside.replace(file)
    finally:
        aside.unlink(missing_ok=True)
    return written


def _encoded(topic: Topic, partition: int, record: Record) -> bytes:
    line = Line(topic.name, partition, record.offset, record.timestamp)
    if record.key is not None:
        try:
            line.key = record.key.decode()
        except UnicodeDecodeError:
            line.key_base64 = base64.b64encode(record.key).decode()
    if record.value is not None:
        if topic.wire is Wire.JSON and _is_json_on_a_line(record.value):
            line.value = msgspec.Raw(record.value)
        else:
            line.value_base64 = base64.b64encode(record.value).decode()
    return _ENCODER.encode(line)


def _is_json_on_a_line(value: bytes) -> bool:
    """The word null alone would come back as no value at all, and outer blanks would be lost."""
    if value == b"null" or value != value.strip() or b"\n" in value or b"\r" in value:
        return False
    try:
        msgspec.json.decode(value)
        value.decode()
    except (ValueError, RecursionError):
        return False
    return True


def _lines(file: Path, damage: Damage) -> Iterator[tuple[str, int, Record]]:
    with file.open("rb") as lines:
        for number, raw in enumerate(lines, 1):
            if raw.isspace():
                continue
            try:
                line = _DECODER.decode(raw)
                record = _record(line)
            except (ValueError, RecursionError) as reason:  # of msgspec, base64 and UTF-8 alike
                damage.note(file, number, str(reason))
                continue
            yield line.topic, line.partition, record


def _record(line: Line) -> Logged:
    if line.topic not in TOPICS:
        raise ValueError(f"topic is {line.topic!r:.80}, wanted one of {', '.join(TOPICS)}")
    if min(line.partition, line.offset, line.time_ms) < 0:
        raise ValueError("partition, offset or time_ms is below 0")
    key = line.key.encode() if line.key is not None else _from_base64("key_base64", line.key_base64)
    value = _from_base64("value_base64", line.value_base64)
    if value is None and bytes(line.value) != b"null":
        value = bytes(line.value)
    return Logged(line.offset, line.time_ms, key, value)


def _from_base64(name: str, text: str | None) -> bytes | None:
    try:
        return None if text is None else base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(f"{name} is {text!r:.80}: {error}") from error


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Line)
