"""A store on disk: one RocksDB folder for each shard, opened by one worker at a time.

letter …         what the stages keep
00 "o" topic     the offset at which reading of the topic goes on, eight bytes
00 "p"           a purge has been written, and its old bytes may still be on the disk
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from heapq import merge
from itertools import islice, takewhile
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast
from weakref import WeakSet

from rocksdict import (
    BlockBasedOptions,
    BottommostLevelCompaction,
    Cache,
    Checkpoint,
    CompactOptions,
    DbClosedError,
    DBCompressionType,
    Options,
    Rdict,
    ReadOptions,
    WriteBatch,
    WriteBufferManager,
)

from streams.errors import StoreDamaged, StoreUnavailable

MIB = 1 << 20
# RocksDB's own defaults are meant for one database in a process; a worker has one for each shard.
BLOCK_CACHE = 32 * MIB  # of all stores in the process
WRITE_BUFFERS = 128 * MIB  # of all stores in the process
WRITE_BUFFER = 16 * MIB
TABLE_FILE = 16 * MIB  # small, so that a purge rewrites little
READ_AHEAD = 2 * MIB
ITEMS_PER_READ = 1024
RANGES_PER_PURGE = 32  # more keys than this are compacted away as one range

OFFSET = b"\0o"
PURGED = b"\0p"
FIRST = b"\1"  # of what the stages keep

Item = tuple[bytes, bytes]
T = TypeVar("T")


class RocksdictStore:
    """The folder is made if it does not exist; `StoreUnavailable` if another process or store has it open.

    Nothing is synced: a killed process loses nothing, a machine without power the last commits, which the log repeats.
    """

    def __init__(
        self, folder: Path, *, write_buffer: int = WRITE_BUFFER, ranges_per_purge: int = RANGES_PER_PURGE
    ) -> None:
        self._folder = folder
        self._write_buffer = write_buffer
        self._ranges_per_purge = ranges_per_purge
        self._pending: dict[bytes, bytes | None] = {}  # None: deleted
        self._purged: set[Range] = set()
        self._scans: WeakSet[_Scan] = WeakSet()
        self._db = self._opened()
        if self._saying(lambda: self._db.get(PURGED)) is not None:
            self._saying(lambda: self._remove_old_bytes([EVERYTHING]))

    def get(self, key: bytes) -> bytes | None:
        if key in self._pending:
            return self._pending[key]
        try:
            found: bytes | None = self._db.get(key)
        except Exception as error:
            raise self._refusal(error) from error
        return found

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        pending = self._pending
        found: Any = self._saying(lambda: self._db.get(list(keys)))
        committed: list[bytes | None] = found
        if pending.keys().isdisjoint(keys):
            return committed
        return [pending.get(key, value) for key, value in zip(keys, committed, strict=True)]

    def put(self, key: bytes, value: bytes) -> None:
        self._pending[key] = value

    def delete(self, key: bytes) -> None:
        self._pending[key] = None

    def purge(self, keys: list[bytes], overwritten: bytes | None = None) -> None:
        self._pending.update(dict.fromkeys(keys))
        self._purged.update(Range(key, key) for key in keys)
        if overwritten is not None:
            self._purged.add(Range(overwritten, overwritten + AFTER_ALL))

    def items(self, prefix: bytes) -> Iterator[Item]:
        pending = {key: value for key, value in self._pending.items() if key.startswith(prefix)}
        scan = _Scan(self._rows(prefix or FIRST), prefix)
        self._scans.add(scan)
        if not pending:
            return self._read(scan)
        committed = (item for item in self._read(scan) if item[0] not in pending)
        return merge(committed, sorted((key, value) for key, value in pending.items() if value is not None))

    def commit(self, offsets: Mapping[str, int]) -> None:
        batch = WriteBatch(raw_mode=True)
        put = batch.put
        for key, value in self._pending.items():
            if value is None:
                batch.delete(key)
            else:
                put(key, value)
        for topic, offset in offsets.items():
            put(OFFSET + topic.encode(), offset.to_bytes(8, "little"))
        if self._purged:
            put(PURGED, b"")
        self._saying(lambda: self._db.write(batch))
        self._pending.clear()
        if self._purged:
            ranges, self._purged = _joined(self._purged, self._ranges_per_purge), set()
            self._saying(lambda: self._remove_old_bytes(ranges))

    def offsets(self) -> dict[str, int]:
        rows = self._saying(lambda: list(takewhile(_starts(OFFSET), self._rows(OFFSET))))
        return {key[len(OFFSET) :].decode(): int.from_bytes(offset, "little") for key, offset in rows}

    def checkpoint(self, folder: Path) -> None:
        """Hard links where the folder is on the same file system: 40 ms for 200,000 rows of 660 B."""
        folder.parent.mkdir(parents=True, exist_ok=True)
        self._saying(lambda: Checkpoint(self._db).create_checkpoint(str(folder)))

    def close(self) -> None:
        """A live iterator would keep the folder's lock beyond this (rocksdict 0.3.29), so all of them end here."""
        for scan in self._scans:
            scan.rows = self._cut_short()
        self._pending.clear()
        self._purged.clear()
        with suppress(DbClosedError):
            self._db.close()

    def _opened(self) -> Rdict:
        self._saying(lambda: self._folder.mkdir(parents=True, exist_ok=True))
        return self._saying(lambda: Rdict(str(self._folder), _options(self._write_buffer)))

    def _rows(self, first: bytes) -> Iterator[Item]:
        rows: Any = self._saying(lambda: self._db.items(from_key=first, read_opt=_scan_options()))
        return cast(Iterator[Item], rows)

    def _read(self, scan: "_Scan") -> Iterator[Item]:
        while block := self._saying(lambda: list(islice(scan.rows, ITEMS_PER_READ))):
            for item in block:
                if not item[0].startswith(scan.prefix):
                    return
                yield item

    def _cut_short(self) -> Iterator[Item]:
        raise StoreUnavailable(f"the store in {self._folder} was closed while it was read")
        yield

    def _remove_old_bytes(self, ranges: "list[Range]") -> None:
        """Deleted values leave the write-ahead log by a flush and the tables by a compaction down to the last level.

        The manifest and the log of events still name keys at the bounds of tables: they are written anew on opening.
        """
        for scan in self._scans:
            scan.rows = iter(list(takewhile(_starts(scan.prefix), scan.rows)))
        self._db.flush()
        whole_way_down = CompactOptions()
        whole_way_down.set_bottommost_level_compaction(BottommostLevelCompaction.force())
        for first, last in ranges:
            self._db.compact_range(first, last, compact_opt=whole_way_down)
        self._db.delete(PURGED)
        self._db.close()
        self._db = self._opened()

    def _saying(self, call: Callable[[], T]) -> T:
        try:
            return call()
        except StoreUnavailable:
            raise
        except Exception as error:
            raise self._refusal(error) from error

    def _refusal(self, error: Exception) -> StoreUnavailable:
        """RocksDB raises bare exceptions; here they get the store's name and a class that says what helps."""
        if "orruption" in (found := str(error)):
            return StoreDamaged(
                f"the store in {self._folder} is damaged; remove the folder, and the newest checkpoint takes its "
                f"place: {found}"
            )
        if "LOCK" in found:
            return StoreUnavailable(
                f"the store in {self._folder} is open elsewhere; end the other worker, or give each its own "
                f"worker.data folder: {found}"
            )
        return StoreUnavailable(f"the store in {self._folder} cannot be used: {found}")


