"""How long a release takes: from the acknowledgement of its record to what is seen to be decided about listeners. Pure.

A candidate is decided when it is seen as a target or as a suppression; second copies change nothing.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np


@dataclass
class Followed:
    """One release. Times are seconds of a clock that never goes back."""

    song_id: str
    title: str
    acknowledged_s: float
    neighbours: int = 0
    crowds: int = 0
    candidates: set[str] = field(default_factory=set)  # listener ids
    targets: set[str] = field(default_factory=set)
    suppressed: set[str] = field(default_factory=set)
    first_target_s: float | None = None
    last_s: float | None = None  # decision of any kind

    @property
    def is_decided(self) -> bool:
        """Of everyone who was chosen we know whether they are told."""
        return bool(self.candidates) and self.targets | self.suppressed == self.candidates

    @property
    def first_target_ms(self) -> float | None:
        return None if self.first_target_s is None else _ms(self.first_target_s - self.acknowledged_s)

    @property
    def last_target_ms(self) -> float | None:
        return _ms(self.last_s - self.acknowledged_s) if self.last_s is not None and self.is_decided else None


class Timing:
    """All releases of a run, and what was seen of each."""

    def __init__(self) -> None:
        self.reasons: Counter[str] = Counter()  # of suppressions
        self._followed: dict[str, Followed] = {}

    @property
    def releases(self) -> list[Followed]:
        """In the order in which they came out."""
        return list(self._followed.values())

    def announced(self, song_id: str, title: str) -> None:
        """About to be published: until it is acknowledged its clock stands at infinity."""
        self._followed[song_id] = Followed(song_id, title, float("inf"))

    def acknowledged(self, song_id: str, at_s: float) -> None:
        self._followed[song_id].acknowledged_s = at_s

    def queried(self, song_id: str, neighbours: int, crowds: int) -> None:
        if one := self._followed.get(song_id):
            one.neighbours, one.crowds = neighbours, crowds

    def chosen(self, song_id: str, listener_ids: Iterable[str]) -> None:
        if one := self._followed.get(song_id):
            one.candidates.update(listener_ids)

    def targeted(self, song_id: str, listener_id: str, at_s: float) -> bool:
        """Whether this is news."""
        one = self._followed.get(song_id)
        if one is None or listener_id in one.targets:
            return False
        one.targets.add(listener_id)
        one.first_target_s = at_s if one.first_target_s is None else one.first_target_s
        one.last_s = at_s
        return True

    def suppressed(self, song_id: str, listener_id: str, reason: str, at_s: float) -> bool:
        """Whether this is news."""
        one = self._followed.get(song_id)
        if one is None or listener_id in one.suppressed:
            return False
        one.suppressed.add(listener_id)
        self.reasons[reason] += 1
        one.last_s = at_s
        return True

    @property
    def all_decided(self) -> bool:
        return all(one.is_decided for one in self._followed.values())

    def first_target_ms(self) -> list[float]:
        return [ms for one in self.releases if (ms := one.first_target_ms) is not None]

    def last_target_ms(self) -> list[float]:
        return [ms for one in self.releases if (ms := one.last_target_ms) is not None]


def percentiles(values: Sequence[float]) -> dict[str, float | None]:
    """Of nothing there are none."""
    if not values:
        return {"p50": None, "p99": None}
    p50, p99 = np.percentile(values, [50, 99])
    return {"p50": round(float(p50), 1), "p99": round(float(p99), 1)}


def _ms(seconds: float) -> float:
    """A decision can be seen a moment before the acknowledgement is."""
    return max(0.0, 1_000 * seconds)
