"""Paired samples and what they show: means, intervals, differences, and which of many differences stand.

Every variant is measured on the same units, worlds or splits, so two variants are compared unit by unit. Intervals and
p-values are Student's t; of all comparisons of a study the p-values are Holm's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from streams.judging.judge import LEVEL, Estimate
from streams.judging.significance import holm

SHOWN = 1 - LEVEL  # a difference is shown below this p


@dataclass(frozen=True)
class Difference:
    """Of one variant from another, unit by unit."""

    estimate: Estimate
    p: float  # two-sided, Holm's; 1 where there is one unit, or no difference at all

    @property
    def is_shown(self) -> bool:
        return self.p < SHOWN

    @property
    def is_shown_alone(self) -> bool:
        """Zero lies outside the interval, which allows for no other comparison, and Holm's p does not show it."""
        return not self.is_shown and self.estimate.low * self.estimate.high > 0

    def __str__(self) -> str:
        one = self.estimate
        return f"{one.mean:+.3f} [{one.low:+.3f}, {one.high:+.3f}]"


@dataclass(frozen=True, order=True)
class Asked:
    """One comparison of a study."""

    place: str  # a budget, a skew, or nothing
    measure: str
    reference: str
    variant: str


def differences(apart: Mapping[Asked, np.ndarray]) -> dict[Asked, Difference]:
    """All comparisons of one study under one Holm correction; apart: the differences of each, unit by unit."""
    adjusted = holm({asked: p_of_zero(values) for asked, values in apart.items()})
    return {asked: Difference(interval(values), adjusted[asked]) for asked, values in apart.items()}


@dataclass(frozen=True)
class Samples:
    unit: str  # world or split
    values: Mapping[str, Mapping[str, Sequence[float]]]  # variant -> measure -> one value for each unit

    def __post_init__(self) -> None:
        if len(sizes := {len(column) for row in self.values.values() for column in row.values()}) > 1:
            raise ValueError(f"variants were measured on {sorted(sizes)} {self.unit}s, wanted the same for all")

    @property
    def units(self) -> int:
        return next((len(column) for row in self.values.values() for column in row.values()), 0)

    @property
    def variants(self) -> list[str]:
        return list(self.values)

    @property
    def measures(self) -> list[str]:
        return list(next(iter(self.values.values()), {}))

    def estimate(self, variant: str, measure: str) -> Estimate:
        return interval(self.values[variant][measure])

    def apart(self, variant: str, reference: str, measure: str) -> np.ndarray:
        """The differences, unit by unit."""
        return np.subtract(self.values[variant][measure], self.values[reference][measure])

    def best(self, measure: str, variants: Sequence[str] | None = None) -> str:
        return max(variants or self.variants, key=lambda name: float(np.mean(self.values[name][measure])))


def interval(values: Sequence[float] | np.ndarray) -> Estimate:
    """Of a single unit a point."""
    every = np.asarray(values, dtype=np.float64)
    if len(every) == 0:
        raise ValueError("nothing was measured")
    mean = float(every.mean())
    if len(every) == 1:
        return Estimate(mean, mean, mean)
    half = float(stats.t.ppf((1 + LEVEL) / 2, len(every) - 1) * every.std(ddof=1) / len(every) ** 0.5)
    return Estimate(mean, mean - half, mean + half)


def p_of_zero(differences: np.ndarray) -> float:
    """Two-sided, that the mean difference is none."""
    if len(differences) < 2 or not differences.any():
        return 1.0
    spread = float(differences.std(ddof=1)) / len(differences) ** 0.5
    if spread == 0:
        return 0.0
    return float(2 * stats.t.sf(abs(float(differences.mean())) / spread, len(differences) - 1))


def slopes(at: Sequence[float], values: Sequence[Sequence[float]]) -> np.ndarray:
    """Of each unit's values over the levels `at`; values: level -> one for each unit."""
    x = np.asarray(at, dtype=np.float64)
    y = np.asarray(values, dtype=np.float64)  # (levels, units)
    apart = x - x.mean()
    slope: np.ndarray = apart @ (y - y.mean(axis=0)) / (apart @ apart)
    return slope
