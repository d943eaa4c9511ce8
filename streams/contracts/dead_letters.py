"""A record that cannot be read: its bytes as they came, and why."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DeadLetter:
    topic: str
    partition: int
    offset: int
    time_ms: int
    key: bytes | None
    value: bytes | None
    reason: str
    is_cut: bool = False  # only the beginning of an oversized record is kept: it cannot be replayed
