"""Compares choices of listeners with the truth: precision at a budget, the reach of every true crowd, intervals.

A rule is judged on the same releases as the others, so two rules are compared release by release.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Ints: TypeAlias = npt.NDArray[np.integer[Any]]
Floats: TypeAlias = npt.NDArray[np.floating[Any]]
Bools: TypeAlias = npt.NDArray[np.bool_]

ROUNDS, LEVEL = 2_000, 0.95
CROWD_SHARE, CROWD_FANS = 0.05, 10  # a true crowd counts from this share of the fans and from so many


@dataclass(frozen=True)
class Estimate:
    """A mean over releases and its interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True)
class Known:
    """The truth of one release; arrays over all listeners."""

    worth: Floats  # what a target is worth: its probability of an effective play, or 1 and 0 where it is known
    fans: Bools
    crowds: Ints  # which true crowd a listener belongs to, should they be a fan


@dataclass(frozen=True)
class Verdict:
    """What one rule did with one release."""

    precision: float
    reach: Mapping[int, float]  # of each true crowd, the share of its fans that got a target

    @property
    def mean_reach(self) -> float:
        """Every true crowd counts the same, however small."""
        return float(np.mean(list(self.reach.values()))) if self.reach else 0.0

    @property
    def least_reach(self) -> float:
        return min(self.reach.values(), default=0.0)


@dataclass(frozen=True)
class Judged:
    """What one rule did with all releases."""

    precision: Estimate
    reach: Estimate
    least_reach: Estimate

    def to_json(self) -> dict[str, dict[str, float]]:
        return asdict(self)


def verdict(chosen: Ints, known: Known, budget: int) -> Verdict:
    """Of a budget that was not used up the rest counts as missed: choosing few is no way to be precise."""
    if len(np.unique(chosen)) != len(chosen):
        raise ValueError(f"{len(chosen) - len(np.unique(chosen))} listeners were chosen twice")
    if len(chosen) > budget:
        raise ValueError(f"{len(chosen)} listeners were chosen with a budget of {budget}")
    return Verdict(float(known.worth[chosen].sum()) / budget, reach(chosen, known))


def reach(chosen: Ints, known: Known) -> dict[int, float]:
    fans = true_crowds(known)
    targeted = known.fans[chosen]
    reached = np.bincount(known.crowds[chosen][targeted], minlength=max(fans, default=0) + 1)
    return {crowd: float(reached[crowd] / count) for crowd, count in fans.items()}


def true_crowds(known: Known) -> dict[int, int]:
    """Crowd -> fans, of the crowds that are large enough to be spoken of."""
    fans = np.bincount(known.crowds[known.fans])
    enough = max(CROWD_FANS, CROWD_SHARE * fans.sum())
    return {int(crowd): int(fans[crowd]) for crowd in np.flatnonzero(fans >= enough)}


def judged(verdicts: Sequence[Verdict], seed: int = 0) -> Judged:
    return Judged(
        precision=estimate([one.precision for one in verdicts], seed),
        reach=estimate([one.mean_reach for one in verdicts], seed),
        least_reach=estimate([one.least_reach for one in verdicts], seed),
    )


def difference(ours: Sequence[float], theirs: Sequence[float], seed: int = 0) -> Estimate:
    """Of two rules over the same releases, in the same order."""
    if len(ours) != len(theirs):
        raise ValueError(f"{len(ours)} releases against {len(theirs)}")
    return estimate(np.subtract(ours, theirs), seed)


def estimate(values: Sequence[float] | Floats, seed: int = 0) -> Estimate:
    """Mean with a percentile bootstrap over releases; of a single release the interval is a point."""
    every = np.asarray(values, dtype=np.float64)
    if len(every) == 0:
        raise ValueError("there is no release to judge")
    drawn = np.random.default_rng(seed).integers(len(every), size=(ROUNDS, len(every)))
    low, high = np.quantile(every[drawn].mean(axis=1), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(float(every.mean()), float(low), float(high))
