"""Other ways to find crowds than the live spherical k-means: medoids, and merging from the bottom up.

Unit points (P, D), their weights (P,), and how many crowds: the same arguments and results as
`streams.audience.cat.spherical_k_means`. None of these draws, so the seed changes nothing. Distances are 1 - cosine.
"""

from functools import partial
from typing import Any

import numpy as np

from streams.audience.cat import Clustering, Doubles, Ints, spherical_k_means
from streams.sweep.past import units

SWAPS = 100  # of medoids, at most


def medoids(points: Doubles, weights: Doubles, crowds: int, seed: int) -> tuple[Ints, Doubles]:
    """PAM (Kaufman and Rousseeuw 1990): the points themselves as centres, the best swap until none is better."""
    distances = _distances(points)
    chosen = _built(distances, weights, crowds)
    for _ in range(SWAPS):
        gain, leaves, enters = _best_swap(distances, weights, chosen)
        if gain <= 1e-12:
            break
        chosen[leaves] = enters
    return np.asarray(distances[:, chosen].argmin(axis=1), np.int64), points[chosen]


def _built(distances: Doubles, weights: Doubles, crowds: int) -> Ints:
    """One after the other the point that brings all others nearest."""
    chosen: list[int] = []
    nearest = np.full(len(distances), 2.0)  # no two unit vectors are farther apart
    for _ in range(crowds):
        gains = weights @ np.maximum(nearest[:, None] - distances, 0)
        gains[chosen] = -1
        chosen.append(int(gains.argmax()))
        nearest = np.minimum(nearest, distances[:, chosen[-1]])
    return np.array(chosen)


def _best_swap(distances: Doubles, weights: Doubles, chosen: Ints) -> tuple[float, int, int]:
    """How much nearer all points are when a medoid leaves and another point enters."""
    to_chosen = distances[:, chosen]
    nearest = to_chosen.argmin(axis=1)
    first = to_chosen.min(axis=1)
    best = (0.0, 0, 0)
    for leaves in range(len(chosen)):
        without = np.delete(to_chosen, leaves, axis=1).min(axis=1, initial=2.0)
        left = np.where(nearest == leaves, without, first)
        gains = weights @ (first[:, None] - np.minimum(left[:, None], distances))
        enters = int(gains.argmax())
        if gains[enters] > best[0]:
            best = (float(gains[enters]), leaves, enters)
    return best


def hierarchical(points: Doubles, weights: Doubles, crowds: int, seed: int, linkage: str = "average") -> Any:
    """The nearest two crowds become one until so many are left.

    average: crowds are as far apart as their points are on average, by weight (UPGMA); ward: as what a merger adds to
    the squared distances from the centres.
    """
    masses = weights.astype(np.float64).copy()
    apart = _distances(points) if linkage == "average" else _of_ward(points, masses)
    np.fill_diagonal(apart, np.inf)
    members = np.arange(len(points))
    for _ in range(len(points) - crowds):
        one, other = sorted(divmod(int(apart.argmin()), len(points)))
        total = masses[one] + masses[other]
        if linkage == "average":
            merged = (masses[one] * apart[one] + masses[other] * apart[other]) / total
        else:  # Lance and Williams
            merged = (masses + masses[one]) * apart[one] + (masses + masses[other]) * apart[other]
            merged = (merged - masses * apart[one, other]) / np.maximum(masses + total, 1e-300)
        merged[[one, other]] = np.inf
        apart[one], apart[:, one] = merged, merged
        apart[other], apart[:, other] = np.inf, np.inf
        masses[one], masses[other] = total, 0.0
        members[members == other] = one
    _, members = np.unique(members, return_inverse=True)
    sums = np.zeros((crowds, points.shape[1]))
    np.add.at(sums, members, weights[:, None] * points)
    return np.asarray(members, np.int64), np.asarray(units(sums), np.float64)  # type: ignore[arg-type]


def _of_ward(points: Doubles, masses: Doubles) -> Doubles:
    apart: Doubles = 2 * _distances(points) * masses[:, None] * masses / (masses[:, None] + masses)
    return apart


def _distances(points: Doubles) -> Doubles:
    apart: Doubles = np.maximum(1 - points @ points.T, 0)
    np.fill_diagonal(apart, 0)
    return apart


ward: Clustering = partial(hierarchical, linkage="ward")

CLUSTERINGS: dict[str, Clustering] = {
    "k-means": spherical_k_means,
    "medoids": medoids,
    "average linkage": hierarchical,
    "ward": ward,
}
