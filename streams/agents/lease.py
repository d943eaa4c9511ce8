"""Whether this worker may still speak for its partitions: yes, for as long as the group must believe it alive.

A worker that was stopped past its session timeout has been replaced. When it wakes, it learns so from the next
heartbeat at the earliest; the lease tells it from the clock, before a single byte leaves the process.
"""

import time

from streams.errors import LostOwnership

# Unlike CLOCK_MONOTONIC it goes on while the machine sleeps.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def now_s() -> float:
    return time.clock_gettime(_CLOCK)


class Lease:
    def __init__(self, lasts_s: float) -> None:
        self.lasts_s = lasts_s
        self._renewed_s = now_s()

    def renew(self, asked_s: float) -> None:
        """The group answered a heartbeat that was sent at `asked_s`."""
        self._renewed_s = max(self._renewed_s, asked_s)

    @property
    def silent_s(self) -> float:
        return now_s() - self._renewed_s

    def holds(self) -> bool:
        return self.silent_s < self.lasts_s

    def check(self) -> None:
        if not self.holds():
            raise LostOwnership(
                f"no heartbeat was answered for {self.silent_s:.1f} s, the session lasts {self.lasts_s:.1f} s: "
                "the partitions are another worker's by now; nothing more is published, start the worker again"
            )
