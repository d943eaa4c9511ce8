"""The batch twin of targeting: who is chosen from given answers, and who of them is told, by the words of the rules.

Shares only contracts, ids and settings with the stages.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from struct import iter_unpack
from zoneinfo import ZoneInfo

import numpy as np

from streams.contracts.ids import key_of, keys_of, seed_of, unit_draw, unit_draws
from streams.contracts.listeners import ListenerSettings
from streams.contracts.plays import Play
from streams.contracts.queries import AudienceAnswer, AudienceQuery, Candidates, TargetCandidates
from streams.contracts.targets import Suppression, Target
from streams.settings import AdmissionSettings, ListeningSettings, SelectionSettings
from tests.twin.listeners_twin import ring_of

HOUR_MS = 3_600_000
ARMS = ("target", "exploration", "hold-out")

Decision = Target | Suppression


# -- selection


@dataclass(frozen=True, order=True)
class Choice:
    """Sorts best first, ties by id."""

    minus_score: float
    listener_id: str
    partition: int
    crowd: int
    rank: int = 0
    arm: str = ""
    propensity: float = 1.0


def chosen(query: AudienceQuery, answers: Sequence[AudienceAnswer], settings: SelectionSettings) -> list[Choice]:
    """Targets best first, then exploration, then the hold-out: as candidates travel."""
    best = sorted(one for answer in answers for one in _choices(answer.best, answer.listener_partition))
    drawn = [one for answer in answers for one in _choices(answer.explored, answer.listener_partition)]
    known_up_to = min((_known_up_to(query, answer) for answer in answers), default=1.0)
    slots = int(query.budget * settings.exploration_share)
    while True:
        most = query.budget - slots
        left = [one for one in (*best[most:], *drawn) if _draw(query, one.listener_id) <= known_up_to]
        if len(left) >= slots:
            break
        slots = len(left)
    left.sort(key=lambda one: _draw(query, one.listener_id))
    pool = sum(answer.eligible for answer in answers) - len(best[:most])
    told = [_as(one, "target", rank=n) for n, one in enumerate(best[:most], 1)]
    explored = [_as(one, "exploration", chance=slots / pool) for one in left[:slots]]
    last = told[-1].minus_score if most and len(told) == most else np.inf if most else -np.inf
    held_out = sorted(one for answer in answers for one in _choices(answer.held_out, answer.listener_partition))
    return [*told, *sorted(explored), *(_as(one, "hold-out") for one in held_out if one.minus_score <= last)]


def _choices(column: Candidates, partition: int) -> list[Choice]:
    scores = np.frombuffer(column.scores, "<f4").tolist()
    return [
        Choice(-score, name, partition, crowd)
        for name, score, crowd in zip(column.listener_ids, scores, column.crowds, strict=True)
    ]


def _as(one: Choice, arm: str, *, rank: int = 0, chance: float = 1.0) -> Choice:
    return Choice(one.minus_score, one.listener_id, one.partition, one.crowd, rank, arm, chance)


def _draw(query: AudienceQuery, listener_id: str) -> float:
    return float(unit_draws(seed_of("explored", query.query_id), keys_of([listener_id]))[0])


def _known_up_to(query: AudienceQuery, answer: AudienceAnswer) -> float:
    """A partition tells the lowest draws outside its best; what lies above the last of them may be anybody's."""
    told = answer.explored.listener_ids
    if len(told) >= answer.eligible - len(answer.best):
        return 1.0
    return max((_draw(query, name) for name in told), default=-1.0)


# -- admission


@dataclass
class Known:
    """What one listener partition's log says of each listener, up to some offsets."""

    settings: Mapping[str, Sequence[tuple[int, ListenerSettings | None]]]
    erasures: Mapping[str, Sequence[tuple[int, int]]]  # offset, when
    plays: Mapping[str, Sequence[tuple[int, Play]]]

    def erased_ms(self, listener: str, before: int) -> int | None:
        return max((at for offset, at in self.erasures.get(listener, ()) if offset < before), default=None)

    def settings_of(self, listener: str, before: int, erased_ms: int | None) -> ListenerSettings | None:
        """The newest that was said, after the last withdrawal of settings; of what precedes an erasure nothing."""
        newest: ListenerSettings | None = None
        for offset, said in self.settings.get(listener, ()):
            if offset < before and (said is None or newest is None or said.changed_ms >= newest.changed_ms):
                newest = said
        return newest if newest is None or erased_ms is None or newest.changed_ms > erased_ms else None

    def has_heard(self, listener: str, song: str, before: int, erased_ms: int | None, keep: ListeningSettings) -> bool:
        plays = [play for offset, play in self.plays.get(listener, ()) if offset < before]
        if not any(play.song_id == song for play in plays):
            return False
        return key_of(song) in {key for _, key in ring_of(plays, erased_ms or 0, keep)}


