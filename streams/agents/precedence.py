"""Releases go first: while one is on its way through this worker, plays and samples wait a little.

A release passes five topics and a batch of plays may stand before it in each; held back, they come through in one
larger batch, which costs less. They never wait longer than `at_most_s`, however many releases there are.
"""

import asyncio
from time import monotonic

LASTS_S = 0.15  # from one topic to the next: publish, acknowledge, fetch
AT_MOST_S = 0.5


class Precedence:
    def __init__(self, lasts_s: float = LASTS_S, at_most_s: float = AT_MOST_S) -> None:
        self._lasts_s, self._at_most_s = lasts_s, at_most_s
        self._until_s = 0.0

    def take(self) -> None:
        self._until_s = monotonic() + self._lasts_s

    async def give_way(self) -> None:
        at_most_s = monotonic() + self._at_most_s
        while (wait_s := min(self._until_s, at_most_s) - monotonic()) > 0:
            await asyncio.sleep(wait_s)
