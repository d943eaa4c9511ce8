"""What chance could have done: intervals and tests over releases, and the test over plays.

A release is the unit: the listeners of one release succeed and fail together, so they are no independent trials. All
intervals are percentile bootstraps over releases. Two policies are compared on the same releases: their difference has
such an interval, and its p-value comes from flipping the signs of the differences, which needs no normal law. McNemar's
test takes each play as its unit and stands beside these as the usual figure; being blind to releases, it is too sure.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from streams.judging.judge import LEVEL, ROUNDS, Estimate
from streams.replay.choices import Floats

FLIPS, EXACT_UP_TO = 20_000, 14  # random sign patterns; of so few differences every pattern is tried

NOTICED = 1.959963984540054 + 0.8416212335729143  # standard errors: found at 5 %, 8 times in 10

_Name = TypeVar("_Name")
_ROUNDS_AT_ONCE = 250


class Resampled:
    """Releases drawn anew, the same draws for whatever is asked: so differences and ratios are paired."""

    def __init__(self, releases: int, seed: int, rounds: int = ROUNDS) -> None:
        if releases == 0:
            raise ValueError("there is no release to judge")
        rng = np.random.default_rng([seed, releases])
        self._times: npt.NDArray[np.float32] = np.empty((rounds, releases), np.float32)  # each release is drawn
        for start in range(0, rounds, _ROUNDS_AT_ONCE):
            size = min(_ROUNDS_AT_ONCE, rounds - start)
            drawn = rng.integers(releases, size=(size, releases)) + np.arange(size)[:, None] * releases
            counts = np.bincount(drawn.ravel(), minlength=size * releases)
            self._times[start : start + size] = counts.reshape(size, releases)

    def mean(self, values: Floats) -> Estimate | None:
        """Of the values that are numbers; None: there is none."""
        return self.ratio(values, np.ones(len(values)))

    def ratio(self, above: Floats, below: Floats) -> Estimate | None:
        """Sum over sum, of the releases that have both. None: nothing to divide by."""
        counts = ~(np.isnan(above) | np.isnan(below))
        above, below = np.where(counts, above, 0.0), np.where(counts, below, 0.0)
        if below.sum() <= 0:
            return None
        tops, bottoms = self._times @ above.astype(np.float32), self._times @ below.astype(np.float32)
        drawn = tops[bottoms > 0] / bottoms[bottoms > 0]
        low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return Estimate(float(above.sum() / below.sum()), float(low), float(high))


def chance_of(differences: Floats, seed: int) -> float:
    """How likely a mean this far from 0 is if the sign of every difference is a toss; two-sided."""
    told = differences[~np.isnan(differences) & (differences != 0)]
    if not len(told):
        return 1.0
    seen = abs(float(told.sum())) * (1 - 1e-9)  # what differs by rounding alone is as far
    if len(told) <= EXACT_UP_TO:
        signs = np.arange(2 ** len(told))[:, None] >> np.arange(len(told)) & 1
        return float((np.abs((2 * signs - 1) @ told) >= seen).mean())
    rng, as_far = np.random.default_rng([seed, len(told)]), 0
    for start in range(0, FLIPS, _ROUNDS_AT_ONCE):
        size = min(_ROUNDS_AT_ONCE, FLIPS - start)
        as_far += int((np.abs((2 * rng.integers(2, size=(size, len(told))) - 1) @ told) >= seen).sum())
    return (1 + as_far) / (1 + FLIPS)


@dataclass(frozen=True)
class McNemar:
    """Plays that one policy had foreseen and the other had not; the exact test that both are as many."""

    only_first: int
    only_second: int
    p: float

    @classmethod
    def of(cls, only_first: int, only_second: int) -> "McNemar":
        from scipy.stats import binomtest

        both = only_first + only_second
        return cls(only_first, only_second, float(binomtest(only_first, both).pvalue) if both else 1.0)


def holm(chances: Mapping[_Name, float]) -> dict[_Name, float]:
    """p-values when several are asked at once: the chance that any of them is wrong stays what it says (Holm)."""
    adjusted, largest = dict(chances), 0.0
    for n, name in enumerate(sorted(chances, key=lambda one: chances[one])):
        largest = max(largest, min(1.0, chances[name] * (len(chances) - n)))
        adjusted[name] = largest
    return adjusted


def noticed_from(differences: Floats) -> float | None:
    """A mean difference that so many releases would show 8 times in 10."""
    told = differences[~np.isnan(differences)]
    return NOTICED * float(told.std(ddof=1)) / len(told) ** 0.5 if len(told) > 1 else None
