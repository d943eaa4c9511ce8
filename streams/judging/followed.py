"""What was chosen for a release, and what came of it: the facts that every figure counts. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from streams.contracts.targets import Arm
from streams.judging.measures import Ranked, is_among
from streams.replay.choices import ARM_ROWS, BY_SCORE, REASONS, Bools, Choice, Fixed, Floats, Ints

EXPLORED, HELD_OUT = ARM_ROWS[Arm.EXPLORATION], ARM_ROWS[Arm.HOLD_OUT]


@dataclass(frozen=True, eq=False)
class Revealed:
    """Who played one release within the horizon; listeners in order, each once."""

    effective: Ints
    played: Ints  # effective or not
    delays_ms: Ints  # of the first effective play of each in `effective`
    answers: Ints  # 1: that play names a target, 0: it names none, -1: the log does not say


@dataclass(frozen=True, eq=False)
class Past:
    """A release whose horizon is over."""

    fixed: Fixed
    revealed: Revealed


@dataclass(frozen=True, eq=False)
class Followed:
    """One choice for one release, with what came of it."""

    past: Past
    choice: Choice

    @cached_property
    def is_effective(self) -> Bools:
        return is_among(self.choice.listeners, self.past.revealed.effective)

    @cached_property
    def by_score(self) -> Bools:
        of_arm: Bools = self.choice.arms == BY_SCORE
        return of_arm

    @cached_property
    def is_told(self) -> Bools:
        told: Bools = (self.choice.reasons == 0) & (self.choice.arms != HELD_OUT)
        return told

    @cached_property
    def places(self) -> int:
        """The budget without what was left to chance."""
        budget = self.choice.budget or self.past.fixed.budget
        return max(budget - int((self.choice.arms == EXPLORED).sum()), 0)

    @cached_property
    def ranked(self) -> Ranked:
        return Ranked.of(self.is_effective[self.by_score], self.places, len(self.past.revealed.effective))

    @cached_property
    def rivals(self) -> dict[str, Ranked]:
        revealed = self.past.revealed
        return {
            name: Ranked.of(
                is_among(rival.listeners[: self.places], revealed.effective), self.places, len(revealed.effective)
            )
            for name, rival in self.past.fixed.rivals.items()
        }

    @cached_property
    def chosen(self) -> int:
        return int((self.choice.arms != HELD_OUT).sum())

    @cached_property
    def effective_plays(self) -> int:
        return int((self.is_told & self.is_effective).sum())

    @cached_property
    def suppressed(self) -> Ints:
        return np.bincount(self.choice.reasons, minlength=len(REASONS))

    @cached_property
    def listeners_by_score(self) -> Ints:
        return self.choice.listeners[self.by_score]


def column(every: Sequence[Followed], value_of: Callable[[Followed], float]) -> Floats:
    return np.array([value_of(one) for one in every], np.float64)


def by_reason(counts: Ints) -> dict[str, int]:
    return {reason.value: int(counts[row]) for row, reason in enumerate(REASONS) if reason is not None and counts[row]}
