"""Who is told how far a recording or a replay has come."""

from typing import Protocol


class Noted(Protocol):
    def __call__(self, done: int, wanted: int, recorded_ms: int = 0) -> None:
        """Records so far and in all, and how much time lies between the first of the log and the last so far."""
        ...


def unnoticed(done: int, wanted: int, recorded_ms: int = 0) -> None:
    pass