@dataclass(frozen=True)
class Push:
    song_id: str
    decided_ms: int
    due_ms: int
    arm: str
    erasures_offset: int  # known when it was decided


@dataclass
class Exposures:
    """Of all listeners of a partition: what they were told, or would have been."""

    known: Known
    pushes: dict[str, list[Push]] = field(default_factory=dict)

    def of(self, listener: str, erasures_offset: int) -> list[Push]:
        """What is remembered: nothing from before an erasure."""
        erased = [offset for offset, _ in self.known.erasures.get(listener, ()) if offset < erasures_offset]
        return [push for push in self.pushes.get(listener, ()) if not any(push.erasures_offset <= at for at in erased)]

    def add(self, listener: str, push: Push) -> None:
        self.pushes.setdefault(listener, []).append(push)


def held_out(listener: str, settings: AdmissionSettings) -> bool:
    return unit_draw("hold-out", settings.hold_out_salt, listener) < settings.hold_out_share


def judged(
    song: str,
    listener: str,
    candidates: TargetCandidates,
    decision: Decision,
    exposures: Exposures,
    settings: AdmissionSettings,
    listening: ListeningSettings,
) -> tuple[str | None, int]:
    """The reason not to tell this listener, knowing what the decision knew; and when the push would be due."""
    known = exposures.known
    erased = known.erased_ms(listener, decision.erasures_offset)
    own = known.settings_of(listener, decision.settings_offset, erased)
    zone = own.time_zone if own and own.time_zone else settings.unknown_zone
    start, end = settings.quiet_from_minute, settings.quiet_to_minute
    if own and own.quiet_hours:
        start, end = own.quiet_hours.from_minute, own.quiet_hours.to_minute
    due = max(candidates.decided_ms, candidates.released_ms)
    if zone != "suppress":
        due = _after_quiet(due, ZoneInfo(zone), start, end)
    pushes = exposures.of(listener, decision.erasures_offset)
    times = [push.due_ms for push in pushes]
    if erased is not None and not (own and own.consent and own.changed_ms > erased):
        return "erased", due
    if not (own.consent if own else settings.consent_by_default):
        return "no-consent", due
    if song in {push.song_id for push in pushes}:
        return "already-pushed", due
    if known.has_heard(listener, song, decision.plays_offset, erased, listening):
        return "already-heard", due
    if any(abs(due - at) < settings.cooldown_h * HOUR_MS for at in times):
        return "cooling-down", due
    if most_within([*times, due], settings.rolling_h * HOUR_MS, around=due) > settings.rolling_cap:
        return "rolling-cap", due
    if zone != "suppress":
        day = datetime.fromtimestamp(due / 1000, ZoneInfo(zone)).date()
        if sum(datetime.fromtimestamp(at / 1000, ZoneInfo(zone)).date() == day for at in times) >= settings.day_cap:
            return "day-cap", due
    else:
        return "unknown-zone", due
    if due >= candidates.expires_ms:
        return "expired", due
    return ("held-out" if held_out(listener, settings) else None), due


def most_within(times: Iterable[int], window_ms: float, around: int) -> int:
    """The most of these in any window that holds `around`."""
    every = list(times)
    starts = [at for at in every if around - window_ms < at <= around]
    return max(sum(start <= at < start + window_ms for at in every) for start in starts)


def _after_quiet(at_ms: int, zone: ZoneInfo, start: int, end: int) -> int:
    at = datetime.fromtimestamp(at_ms / 1000, zone)
    minute = at.hour * 60 + at.minute
    is_quiet = start <= minute < end if start <= end else minute >= start or minute < end
    if not is_quiet:
        return at_ms
    ends = at.replace(hour=end // 60, minute=end % 60, second=0, microsecond=0)
    return round((ends if minute < end else ends + timedelta(days=1)).timestamp() * 1000)


def unpacked_exposure(raw: bytes) -> list[tuple[int, int, int, str, bool]]:
    """As the store has it: song key, decided_ms, due_ms, arm, whether the song was played since."""
    assert raw[0] == 1
    return [(*times, ARMS[marks & 3], bool(marks & 4)) for *times, marks in iter_unpack("<QqqB", raw[1:])]
