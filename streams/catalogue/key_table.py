"""Which row a 64-bit key belongs to: an open hash table that is filled and asked with whole arrays."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Keys = npt.NDArray[np.uint64]
Rows = npt.NDArray[np.int32]

UNKNOWN = -1
SMALLEST = 1_024


@dataclass(frozen=True, slots=True, eq=False)
class _Slots:
    """A key lies in the first free slot from `key mod slots` on: the keys are hashes, so they need no other one."""

    keys: Keys
    rows: Rows  # UNKNOWN: the slot is free

    @classmethod
    def free(cls, slots: int) -> "_Slots":
        return cls(np.zeros(slots, dtype=np.uint64), np.full(slots, UNKNOWN, dtype=np.int32))

    def homes(self, keys: Keys) -> npt.NDArray[np.int64]:
        return (keys & np.uint64(len(self.rows) - 1)).astype(np.int64)

    def after(self, slots: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        following: npt.NDArray[np.int64] = (slots + 1) & (len(self.rows) - 1)
        return following

    def fill(self, keys: Keys, rows: Rows) -> None:
        at = self.homes(keys)
        while len(rows):
            free = np.flatnonzero(self.rows[at] == UNKNOWN)
            self.rows[at[free]] = rows[free]  # two may want the same slot: the last one has it
            won = free[self.rows[at[free]] == rows[free]]
            self.keys[at[won]] = keys[won]
            left = np.ones(len(rows), dtype=bool)
            left[won] = False
            keys, rows, at = keys[left], rows[left], self.after(at[left])


class KeyTable:
    """Nothing is ever taken out. One thread adds; `find` may run beside it and sees a key or does not see it yet."""

    def __init__(self) -> None:
        self._slots = _Slots.free(SMALLEST)
        self._used = 0

    def __len__(self) -> int:
        return self._used

    def add(self, keys: Keys, rows: Rows) -> None:
        """The keys are distinct and not in the table, the rows are distinct and not negative."""
        used = self._used + len(keys)
        old = self._slots
        if 2 * used <= len(old.rows):
            old.fill(keys, rows)
        else:
            taken = old.rows != UNKNOWN
            larger = _Slots.free(1 << (4 * used - 1).bit_length())
            larger.fill(np.concatenate([old.keys[taken], keys]), np.concatenate([old.rows[taken], rows]))
            self._slots = larger
        self._used = used  # last: what is counted is found

    def find(self, keys: Keys) -> Rows:
        """The row of each key, UNKNOWN where there is none; of the shape of `keys`."""
        slots, wanted = self._slots, np.ascontiguousarray(keys, dtype=np.uint64).ravel()
        found = np.full(len(wanted), UNKNOWN, dtype=np.int32)
        asking, at = np.arange(len(wanted)), slots.homes(wanted)
        while len(asking):
            rows = slots.rows[at]
            here = (slots.keys[at] == wanted[asking]) & (rows != UNKNOWN)
            found[asking[here]] = rows[here]
            further = (rows != UNKNOWN) & ~here
            asking, at = asking[further], slots.after(at[further])
        return found.reshape(np.shape(keys))
