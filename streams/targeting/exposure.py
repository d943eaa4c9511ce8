"""What was pushed to a listener, or would have been but for the hold-out: a bounded record that caps are asked of.

As bytes, in the order of `due_ms`:

    u8 version | { u64 song_key | i64 decided_ms | i64 due_ms | u8 marks } ...        little endian
    marks: bits 0-1 arm (0 target, 1 exploration, 2 hold-out), bit 2 played, bit 3 liked
"""

from bisect import bisect_left, bisect_right
from functools import lru_cache
from struct import Struct
from typing import NamedTuple

from streams.contracts.targets import Arm
from streams.contracts.topics import DAY_MS, HOUR_MS
from streams.errors import Stop
from streams.settings import AdmissionSettings

_VERSION = 1
_ROW = Struct("<QqqB")
_ARMS = (Arm.TARGET, Arm.EXPLORATION, Arm.HOLD_OUT)
_ARM_BITS = {arm: n for n, arm in enumerate(_ARMS)}
_PLAYED, _LIKED = 4, 8


class Push(NamedTuple):
    song_key: int
    decided_ms: int
    due_ms: int  # when it may be sent: caps count what a listener gets, so they count by this
    arm: Arm
    played: bool = False
    liked: bool = False


class Exposure(NamedTuple):
    """The bytes, and the column that caps are asked of; the others are read when somebody asks."""

    raw: bytes = bytes([_VERSION])
    due_ms: tuple[int, ...] = ()

    @property
    def song_keys(self) -> tuple[int, ...]:
        return _column("Q16x1x", len(self.due_ms)).unpack(self.raw)

    @property
    def decided_ms(self) -> tuple[int, ...]:
        return _column("8xq8x1x", len(self.due_ms)).unpack(self.raw)

    def tells(self, song_key: int) -> bool:
        return song_key.to_bytes(8, "little") in self.raw and song_key in self.song_keys

    def push(self, n: int) -> Push:
        song_key, decided_ms, due_ms, marks = _ROW.unpack_from(self.raw, 1 + n * _ROW.size)
        return Push(song_key, decided_ms, due_ms, _ARMS[marks & 3], bool(marks & _PLAYED), bool(marks & _LIKED))

    def is_full(self, due_ms: int, now_ms: int, settings: AdmissionSettings) -> bool:
        """Another push could be remembered only by forgetting one that still counts, or itself."""
        if len(self.due_ms) < settings.keep_pushes:
            return False
        longest_due_ms = self.due_ms[-settings.keep_pushes]
        newest_ms = max(now_ms, *self.decided_ms)
        return due_ms < longest_due_ms or longest_due_ms > newest_ms - guarded_ms(settings)


NOTHING = Exposure()


def decoded(raw: bytes | None) -> Exposure:
    if raw is None:
        return NOTHING
    if raw[0] != _VERSION:
        raise Stop(f"exposure: version {raw[0]} found, {_VERSION} wanted; a newer release wrote it, run that one")
    return Exposure(raw, _column("16xq1x", len(raw) // _ROW.size).unpack(raw))


def with_push(before: Exposure, push: Push, settings: AdmissionSettings) -> bytes:
    """The push added; what is too old or too much is forgotten, the longest due first."""
    song_key, decided_ms, due_ms, arm, played, liked = push
    row = _ROW.pack(song_key, decided_ms, due_ms, _ARM_BITS[arm] | played * _PLAYED | liked * _LIKED)
    at = 1 + bisect_right(before.due_ms, due_ms) * _ROW.size
    raw = before.raw[:at] + row + before.raw[at:]
    oldest_ms = max(decided_ms, *before.decided_ms, 0) - int(settings.keep_pushes_days * DAY_MS)
    too_old = bisect_left(before.due_ms, oldest_ms) + (due_ms < oldest_ms)
    too_many = len(before.due_ms) + 1 - settings.keep_pushes
    first = max(too_old, too_many, 0)
    return raw[:1] + raw[1 + first * _ROW.size :] if first else raw


def with_reaction(before: Exposure, n: int, *, played: bool, liked: bool) -> bytes:
    end = 1 + (n + 1) * _ROW.size
    marks = before.raw[end - 1] | played * _PLAYED | liked * _LIKED
    return before.raw[: end - 1] + bytes([marks]) + before.raw[end:]


def guarded_ms(settings: AdmissionSettings) -> int:
    """For how long a push may still decide about another one: the longest of the windows, and any local day."""
    return max(int(max(settings.rolling_h, settings.cooldown_h) * HOUR_MS), 2 * DAY_MS)


@lru_cache(maxsize=1_000)
def _column(of_a_push: str, pushes: int) -> Struct:
    return Struct("<x" + of_a_push * pushes)
