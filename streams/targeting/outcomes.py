"""What came of a release: totals by arm, and how much more often those who were told played the song. Pure."""

from collections.abc import Mapping
from math import exp, log, sqrt
from typing import NamedTuple

import msgspec

from streams.contracts.targets import Arm, Outcome, TargetReactions

_Z = 1.959963984540054  # of a two-sided interval of 95 %


class Lift(NamedTuple):
    ratio: float
    low: float
    high: float


def lift_of(*, plays: int, reached: int, held_out_plays: int, held_out: int) -> Lift | None:
    """The ratio of two shares, with the interval of Katz et al. (log scale); None where it has no denominator.

    Without a play among those reached the ratio is 0, its logarithm none: the upper limit is then that of half a play
    added to each count (Walter).
    """
    if reached == 0 or held_out == 0 or held_out_plays == 0:
        return None
    # A crash between the targets and the count of them can leave the count short by a few.
    plays, held_out_plays = min(plays, reached), min(held_out_plays, held_out)
    if plays == 0:
        return Lift(0.0, 0.0, _katz(0.5, reached + 0.5, held_out_plays + 0.5, held_out + 0.5).high)
    return _katz(plays, reached, held_out_plays, held_out)


def with_reactions(before: Outcome | None, reactions: TargetReactions, at_ms: int) -> Outcome:
    """The running total. Addition and maxima only: the order of partitions does not matter."""
    if before is None:
        before = Outcome(reactions.song_id, at_ms, reactions.decided_ms, {}, {}, {}, None, None, None)
    reached = _added(before.reached, reactions.reached)
    plays = _added(before.effective_plays, reactions.effective_plays)
    lift = lift_of(
        plays=plays.get(Arm.TARGET, 0),
        reached=reached.get(Arm.TARGET, 0),
        held_out_plays=plays.get(Arm.HOLD_OUT, 0),
        held_out=reached.get(Arm.HOLD_OUT, 0),
    )
    return msgspec.structs.replace(
        before,
        at_ms=max(before.at_ms, at_ms),
        decided_ms=max(before.decided_ms, reactions.decided_ms),
        reached=reached,
        effective_plays=plays,
        likes=_added(before.likes, reactions.likes),
        lift=lift.ratio if lift else None,
        lift_low=lift.low if lift else None,
        lift_high=lift.high if lift else None,
    )


def _katz(plays: float, reached: float, held_out_plays: float, held_out: float) -> Lift:
    ratio = (plays / reached) / (held_out_plays / held_out)
    error = sqrt(1 / plays - 1 / reached + 1 / held_out_plays - 1 / held_out)
    return Lift(ratio, exp(log(ratio) - _Z * error), exp(log(ratio) + _Z * error))


def _added(totals: Mapping[str, int], more: Mapping[str, int]) -> dict[str, int]:
    """By arm, in the order of Arm: equal totals have equal bytes."""
    return {arm.value: total for arm in Arm if (total := totals.get(arm, 0) + more.get(arm, 0))}
