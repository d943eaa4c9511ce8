"""Releases go first: while one is on its way through this worker, plays and samples wait a little.

A release passes five topics and a batch of plays may stand before it in each; held back, they come through in one
larger batch, which costs less. Where releases follow each other without end, plays get every third moment.
"""

import asyncio
from collections.abc import Callable
from math import inf
from time import monotonic

LASTS_S = 0.15  # from one topic to the next: publish, acknowledge, fetch
AT_MOST_S = 1.0
THEN_S = 0.5  # for plays, whatever else comes


class Precedence:
    def __init__(
        self,
        lasts_s: float = LASTS_S,
        at_most_s: float = AT_MOST_S,
        then_s: float = THEN_S,
        now_s: Callable[[], float] = monotonic,
    ) -> None:
        self._lasts_s, self._at_most_s, self._then_s, self._now_s = lasts_s, at_most_s, then_s, now_s
        self._began_s = self._until_s = -inf

    def take(self) -> None:
        now_s = self._now_s()
        if now_s > self._until_s or now_s > self._began_s + self._at_most_s + self._then_s:
            self._began_s = now_s
        self._until_s = now_s + self._lasts_s

    def wait_s(self) -> float:
        return min(self._until_s, self._began_s + self._at_most_s) - self._now_s()

    async def give_way(self) -> None:
        while (wait_s := self.wait_s()) > 0:
            await asyncio.sleep(wait_s)
