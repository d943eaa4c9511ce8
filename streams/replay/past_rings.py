"""What listeners' rings were before each play: every play is kept once, and says which of its listener came before it.

A ring that has changed otherwise since, by a late play, an erasure or a song that became known, is written anew. In a
temporary file, one entry after the other:

    when u64 | row of the song i32 | place of the entry before it i32        -1: none
"""

from tempfile import TemporaryFile
from typing import IO

import numpy as np
from numpy.typing import NDArray

from streams.audience import rings as ring
from streams.audience.audience import Folded, spans
from streams.audience.listener import forget_after_ms, half_life_ms
from streams.audience.rings import UNKNOWN, Embeddings, Rings, Rows
from streams.replay.growing import longer
from streams.settings import ListeningSettings

NONE = -1
ENTRY = np.dtype([("when", "<u8"), ("row", "<i4"), ("before", "<i4")])
Places = NDArray[np.int64]


class PastRings:
    """Of some audiences, each with its `Followed`."""

    def __init__(self, listening: ListeningSettings) -> None:
        self._keep = listening.keep_plays
        self._forget_after_ms, self._half_life_ms = forget_after_ms(listening), half_life_ms(listening)
        self._file: IO[bytes] | None = None
        self._entries = 0

    def __len__(self) -> int:
        """Entries."""
        return self._entries

    def add(self, entries: NDArray[np.void]) -> None:
        if len(entries) == 0:
            return
        if self._file is None:
            self._file = TemporaryFile(prefix="bcl-replay-")  # noqa: SIM115  # `close` closes it
        self._file.write(entries.data)
        self._entries += len(entries)

    def embeddings(self, places: Places, songs: Embeddings) -> Embeddings:
        """Of the listeners whose rings end with these entries; zero: none."""
        found = np.zeros((len(places), songs.shape[1]), np.float32)
        for n in range(0, len(places), ring.PER_CHUNK):
            some = slice(n, n + ring.PER_CHUNK)
            found[some] = ring.embeddings_of(*self.rings(places[some]), songs, half_life_ms=self._half_life_ms)
        return found

    def rings(self, places: Places) -> tuple[Rings, Rows]:
        """(n, K, 2) and (n, K): what ends with these entries. Songs have no keys."""
        rings = np.zeros((len(places), self._keep, 2), np.uint64)
        rows = np.full((len(places), self._keep), UNKNOWN, np.int32)
        if self._file is None:
            return rings, rows
        self._file.flush()
        there = np.asarray(np.memmap(self._file, ENTRY, "r", shape=(self._entries,)))
        left = np.flatnonzero(places != NONE)
        at = places[left]
        for n in reversed(range(self._keep)):
            entries = there[at]
            rings[left, n, 0], rows[left, n], at = entries["when"], entries["row"], entries["before"]
            if (at == NONE).any():
                left, at = left[at != NONE], at[at != NONE]
            if len(left) == 0:
                break
        ring.drop_old(rings, rows, self._forget_after_ms)
        return rings, rows

    def clear(self) -> None:
        """What was kept so far is asked for no more; the audiences are to continue no ring."""
        self.close()
        self._entries = 0

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


class Followed:
    """One audience."""

    def __init__(self, past: PastRings) -> None:
        self._past = past
        self._ends = np.zeros(0, np.int32)  # by slot: the entry with which the ring ends

    def follow(self, folded: Folded) -> Places:
        """Keeps the plays; with which entry the ring before each of them ends, in the order of the rings there."""
        self._ends = longer(self._ends, folded.audience.slots)
        anew = np.flatnonzero(~folded.is_continued)
        written = self._write(folded.rings[anew], folded.song_rows[anew])
        first, order = len(self._past), np.concatenate(folded.rounds)
        entries = np.empty(len(order), ENTRY)
        entries["when"], entries["row"] = folded.whens[order], folded.heard_rows[order]
        before = np.empty(len(order), np.int32)
        for places in spans(folded.rounds):
            at = folded.slots[places]
            before[places] = self._ends[at]
            self._ends[at] = np.arange(first + places.start, first + places.stop)
        before[anew] = written
        entries["before"] = before
        self._past.add(entries)
        return before.astype(np.int64)

    def _write(self, rings: Rings, rows: Rows) -> Places:
        """With which entries they end."""
        there = rings[:, :, 0] > 0
        lengths = there.sum(axis=1)
        ends = len(self._past) + np.cumsum(lengths) - 1
        entries = np.empty(int(lengths.sum()), ENTRY)
        entries["when"], entries["row"] = rings[:, :, 0][there], rows[there]
        entries["before"] = np.arange(len(self._past), len(self._past) + len(entries)) - 1
        entries["before"][(ends - lengths + 1 - len(self._past))[lengths > 0]] = NONE
        self._past.add(entries)
        return np.where(lengths > 0, ends, NONE)
