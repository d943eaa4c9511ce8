"""Where a reader of topics begins or ends, as people say it: earliest, latest, ts=<unix seconds>, last=<duration>."""

import re
from dataclasses import dataclass

from streams.errors import BadSettings

_UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smhd])")


@dataclass(frozen=True)
class Place:
    """A time, or one of the two ends of what the topics hold."""

    at_ms: int | None = None
    is_end: bool = False


EARLIEST, LATEST = Place(), Place(is_end=True)


def place(told: str, now_ms: int) -> Place:
    kind, _, value = told.partition("=")
    if told == "earliest":
        return EARLIEST
    if told == "latest":
        return LATEST
    if kind == "ts" and re.fullmatch(r"\d+(\.\d+)?", value):
        return Place(round(float(value) * 1_000))
    if kind == "last" and (duration := _DURATION.fullmatch(value)):
        return Place(now_ms - round(float(duration[1]) * _UNITS_S[duration[2]] * 1_000))
    raise BadSettings(
        f"{told!r} is no place in a log; wanted earliest, latest, ts=<unix seconds> or last=<24h, 30m, 7d>"
    )
