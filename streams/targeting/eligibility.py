"""Whether a listener may be told of a song, and from when on. Pure: no clock, no store, no Kafka.

A push counts from the moment it may be sent (`due_ms`): caps, cool-down and the calendar day are those that the
listener lives through, also where quiet hours or a later release put a push off. So decisions may arrive in any order.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from streams.contracts.ids import unit_draw
from streams.contracts.listeners import ListenerSettings
from streams.contracts.targets import Reason
from streams.contracts.topics import HOUR_MS
from streams.errors import BadSettings
from streams.settings import AdmissionSettings
from streams.targeting.exposure import Exposure, guarded_ms

SUPPRESS = "suppress"
_DAY = timedelta(days=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)


class Listener(NamedTuple):
    """What is known of a listener when a song is to be pushed."""

    settings: ListenerSettings | None
    erased_ms: int | None
    heard: bool  # the song in question
    held_out: bool
    exposure: Exposure


def is_held_out(listener_id: str, settings: AdmissionSettings) -> bool:
    """For as long as the salt stays: a listener is kept aside from every release or from none."""
    return unit_draw("hold-out", settings.hold_out_salt, listener_id) < settings.hold_out_share


def check(settings: AdmissionSettings) -> None:
    """Settings under which a cap would be forgotten before it ends, or a zone does not exist."""
    if settings.unknown_zone != SUPPRESS and zone(settings.unknown_zone) is None:
        raise BadSettings(f"[admission] unknown_zone is {settings.unknown_zone!r}, wanted an IANA zone or {SUPPRESS!r}")
    if settings.keep_pushes < max(settings.rolling_cap, settings.day_cap):
        raise BadSettings(
            f"[admission] keep_pushes is {settings.keep_pushes}, wanted at least rolling_cap and day_cap "
            f"({settings.rolling_cap}, {settings.day_cap})"
        )
    if settings.keep_pushes_days * 24 * HOUR_MS < guarded_ms(settings):
        raise BadSettings(
            f"[admission] keep_pushes_days is {settings.keep_pushes_days}, wanted at least "
            f"{guarded_ms(settings) / (24 * HOUR_MS):g}: rolling_h, cooldown_h and two days lie within it"
        )


def due_ms(at_ms: int, listener: ListenerSettings | None, settings: AdmissionSettings) -> int:
    """The first moment from `at_ms` on that is outside the listener's quiet hours."""
    here = zone_of(listener, settings)
    if here is None:
        return at_ms
    quiet = listener.quiet_hours if listener is not None else None
    if quiet is None:
        return end_of_quiet_ms(at_ms, here, settings.quiet_from_minute, settings.quiet_to_minute)
    return end_of_quiet_ms(at_ms, here, quiet.from_minute, quiet.to_minute)


def reason_to_suppress(
    song_key: int, listener: Listener, settings: AdmissionSettings, *, now_ms: int, due_ms: int, expires_ms: int
) -> Reason | None:
    """Why this listener is not told of this song; None if they are."""
    if is_erased(listener.settings, listener.erased_ms):
        return Reason.ERASED
    if not (listener.settings.consent if listener.settings is not None else settings.consent_by_default):
        return Reason.NO_CONSENT
    if listener.exposure.tells(song_key):
        return Reason.ALREADY_PUSHED
    if listener.heard:
        return Reason.ALREADY_HEARD
    here = zone_of(listener.settings, settings)
    if reason := _reason_in_exposure(listener.exposure, here, settings, now_ms=now_ms, due_ms=due_ms):
        return reason
    if here is None:
        return Reason.UNKNOWN_ZONE
    if due_ms >= expires_ms:
        return Reason.EXPIRED
    return Reason.HELD_OUT if listener.held_out else None


def is_erased(listener: ListenerSettings | None, erased_ms: int | None) -> bool:
    """Until the listener consents anew, later than they asked to be forgotten."""
    return erased_ms is not None and not (listener is not None and listener.consent and listener.changed_ms > erased_ms)


