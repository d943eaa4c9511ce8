"""A store in memory: replay's, and every test's that is not about a disk."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from streams.errors import StoreUnavailable

FILE = "state.msgpack"


class _Checkpoint(msgspec.Struct):
    offsets: dict[str, int]
    items: dict[bytes, bytes]


class MemoryStore:
    """Empty, or as it was when a checkpoint was taken into `folder`."""

    def __init__(self, folder: Path | None = None) -> None:
        saved = _Checkpoint({}, {})
        if folder is not None:
            saved = msgspec.msgpack.decode((folder / FILE).read_bytes(), type=_Checkpoint)
        self._committed = saved.items
        self._offsets = saved.offsets
        self._pending: dict[bytes, bytes | None] = {}  # None: deleted
        self._open = True

    def get(self, key: bytes) -> bytes | None:
        self._check_open()
        return self._pending[key] if key in self._pending else self._committed.get(key)

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        return [self.get(key) for key in keys]

    def put(self, key: bytes, value: bytes) -> None:
        self._check_open()
        self._pending[key] = value

    def delete(self, key: bytes) -> None:
        self._check_open()
        self._pending[key] = None

    def items(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        self._check_open()
        now = {**self._committed, **self._pending}
        found = [(key, value) for key, value in now.items() if value is not None and key.startswith(prefix)]
        return self._while_open(sorted(found))

    def commit(self, offsets: Mapping[str, int]) -> None:
        self._check_open()
        for key, value in self._pending.items():
            if value is None:
                self._committed.pop(key, None)
            else:
                self._committed[key] = value
        self._pending.clear()
        self._offsets.update(offsets)

    def offsets(self) -> dict[str, int]:
        self._check_open()
        return dict(self._offsets)

    def purge(self, keys: list[bytes], overwritten: bytes | None = None) -> None:
        for key in keys:
            self.delete(key)

    def checkpoint(self, folder: Path) -> None:
        self._check_open()
        folder.mkdir(parents=True)
        (folder / FILE).write_bytes(msgspec.msgpack.encode(_Checkpoint(self._offsets, self._committed)))

    def close(self) -> None:
        self._open = False

    def _while_open(self, found: list[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
        for item in found:
            self._check_open()
            yield item

    def _check_open(self) -> None:
        if not self._open:
            raise StoreUnavailable("the store in memory is closed; open another one")
