"""The batch twin of admission: who is told of what, from the candidates and from what each decision says it knew.

Shares no rules with the stages; it goes through each partition's log once, in order.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from zoneinfo import ZoneInfo

from streams.contracts.listeners import ListenerSettings
from streams.contracts.queries import TargetCandidates
from streams.contracts.targets import Suppression, Target
from streams.settings import AdmissionSettings

HOUR_MS = 3_600_000

Decision = Target | Suppression


@dataclass
class Known:
    """What one listener partition's log says up to some offsets."""

    settings: Sequence[tuple[int, str, ListenerSettings | None]]  # (offset, listener, settings)
    erasures: Sequence[tuple[int, str, int]]  # (offset, listener, when)
    heard: Mapping[tuple[str, str], int]  # (listener, song) -> offset of the first effective play

    def settings_of(self, listener: str, before: int) -> ListenerSettings | None:
        newest: ListenerSettings | None = None
        for offset, who, said in self.settings:
            if who == listener and offset < before:
                newest = said if said is None or newest is None or said.changed_ms >= newest.changed_ms else newest
        return newest

    def erased_ms(self, listener: str, before: int) -> int | None:
        times = [at for offset, who, at in self.erasures if who == listener and offset < before]
        return max(times, default=None)


@dataclass
class TwinExposure:
    due_ms: dict[str, list[int]] = field(default_factory=dict)
    songs: dict[str, set[str]] = field(default_factory=dict)

    def add(self, listener: str, song: str, due: int) -> None:
        self.due_ms.setdefault(listener, []).append(due)
        self.songs.setdefault(listener, set()).add(song)


def held_out(listener: str, settings: AdmissionSettings) -> bool:
    digest = blake2b("\x1f".join(("hold-out", settings.hold_out_salt, listener)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") / 2**64 < settings.hold_out_share


def twin_reason(
    song: str,
    listener: str,
    candidates: TargetCandidates,
    known: Known,
    decision: Decision,
    exposure: TwinExposure,
    settings: AdmissionSettings,
    *,
    ask_hold_out: bool = True,
) -> tuple[str | None, int]:
    """The reason by the README's list, and the moment at which the push would be due."""
    own = known.settings_of(listener, decision.settings_offset)
    erased = known.erased_ms(listener, decision.erasures_offset)
    zone = own.time_zone if own is not None and own.time_zone else None
    if zone is None and settings.unknown_zone != "suppress":
        zone = settings.unknown_zone
    start, end = settings.quiet_from_minute, settings.quiet_to_minute
    if own is not None and own.quiet_hours is not None:
        start, end = own.quiet_hours.from_minute, own.quiet_hours.to_minute
    due = _after_quiet(max(candidates.decided_ms, candidates.released_ms), zone, start, end)
    if erased is not None and not (own is not None and own.consent and own.changed_ms > erased):
        return "erased", due
    if not (own.consent if own is not None else settings.consent_by_default):
        return "no-consent", due
    if ask_hold_out and held_out(listener, settings):
        return "held-out", due
    if song in exposure.songs.get(listener, ()):
        return "already-pushed", due
    if known.heard.get((listener, song), 1 << 62) < decision.plays_offset:
        return "already-heard", due
    times = exposure.due_ms.get(listener, [])
    if any(abs(due - at) < settings.cooldown_h * HOUR_MS for at in times):
        return "cooling-down", due
    if _crowded(times, due, settings.rolling_h * HOUR_MS) > settings.rolling_cap:
        return "rolling-cap", due
    if zone is not None:
        day = datetime.fromtimestamp(due / 1000, ZoneInfo(zone)).date()
        same = [at for at in times if datetime.fromtimestamp(at / 1000, ZoneInfo(zone)).date() == day]
        if len(same) >= settings.day_cap:
            return "day-cap", due
    else:
        return "unknown-zone", due
    if due >= candidates.expires_ms:
        return "expired", due
    return None, due


def _crowded(times: Sequence[int], due: int, window: float) -> int:
    """The most pushes in any window that holds this one."""
    starts = [at for at in (*times, due) if due - window < at <= due]
    return max(sum(1 for at in (*times, due) if start <= at < start + window) for start in starts)


def _after_quiet(at_ms: int, zone: str | None, start: int, end: int) -> int:
    if zone is None or start == end:
        return at_ms
    at = datetime.fromtimestamp(at_ms / 1000, ZoneInfo(zone))
    minute = at.hour * 60 + at.minute
    quiet = start <= minute < end if start < end else minute >= start or minute < end
    if not quiet:
        return at_ms
    local = at.replace(hour=end // 60, minute=end % 60, second=0, microsecond=0)
    if minute >= end:
        local = (local + timedelta(days=1)).replace(hour=end // 60, minute=end % 60)
    return round(local.astimezone(UTC).timestamp() * 1000)
