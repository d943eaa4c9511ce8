"""What may be asked of the demo, and the sizes that follow from it."""

import os
from dataclasses import dataclass

PLAYS_BEFORE = 50  # of each listener, in the history
RELEASES_WITHIN = 0.8  # of the live phase: the last one is to be decided, and met with plays, before the end


@dataclass(frozen=True)
class Options:
    workers: int = 1 if (os.cpu_count() or 1) < 4 else 2  # Kafka, the demo and a worker fill two cores
    listeners: int = 20_000
    songs: int = 5_000
    releases: int = 20
    seconds: float = 60  # that plays and releases last
    seed: int = 7
    keep: bool = False

    @property
    def history(self) -> int:
        """Plays before the start."""
        return PLAYS_BEFORE * self.listeners

    @property
    def plays_per_second(self) -> float:
        """A tenth of the listeners each second: hundreds of times faster than life, so that something happens."""
        return self.listeners / 10

    @property
    def budget(self) -> int:
        """One listener in a hundred is told of a release: a third of those who would like it."""
        return max(10, self.listeners // 100)

    @property
    def release_every_s(self) -> float:
        return RELEASES_WITHIN * self.seconds / self.releases
