"""A recorded log as parquet: every record as it was, and plays as columns beside it, so that they need no decoding.

One or several files for each topic partition, `<folder>/<topic>/<partition>[...].parquet`. Of every topic:

    offset int64 | time_ms int64 | key binary | value binary        the last two null where the record had none

and of plays as well, all of them null in a row whose record cannot be read:

    listener_id string | song_id string | played_ms int64 | listened_ms int64 | song_ms int64 | liked bool
    market string or null | target_id string or null

Plays that others write may lack key, value, offset (then it is the row's place), time_ms (then it is played_ms), liked,
market and target_id. Topic and partition are told by the file's metadata (`topic`, `partition`), or else by its path.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from streams.contracts.codec import MAX_ID, SEPARATOR, Record, decode_batch
from streams.contracts.dead_letters import DeadLetter
from streams.contracts.plays import Play
from streams.contracts.topics import DAY_MS, HOUR_MS, PLAYS, TOPICS, Topic
from streams.errors import BadSettings
from streams.recording.log import Logged
from streams.recording.played import NO_NAME, NameTable, Played, Tables
from streams.settings import ContractSettings

ROWS_PER_GROUP = 131_072
REFUSED = -2
LATEST_MS = 4_102_444_799_999  # as contracts.fields has it
DICTIONARY_BYTES = 1 << 24  # as long as the names of a group fit in, they are written once

RECORD = [("offset", pa.int64()), ("time_ms", pa.int64()), ("key", pa.binary()), ("value", pa.binary())]
PLAY = [
    ("listener_id", pa.string()),
    ("song_id", pa.string()),
    ("played_ms", pa.int64()),
    ("listened_ms", pa.int64()),
    ("song_ms", pa.int64()),
    ("liked", pa.bool_()),
    ("market", pa.string()),
    ("target_id", pa.string()),
]
NEEDED = ("listener_id", "song_id", "played_ms", "listened_ms", "song_ms")
NAMES = ("listener_id", "song_id", "market")


class File(NamedTuple):
    path: Path
    topic: Topic
    partition: int
    columns: frozenset[str]


class Group(NamedTuple):
    """A row group of plays; every record's time is within these."""

    file: File
    number: int
    first_row: int  # of the file
    rows: int
    first_ms: int
    last_ms: int


def files_below(folder: Path) -> list[File]:
    return [_file(path) for path in sorted(folder.rglob("*.parquet"))]


def write_records(
    path: Path, topic: Topic, partition: int, records: Sequence[Record], contracts: ContractSettings
) -> None:
    """Whole or not at all."""
    columns: dict[str, Any] = {
        "offset": [record.offset for record in records],
        "time_ms": [record.timestamp for record in records],
        "key": [record.key for record in records],
        "value": [record.value for record in records],
    }
    fields = RECORD
    if topic is PLAYS:
        fields = RECORD + PLAY
        columns |= _columns_of(records, partition, contracts)
    _write(path, topic, partition, pa.table(columns, schema=pa.schema(fields)))


def write_plays(path: Path, partition: int, plays: Played, tables: Tables) -> None:
    """Without the records that they came in."""
    columns = {
        "offset": pa.array(plays.offsets),
        "time_ms": pa.array(plays.times_ms),
        "listener_id": _named(plays.listeners, tables.listeners),
        "song_id": _named(plays.songs, tables.songs),
        "played_ms": pa.array(plays.played_ms),
        "listened_ms": pa.array(plays.listened_ms),
        "song_ms": pa.array(plays.song_ms),
        "liked": pa.array(plays.liked),
        "market": _named(plays.markets, tables.markets),
    }
    _write(path, PLAYS, partition, pa.table(columns))


def records_of(file: File) -> Iterator[Record]:
    """As they were recorded; of plays without their records, what their columns say."""
    there = pq.ParquetFile(file.path)
    place = 0
    for number in range(there.num_row_groups):
        rows = there.read_row_group(number).to_pylist()
        for row in rows:
            if "value" in file.columns:
                yield Logged(row["offset"], row["time_ms"], row["key"], row["value"])
            elif all(row[name] is not None for name in NEEDED):
                yield _record_of(row, place)
            place += 1


def groups_of(file: File) -> Iterator[Group]:
    """Read from the file's end alone."""
    metadata = pq.ParquetFile(file.path).metadata
    names = [metadata.schema.column(n).name for n in range(metadata.num_columns)]
    column = names.index("time_ms" if "time_ms" in names else "played_ms")
    first_row = 0
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        told = group.column(column).statistics
        if group.num_rows and (told is None or not told.has_min_max):
            raise BadSettings(
                f"{file.path} tells no first and last {names[column]} of its row groups; write it with them"
            )
        if group.num_rows:
            yield Group(file, number, first_row, group.num_rows, told.min, told.max)
        first_row += group.num_rows


