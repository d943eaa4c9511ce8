"""The port through which a shard keeps its state: a sorted map whose writes wait for one atomic commit."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol


class Store(Protocol):
    """One shard's state: everything that one worker keeps of partition p of one kind of topics.

    `put`, `delete` and `purge` are seen at once by `get` and `items`, and reach the disk only in `commit`, all
    together and with the offsets: after a crash the store is as after some commit, never between two.
    Keys begin with a letter of `layout`; what begins with a zero byte is the store's own.
    """

    def get(self, key: bytes) -> bytes | None: ...

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """`get` for each of the keys, in one call."""
        ...

    def put(self, key: bytes, value: bytes) -> None: ...

    def delete(self, key: bytes) -> None: ...

    def items(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """In the order of the keys, as they are now: what is put while they are read does not disturb them."""
        ...

    def commit(self, offsets: Mapping[str, int]) -> None:
        """Write what was put and deleted, and for each topic the offset at which reading goes on."""
        ...

    def offsets(self) -> dict[str, int]:
        """As of the last commit."""
        ...

    def purge(self, keys: list[bytes], overwritten: bytes | None = None) -> None:
        """Remove these keys, and when the next commit returns no byte that they held before is on the disk.

        A key may be put again at once: it then holds the new value only. A commit that was cut short by a crash is
        made good before the store opens again. With a prefix, also every value that was ever overwritten or deleted
        under it is off the disk; that costs a rewrite of all of them.
        """
        ...

    def checkpoint(self, folder: Path) -> None:
        """A complete copy of the last commit in a folder that does not exist yet."""
        ...

    def close(self) -> None:
        """What was not committed is gone; an iterator that is read on raises `StoreUnavailable`."""
        ...
