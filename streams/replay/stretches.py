"""Plays that lie together in time, as they were recorded partition by partition, and cuts through all partitions."""

from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np

from streams.recording.played import Ints, Played


class Block(NamedTuple):
    plays: Played  # partition by partition, each in the order of time
    places: Ints  # of the plays in the order of the log, from 0


class Stretch:
    """The order of the log is by time, then partition, then offset: where a play has its place in it is found once."""

    def __init__(self, plays: Played) -> None:
        """Partition by partition, each by time, then offset."""
        self._plays = plays
        cuts = np.flatnonzero(np.diff(plays.partitions)) + 1
        self._parts = [slice(*ends) for ends in pairwise([0, *cuts.tolist(), len(plays)])]
        self._places = np.empty(len(plays), np.int64)
        self._places[np.argsort(plays.times_ms, kind="stable")] = np.arange(len(plays))

    def __len__(self) -> int:
        return len(self._plays)

    def before(self, ms: int, side: Literal["left", "right"]) -> int:
        """How many plays are earlier, or no later."""
        times = self._plays.times_ms
        return sum(int(np.searchsorted(times[part], ms, side)) for part in self._parts)

    def block(self, start: int, end: int) -> Block:
        """The plays in these places."""
        pieces = [piece for part in self._parts if (piece := self._piece(part, start, end)).start < piece.stop]
        places = np.concatenate([np.zeros(0, np.int64), *(self._places[piece] for piece in pieces)])
        return Block(Played.joined([self._plays[piece] for piece in pieces]), places - start)

    def _piece(self, part: slice, start: int, end: int) -> slice:
        first, last = np.searchsorted(self._places[part], (start, end)).tolist()
        return slice(part.start + first, part.start + last)
