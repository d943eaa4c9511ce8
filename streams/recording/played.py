"""What was played, as columns of numbers, and the names that the numbers stand for."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from itertools import repeat
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from streams.recording.names import Names

Ints: TypeAlias = npt.NDArray[np.int64]
Bools: TypeAlias = npt.NDArray[np.bool_]

NO_NAME = -1


class NameTable(Names):
    """Can also be asked which name a number has."""

    def __init__(self) -> None:
        super().__init__()
        self.all: list[str] = []

    def number(self, name: str) -> int:
        number = super().number(name)
        if number == len(self.all):
            self.all.append(name)
        return number

    def numbers(self, names: Iterable[str]) -> npt.NDArray[np.int64]:
        every = list(names)
        numbers = self.known(every)
        for place in np.flatnonzero(numbers == NO_NAME).tolist():
            numbers[place] = self.number(every[place])
        return numbers

    def known(self, names: Sequence[str]) -> Ints:
        """NO_NAME: a name without a number."""
        return np.fromiter(map(self._numbers.get, names, repeat(NO_NAME)), np.int64, len(names))

    def numbers_or_none(self, names: Iterable[str | None]) -> Ints:
        return np.fromiter((NO_NAME if name is None else self.number(name) for name in names), np.int64)


@dataclass(frozen=True)
class Tables:
    """The names of one log."""

    listeners: NameTable = field(default_factory=NameTable)
    songs: NameTable = field(default_factory=NameTable)
    markets: NameTable = field(default_factory=NameTable)


@dataclass(frozen=True, slots=True, eq=False)
class Played:
    """Columns of equal length, a play each. Names are numbers of the log's tables."""

    listeners: Ints
    songs: Ints
    played_ms: Ints
    listened_ms: Ints
    song_ms: Ints
    liked: Bools
    markets: Ints  # NO_NAME: not told
    answers_a_push: Bools
    times_ms: Ints  # of the records
    partitions: Ints  # in which they were recorded
    offsets: Ints

    def __len__(self) -> int:
        return len(self.listeners)

    def __getitem__(self, rows: Ints | slice) -> "Played":
        return Played(*(getattr(self, name)[rows] for name in COLUMNS))

    @classmethod
    def joined(cls, parts: "Sequence[Played]") -> "Played":
        parts = [part for part in parts if len(part)] or [cls.none()]
        if len(parts) == 1:
            return parts[0]
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in COLUMNS))

    @classmethod
    def none(cls) -> "Played":
        return cls(*(np.zeros(0, kind) for kind in KINDS.values()))

    def in_order(self) -> "Played":
        """By time, then partition, then offset."""
        keys = (self.offsets, self.partitions, self.times_ms)  # the last one counts first
        is_later = np.zeros(max(len(self) - 1, 0), np.bool_)
        for key in keys:
            is_later = (key[1:] > key[:-1]) | ((key[1:] == key[:-1]) & is_later)
        return self if is_later.all() else self[np.lexsort(keys)]


KINDS: dict[str, type[np.generic]] = {
    "listeners": np.int64,
    "songs": np.int64,
    "played_ms": np.int64,
    "listened_ms": np.int64,
    "song_ms": np.int64,
    "liked": np.bool_,
    "markets": np.int64,
    "answers_a_push": np.bool_,
    "times_ms": np.int64,
    "partitions": np.int64,
    "offsets": np.int64,
}
COLUMNS = tuple(field.name for field in fields(Played))