def most_in_a_window(times_ms: Sequence[int], at_ms: int, window_ms: int) -> int:
    """How many of these ascending times, and `at_ms` with them, lie in one window [start, start + window_ms)."""
    near = times_ms[bisect_right(times_ms, at_ms - window_ms) : bisect_left(times_ms, at_ms + window_ms)]
    if not near or near[-1] <= at_ms:  # in the order of time: all that is near lies in the window that ends with it
        return 1 + len(near)
    starts = (*near[: bisect_right(near, at_ms)], at_ms)
    return 1 + max(bisect_left(near, start + window_ms) - bisect_left(near, start) for start in starts)


@lru_cache(maxsize=1_000)
def zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: a folder of zones, such as "America"
        return None


def zone_of(listener: ListenerSettings | None, settings: AdmissionSettings) -> ZoneInfo | None:
    """None: it is not known where the listener is, and settings want no guess."""
    if listener is not None and listener.time_zone is not None and (known := zone(listener.time_zone)) is not None:
        return known
    return zone(settings.unknown_zone)  # "suppress" names no zone


@lru_cache(maxsize=100_000)  # the candidates of a release ask for one moment in a few zones
def end_of_quiet_ms(at_ms: int, here: ZoneInfo, from_minute: int, to_minute: int) -> int:
    while _is_quiet(at_ms, here, from_minute, to_minute):
        at_ms = _next_ms(at_ms, here, to_minute)
    return at_ms


@lru_cache(maxsize=100_000)
def local_day_ms(at_ms: int, here: ZoneInfo) -> tuple[int, int]:
    """The local calendar day: its first moment, and that of the next one. 23 or 25 hours where clocks change."""
    midnight = datetime.combine(_local(at_ms, here).date(), time(), here)
    # Where clocks skip midnight, fold 0 is the very moment of the change; where they repeat it, the first one.
    return _epoch_ms(midnight), _epoch_ms(midnight + _DAY)


def _reason_in_exposure(
    exposure: Exposure, here: ZoneInfo | None, settings: AdmissionSettings, *, now_ms: int, due_ms: int
) -> Reason | None:
    times_ms = exposure.due_ms  # ascending
    cooldown_ms, rolling_ms = settings.cooldown_h * HOUR_MS, int(settings.rolling_h * HOUR_MS)
    if times_ms and bisect_right(times_ms, due_ms - cooldown_ms) < bisect_left(times_ms, due_ms + cooldown_ms):
        return Reason.COOLING_DOWN
    pushes = len(times_ms)  # fewer of them than a cap are within it, whenever they are due
    if pushes >= settings.rolling_cap and most_in_a_window(times_ms, due_ms, rolling_ms) > settings.rolling_cap:
        return Reason.ROLLING_CAP
    if pushes >= settings.keep_pushes and exposure.is_full(due_ms, now_ms, settings):
        return Reason.ROLLING_CAP
    if pushes >= settings.day_cap and here is not None:
        start_ms, end_ms = local_day_ms(due_ms, here)
        if bisect_left(times_ms, end_ms) - bisect_left(times_ms, start_ms) >= settings.day_cap:
            return Reason.DAY_CAP
    return None


def _is_quiet(at_ms: int, here: ZoneInfo, from_minute: int, to_minute: int) -> bool:
    local = _local(at_ms, here)
    minute = local.hour * 60 + local.minute
    if from_minute <= to_minute:
        return from_minute <= minute < to_minute
    return minute >= from_minute or minute < to_minute


def _next_ms(at_ms: int, here: ZoneInfo, minute: int) -> int:
    """The next moment after `at_ms` at which local clocks show `minute`.

    One that a change of clocks skips is as long after the change as it would have been; of one that is repeated the
    first that is still to come counts.
    """
    today = _local(at_ms, here).date()
    walls = (
        datetime.combine(today + days * _DAY, time(minute // 60, minute % 60, fold=fold), here)
        for days in range(3)
        for fold in (0, 1)
    )
    return next(found_ms for wall in walls if (found_ms := _epoch_ms(wall)) > at_ms)


def _local(at_ms: int, here: ZoneInfo) -> datetime:
    return (_EPOCH + at_ms * _MS).astimezone(here)


def _epoch_ms(moment: datetime) -> int:
    return (moment - _EPOCH) // _MS
