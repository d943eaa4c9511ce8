"""The port through which a shard keeps its state: a sorted map whose writes wait for one atomic commit."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol


class Store(Protocol):
    """One shard's state: everything that one worker keeps of partition p of one kind of topics.

    `put` and `delete` are seen at once by `get` and `items`, and reach the disk only in `commit`, all together and
    with the offsets: after a crash the store is as after some commit, never between two.
    """

    def get(self, key: bytes) -> bytes | None: ...

    def put(self, key: bytes, value: bytes) -> None: ...

    def delete(self, key: bytes) -> None: ...

    def items(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """In the order of the keys. The iterator is closed, and its lock freed, when it is exhausted or dropped."""
        ...

    def commit(self, offsets: Mapping[str, int]) -> None:
        """Write what was put and deleted, and for each topic the offset at which reading goes on."""
        ...

    def offsets(self) -> dict[str, int]:
        """As of the last commit."""
        ...

    def purge(self, keys: list[bytes]) -> None:
        """Remove these keys so that no byte of them stays on the disk; commits nothing else."""
        ...

    def checkpoint(self, folder: Path) -> None:
        """A complete copy of the last commit in a folder that does not exist yet."""
        ...

    def close(self) -> None: ...
