"""How good one choice for one release was, by who played it. Pure: counts and shares.

A share of nothing is not a number: it is left out of every mean, and how often is told beside it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, nan

import numpy as np

from streams.replay.choices import Bools, Floats, Ints


@dataclass(frozen=True)
class Ranked:
    """A list of listeners, best first, against those who played."""

    precision: float  # effective plays for each place; a place that was left empty counts as missed
    recall: float  # of all who played, those who were on the list; nan: nobody played
    ndcg: float  # the same with places weighed by 1 / log2(place + 1); nan: nobody played

    @classmethod
    def of(cls, is_hit: Bools, places: int, audience: int) -> "Ranked":
        if len(is_hit) > places:
            raise ValueError(f"{len(is_hit)} listeners are chosen for {places} places")
        hits = int(is_hit.sum())
        gains = 1 / np.log2(np.arange(2, places + 2))
        return cls(
            precision=hits / places if places else nan,
            recall=hits / audience if audience else nan,
            ndcg=float(gains[: len(is_hit)][is_hit].sum() / gains[: min(audience, places)].sum())
            if audience and places
            else nan,
        )


def is_among(listeners: Ints, some: Ints) -> Bools:
    """Of each listener, whether they are among `some`, which are sorted."""
    if not len(some):
        return np.zeros(len(listeners), np.bool_)
    at = np.minimum(np.searchsorted(some, listeners), len(some) - 1)
    found: Bools = some[at] == listeners
    return found


def effective_number(counts: Ints) -> float:
    """How many equally large parts would be as spread out: exp of the entropy. 0 where there is nothing."""
    shares = counts[counts > 0] / max(int(counts.sum()), 1)
    return exp(-float((shares * np.log(shares)).sum())) if len(shares) else 0.0


def gini(counts: Ints) -> float:
    """0: all have as many; near 1: one has everything."""
    total = int(counts.sum())
    if total == 0:
        return 0.0
    ordered = np.sort(counts)
    return float((2 * np.arange(1, len(ordered) + 1) - len(ordered) - 1) @ ordered / (len(ordered) * total))


def tenths(values: Ints | Floats) -> Ints:
    """Of each value its decile, 0 to 9, equal values in the same one; fewer deciles where values repeat."""
    edges = np.quantile(values, np.arange(1, 10) / 10) if len(values) else np.zeros(0)
    found: Ints = np.searchsorted(edges, values, side="right")
    return found


def wilson(hits: int, of: int, z: float = 1.959963984540054) -> tuple[float, float]:
    """An interval of 95 % for a share."""
    if of == 0:
        return 0.0, 1.0
    share = hits / of
    middle = (share + z * z / (2 * of)) / (1 + z * z / of)
    half = z / (1 + z * z / of) * (share * (1 - share) / of + z * z / (4 * of * of)) ** 0.5
    return max(0.0, middle - half), min(1.0, middle + half)


def autocorrelation(values: Sequence[float] | Floats) -> float | None:
    """Of each value with the next one; far from 0, neighbours in time are no independent releases."""
    every = np.asarray(values, np.float64)
    every = every[~np.isnan(every)]
    if len(every) < 3 or not float(every.std()):
        return None
    centred = every - every.mean()
    return float(centred[1:] @ centred[:-1] / (centred @ centred))
