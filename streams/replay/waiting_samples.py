"""Samples that wait until somebody asks for the crowds of their songs.

The crowds of most songs are never asked for. So a sample says where its listener's ring before the play is found, and
the embedding that follows is computed when it is wanted. A sample that waits takes 52 bytes of memory.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streams.audience.crowds import Floats, Keys, Rows, Times
from streams.replay.growing import longer

PER_CHUNK = 131_072
READ_AT_ONCE = 65_536  # samples, where everything that waits is taken

Numbers = NDArray[np.int64]


class Samples(NamedTuple):
    """Columns of equal length: plays that were drawn, each with its listener as they were before it."""

    places: Numbers  # of the plays in the order of the log
    songs: Numbers
    listener_keys: Keys
    played_ms: Times
    strengths: Floats
    rings: Numbers  # the ring with the entry n of part p of P is number n * P + p

    @classmethod
    def none(cls) -> "Samples":
        none = np.zeros(0, np.int64)
        return cls(none, none, np.zeros(0, np.uint64), none, np.zeros(0, np.float32), none)

    @classmethod
    def joined(cls, parts: "list[Samples]") -> "Samples":
        return parts[0] if len(parts) == 1 else cls(*map(np.concatenate, zip(cls.none(), *parts, strict=True)))

    def at(self, rows: Numbers) -> "Samples":
        return Samples(
            self.places[rows],
            self.songs[rows],
            self.listener_keys[rows],
            self.played_ms[rows],
            self.strengths[rows],
            self.rings[rows],
        )


class WaitingSamples:
    """By row of the song."""

    def __init__(self) -> None:
        self._chunks: list[_Chunk] = []  # by row
        self._news: list[_Chunk] = []  # as they came
        self._count = 0
        self._taken_up_to: Numbers = np.zeros(0, np.int64)  # the place up to which nothing of the row waits
        self._next_place = 0

    def __len__(self) -> int:
        """With those that were taken since all of them were."""
        return self._count

    def add(self, samples: Samples, rows: Rows) -> None:
        if len(rows) == 0:
            return
        self._news.append(_Chunk(rows, samples))
        self._count += len(rows)
        self._next_place = max(self._next_place, int(samples.places.max()) + 1)
        self._taken_up_to = longer(self._taken_up_to, int(rows.max()) + 1)
        if sum(len(chunk.rows) for chunk in self._news) >= PER_CHUNK:
            self._chunks.append(_Chunk.joined(self._news).by_row())
            self._news = []

    def taken(self, rows: Rows) -> Samples:
        """All that waits for these songs."""
        rows = np.unique(rows[rows < len(self._taken_up_to)])
        is_asked = np.zeros(len(self._taken_up_to), np.bool_)
        is_asked[rows] = True
        found = [chunk.of(rows) for chunk in self._chunks]
        found += [chunk.at_places(np.flatnonzero(is_asked[chunk.rows])) for chunk in self._news]
        chunk = _Chunk.joined(found)
        chunk = chunk.at_places(np.flatnonzero(chunk.samples.places >= self._taken_up_to[chunk.rows]))
        self._taken_up_to[rows] = self._next_place
        return chunk.samples

    def all_taken(self) -> Iterator[Samples]:
        """Some songs after the other."""
        waiting = np.zeros(len(self._taken_up_to), np.int64)
        for chunk in (*self._chunks, *self._news):
            is_waiting = chunk.samples.places >= self._taken_up_to[chunk.rows]
            waiting += np.bincount(chunk.rows[is_waiting], minlength=len(waiting))
        rows = np.flatnonzero(waiting)
        turns = (np.cumsum(waiting[rows]) - 1) // READ_AT_ONCE
        for some in np.split(rows, np.flatnonzero(np.diff(turns)) + 1):
            yield self.taken(some)
        self._chunks, self._news, self._count = [], [], 0


class _Chunk(NamedTuple):
    rows: Rows
    samples: Samples

    @classmethod
    def joined(cls, chunks: "list[_Chunk]") -> "_Chunk":
        rows = np.concatenate([np.zeros(0, np.int64), *(chunk.rows for chunk in chunks)])
        return cls(rows, Samples.joined([chunk.samples for chunk in chunks]))

    def by_row(self) -> "_Chunk":
        return self.at_places(np.argsort(self.rows, kind="stable"))

    def of(self, rows: Rows) -> "_Chunk":
        """Of a chunk by row."""
        starts, ends = np.searchsorted(self.rows, rows), np.searchsorted(self.rows, rows, "right")
        lengths = ends - starts
        before = np.cumsum(lengths) - lengths
        return self.at_places(np.arange(int(lengths.sum())) + np.repeat(starts - before, lengths))

    def at_places(self, places: Numbers) -> "_Chunk":
        return _Chunk(self.rows[places], self.samples.at(places))