class PlaysReader:
    """Names get their numbers in the order of each group's own dictionary.

    Most names of a group were in the last one of its partition: those are found by arrow, and never become strings.
    """

    def __init__(self, tables: Tables, contracts: ContractSettings) -> None:
        self._tables, self._contracts = tables, contracts
        self._met: dict[tuple[int, str], _Met] = {}  # by partition and column

    def plays_of(self, group: Group) -> tuple[Played, list[DeadLetter]]:
        """What cannot be read is left out."""
        wanted = {"offset", "time_ms", *(name for name, _ in PLAY)} & group.file.columns
        names = [name for name in NAMES if name in wanted]
        there = pq.ParquetFile(group.file.path, read_dictionary=names)
        table = there.read_row_group(group.number, sorted(wanted), use_threads=False)  # they cost more than they save
        rows, tables = group.rows, self._tables

        def numbers(name: str, otherwise: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
            if name not in wanted:
                assert otherwise is not None
                return otherwise
            return _whole(table[name].combine_chunks())

        def numbered(name: str, of: NameTable, most: int = MAX_ID) -> NDArray[np.int64]:
            met = self._met.setdefault((group.file.partition, name), _Met())
            return met.numbered(table[name], of, most)

        played_ms = numbers("played_ms")
        plays = Played(
            listeners=numbered("listener_id", tables.listeners),
            songs=numbered("song_id", tables.songs),
            played_ms=played_ms,
            listened_ms=numbers("listened_ms"),
            song_ms=numbers("song_ms"),
            liked=_is_true(table["liked"]) if "liked" in wanted else np.zeros(rows, np.bool_),
            markets=numbered("market", tables.markets, 8) if "market" in wanted else np.full(rows, NO_NAME),
            answers_a_push=_is_told(table["target_id"]) if "target_id" in wanted else np.zeros(rows, np.bool_),
            times_ms=numbers("time_ms", played_ms),
            partitions=np.full(rows, group.file.partition, np.int64),
            offsets=numbers("offset", group.first_row + np.arange(rows)),
        )
        is_good = (plays.listeners >= 0) & (plays.songs >= 0) & (plays.markets != REFUSED)
        for ms, least, most in ((played_ms, 1, LATEST_MS), (plays.listened_ms, 0, DAY_MS), (plays.song_ms, 0, DAY_MS)):
            is_good &= (ms >= least) & (ms <= most)
        is_good &= played_ms - plays.times_ms <= int(self._contracts.max_ahead_h * HOUR_MS)
        if is_good.all():
            return plays, []
        bad = np.flatnonzero(~is_good)
        return plays[np.flatnonzero(is_good)], _refused(group, bad, plays, self._contracts)


def _refused(group: Group, bad: NDArray[np.int64], plays: Played, contracts: ContractSettings) -> list[DeadLetter]:
    """With the reason of the door, where the record is there."""
    offsets, times = plays.offsets[bad].tolist(), plays.times_ms[bad].tolist()
    if "value" not in group.file.columns:
        reason = "a column of the play holds nothing, or what the contract of plays does not allow"
        return [
            DeadLetter(PLAYS.name, group.file.partition, offset, time_ms, None, None, reason)
            for offset, time_ms in zip(offsets, times, strict=True)
        ]
    table = pq.ParquetFile(group.file.path).read_row_group(group.number, ["key", "value"]).take(pa.array(bad))
    keys, values = table["key"].to_pylist(), table["value"].to_pylist()
    records = [Logged(*one) for one in zip(offsets, times, keys, values, strict=True)]
    _, letters = decode_batch(PLAYS, group.file.partition, records, contracts)
    return letters


def _columns_of(records: Sequence[Record], partition: int, contracts: ContractSettings) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {name: [None] * len(records) for name, _ in PLAY}
    if records:
        batch, _ = decode_batch(PLAYS, partition, records, contracts)
        row_of = {record.offset: row for row, record in enumerate(records)}
        for offset, play in zip(batch.offsets, batch.values, strict=True):
            for name, column in found.items():
                column[row_of[offset]] = getattr(play, name)
    return found


def _record_of(row: dict[str, Any], place: int) -> Record:
    offset = row.get("offset")
    offset = place if offset is None else offset
    play = Play(
        play_id=f"{row['listener_id']}-{offset}"[:MAX_ID],
        listener_id=row["listener_id"],
        song_id=row["song_id"],
        played_ms=row["played_ms"],
        listened_ms=row["listened_ms"],
        song_ms=row["song_ms"],
        liked=bool(row.get("liked")),
        market=row.get("market"),
        target_id=row.get("target_id"),
    )
    time_ms = row.get("time_ms")
    return Logged(
        offset, play.played_ms if time_ms is None else time_ms, play.listener_id.encode(), _ENCODER.encode(play)
    )


def _write(path: Path, topic: Topic, partition: int, table: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.aside")
    told = {"topic": topic.name, "partition": str(partition)}
    try:
        pq.write_table(
            table.replace_schema_metadata(told),
            aside,
            row_group_size=ROWS_PER_GROUP,
            compression="zstd",
            use_dictionary=[name for name in NAMES if name in table.column_names],
            dictionary_pagesize_limit=DICTIONARY_BYTES,
            column_encoding={
                name: "DELTA_BINARY_PACKED"
                for name, kind in (*RECORD, *PLAY)
                if kind == pa.int64() and name in table.column_names
            },
        )
        with aside.open("rb") as written:
            os.fsync(written.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def _file(path: Path) -> File:
    try:
        schema = pq.read_schema(path)
    except (pa.ArrowException, OSError) as error:
        raise BadSettings(f"{path} cannot be read as parquet: {error}") from error
    told = {key.decode(): value.decode(errors="replace") for key, value in (schema.metadata or {}).items()}
    topic = TOPICS.get(told.get("topic", path.parent.name))
    partition = told.get("partition", path.stem.partition("-")[0])
    if topic is None or not partition.isdecimal():
        raise BadSettings(
            f"{path} does not say whose records it has: wanted <topic>/<partition>.parquet, or topic and partition in "
            "its metadata"
        )
    types = {field.name: field.type for field in schema}
    needed = NEEDED if topic is PLAYS and "value" not in types else tuple(name for name, _ in RECORD)
    if missing := [name for name in needed if name not in types]:
        raise BadSettings(f"{path} has no column {missing[0]}; wanted {', '.join(needed)}")
    for name, wanted in (*RECORD, *PLAY):
        found = types.get(name, wanted)
        plain = found.value_type if pa.types.is_dictionary(found) else found
        if plain not in (wanted, *_ALSO.get(wanted, ())):
            raise BadSettings(f"{path}: column {name} is {found}, wanted {wanted}")
    return File(path, topic, int(partition), frozenset(types))


def _named(numbers: NDArray[np.int64], table: NameTable) -> Any:
    names = pa.array(table.all, pa.string())
    return pa.DictionaryArray.from_arrays(pa.array(numbers, mask=numbers == NO_NAME), names).cast(pa.string())


class _Met:
    """Names of one column and their numbers; no more than a group may have."""

    def __init__(self) -> None:
        self._names = pa.array([], pa.string())
        self._numbers = np.zeros(0, np.int64)

    def numbered(self, column: Any, table: NameTable, most: int) -> NDArray[np.int64]:
        """NO_NAME: null; REFUSED: a name that no contract allows."""
        names = column.combine_chunks()
        if not pa.types.is_dictionary(names.type):
            names = names.dictionary_encode()
        every = names.dictionary.cast(pa.string())
        numbers = np.append(self._numbers, NO_NAME)[_whole(pc.index_in(every, value_set=self._names))]
        if len(new := np.flatnonzero(numbers == NO_NAME)):
            unmet = every.take(pa.array(new))
            numbers[new] = found = _told(unmet.to_pylist(), table, most)
            if len(self._names) + len(unmet) <= ROWS_PER_GROUP:
                self._names = pa.concat_arrays([self._names, unmet])
                self._numbers = np.concatenate([self._numbers, found])
            else:
                self._names, self._numbers = every, numbers
        of_rows: NDArray[np.int64] = np.append(numbers, NO_NAME)[_whole(names.indices)]
        return of_rows


def _told(names: list[str], table: NameTable, most: int) -> NDArray[np.int64]:
    numbers = table.known(names)  # a name that has a number was allowed before
    for place in np.flatnonzero(numbers == NO_NAME).tolist():
        name = names[place]
        is_allowed = 0 < len(name) <= most and SEPARATOR not in name
        numbers[place] = table.number(name) if is_allowed else REFUSED
    return numbers


def _whole(column: Any) -> NDArray[Any]:
    """-1 where it holds nothing."""
    found: NDArray[Any] = (column.fill_null(-1) if column.null_count else column).to_numpy(zero_copy_only=False)
    return found


def _is_true(column: Any) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = column.combine_chunks().fill_null(False).to_numpy(zero_copy_only=False)
    return found


def _is_told(column: Any) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = column.combine_chunks().is_valid().to_numpy(zero_copy_only=False)
    return found


_ENCODER = msgspec.json.Encoder()
_ALSO = {
    pa.string(): (pa.large_string(),),
    pa.binary(): (pa.large_binary(),),
    pa.int64(): (pa.int32(), pa.uint32(), pa.int16()),
}
