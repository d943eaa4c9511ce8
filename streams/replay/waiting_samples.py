"""Samples that wait until somebody asks for the crowds of their songs; most of each, its embedding, waits in a file.

The crowds of most songs are never asked for. A sample takes 44 bytes of memory, and 4 for each dimension of the file.
"""

from collections.abc import Iterator
from tempfile import TemporaryFile
from typing import IO, NamedTuple

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
    embeddings: Floats  # (n, D)

    @classmethod
    def joined(cls, parts: "list[Samples]", dimension: int) -> "Samples":
        if len(parts) == 1:
            return parts[0]
        none, keys, strengths = np.zeros(0, np.int64), np.zeros(0, np.uint64), np.zeros(0, np.float32)
        nothing = cls(none, none, keys, none, strengths, np.zeros((0, dimension), np.float32))
        return cls(*map(np.concatenate, zip(nothing, *parts, strict=True)))

    def at(self, rows: Numbers) -> "Samples":
        return Samples(
            self.places[rows],
            self.songs[rows],
            self.listener_keys[rows],
            self.played_ms[rows],
            self.strengths[rows],
            self.embeddings[rows],
        )


class WaitingSamples:
    """By row of the song."""

    def __init__(self, dimension: int) -> None:
        self._dimension = dimension
        self._file: IO[bytes] | None = None
        self._chunks: list[_Chunk] = []  # by row
        self._news: list[_Chunk] = []  # as they came
        self._written = 0  # embeddings
        self._taken_up_to: Numbers = np.zeros(0, np.int64)  # the place up to which nothing of the row waits
        self._next_place = 0

    def __len__(self) -> int:
        """With those that were taken since all of them were."""
        return self._written

    def add(self, samples: Samples, rows: Rows) -> None:
        if len(rows) == 0:
            return
        if self._file is None:
            self._file = TemporaryFile(prefix="bcl-replay-")  # noqa: SIM115  # `close` closes it
        self._file.write(np.ascontiguousarray(samples.embeddings).data)
        at = np.arange(self._written, self._written + len(rows))
        self._news.append(_Chunk(rows, at, samples._replace(embeddings=np.zeros((len(rows), 0), np.float32))))
        self._written += len(rows)
        self._next_place = max(self._next_place, int(samples.places.max()) + 1)
        self._taken_up_to = longer(self._taken_up_to, int(rows.max()) + 1)
        if sum(len(chunk.rows) for chunk in self._news) >= PER_CHUNK:
            self._chunks.append(_Chunk.joined(self._news).by_row())
            self._news = []

    def taken(self, rows: Rows) -> tuple[Samples, Rows]:
        """All that waits for these songs; their rows."""
        rows = np.unique(rows[rows < len(self._taken_up_to)])
        is_asked = np.zeros(len(self._taken_up_to), np.bool_)
        is_asked[rows] = True
        found = [chunk.of(rows) for chunk in self._chunks]
        found += [chunk.at_places(np.flatnonzero(is_asked[chunk.rows])) for chunk in self._news]
        chunk = _Chunk.joined(found)
        chunk = chunk.at_places(np.flatnonzero(chunk.samples.places >= self._taken_up_to[chunk.rows]))
        self._taken_up_to[rows] = self._next_place
        return chunk.samples._replace(embeddings=self._embeddings(chunk.at)), chunk.rows

    def all_taken(self) -> Iterator[tuple[Samples, Rows]]:
        """Some songs after the other."""
        waiting = np.zeros(len(self._taken_up_to), np.int64)
        for chunk in (*self._chunks, *self._news):
            is_waiting = chunk.samples.places >= self._taken_up_to[chunk.rows]
            waiting += np.bincount(chunk.rows[is_waiting], minlength=len(waiting))
        rows = np.flatnonzero(waiting)
        turns = (np.cumsum(waiting[rows]) - 1) // READ_AT_ONCE
        for some in np.split(rows, np.flatnonzero(np.diff(turns)) + 1):
            yield self.taken(some)
        self._chunks, self._news, self._written = [], [], 0
        self.close()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _embeddings(self, at: Numbers) -> Floats:
        if len(at) == 0 or self._file is None:
            return np.zeros((0, self._dimension), np.float32)
        self._file.flush()
        there = np.memmap(self._file, np.float32, "r", shape=(self._written, self._dimension))
        return np.asarray(there[at])


class _Chunk(NamedTuple):
    rows: Rows
    at: Numbers  # of the embeddings in the file
    samples: Samples  # without them

    @classmethod
    def joined(cls, chunks: "list[_Chunk]") -> "_Chunk":
        none = np.zeros(0, np.int64)
        rows, at = (np.concatenate([none, *(chunk[n] for chunk in chunks)]) for n in range(2))
        return cls(rows, at, Samples.joined([chunk.samples for chunk in chunks], 0))

    def by_row(self) -> "_Chunk":
        return self.at_places(np.argsort(self.rows, kind="stable"))

    def of(self, rows: Rows) -> "_Chunk":
        """Of a chunk by row."""
        starts, ends = np.searchsorted(self.rows, rows), np.searchsorted(self.rows, rows, "right")
        lengths = ends - starts
        before = np.cumsum(lengths) - lengths
        return self.at_places(np.arange(int(lengths.sum())) + np.repeat(starts - before, lengths))

    def at_places(self, places: Numbers) -> "_Chunk":
        return _Chunk(self.rows[places], self.at[places], self.samples.at(places))