class Range(NamedTuple):
    """Of keys, both ends included."""

    first: bytes
    last: bytes


AFTER_ALL = b"\xff" * 16  # after a prefix: no name begins so
EVERYTHING = Range(b"", AFTER_ALL)


class _Scan:
    """What an iterator still has to read; the store takes it over when it has to let go of the folder."""

    def __init__(self, rows: Iterator[Item], prefix: bytes) -> None:
        self.rows = rows
        self.prefix = prefix


def _starts(prefix: bytes) -> Callable[[Item], bool]:
    return lambda item: item[0].startswith(prefix)


def _joined(ranges: "set[Range]", at_most: int) -> "list[Range]":
    if len(ranges) > at_most:
        return [Range(min(range_.first for range_ in ranges), max(range_.last for range_ in ranges))]
    return sorted(ranges)


@cache
def _block_cache() -> Cache:
    return Cache(BLOCK_CACHE)


@cache
def _write_buffers() -> WriteBufferManager:
    return WriteBufferManager(WRITE_BUFFERS, False)


@cache
def _scan_options() -> ReadOptions:
    options = ReadOptions()
    options.fill_cache(False)  # type: ignore[call-arg]  # the stub of 0.3.29 forgets the argument
    options.set_readahead_size(READ_AHEAD)
    return options


def _options(write_buffer: int) -> Options:
    tables = BlockBasedOptions()
    tables.set_block_cache(_block_cache())
    tables.set_bloom_filter(10, False)
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_block_based_table_factory(tables)
    options.set_write_buffer_manager(_write_buffers())
    options.set_write_buffer_size(write_buffer)
    options.set_max_write_buffer_number(2)
    options.set_target_file_size_base(TABLE_FILE)
    # Embeddings do not compress: lz4 costs a quarter of the time of a write and gives nothing.
    options.set_compression_type(DBCompressionType.none())
    options.set_keep_log_file_num(1)
    options.set_max_log_file_size(MIB)
    return options
