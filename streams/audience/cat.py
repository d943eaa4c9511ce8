"""CAT, cluster-based audience targeting: the crowds a release will share, and how near a listener is to them.

Pure. B listeners of a block, D dimensions of an embedding, C crowds, P points to be clustered.
How crowds are merged and scored is our reconstruction; the rules stand beside each other so that they can be compared.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import kmeans_plusplus

from streams.contracts.crowds import SongCrowds
from streams.errors import ArtifactMismatch

Floats: TypeAlias = NDArray[np.float32]
Ints: TypeAlias = NDArray[np.int64]
Doubles: TypeAlias = NDArray[np.float64]
Rule: TypeAlias = Callable[[Floats, Floats, float], Floats]  # cosines (B, C), masses (C,), sharpness -> scores (B,)
Clustering: TypeAlias = Callable[[Doubles, Doubles, int, int], tuple[Ints, Doubles]]  # points, weights, crowds, seed

MS_PER_DAY = 86_400_000
STARTS = 4  # k-means from so many seeds; the tightest crowds are kept
ROUNDS = 50
STRUCTURE = 0.25  # a silhouette below this is no substantial structure (Kaufman and Rousseeuw 1990): one crowd


@dataclass(frozen=True, slots=True)
class Merged:
    """Heaviest crowd first. No crowds if no neighbour has one."""

    centroids: Floats  # (C, D), unit length
    masses: Floats  # (C,), sum 1

    def __len__(self) -> int:
        return len(self.masses)


def merge_crowds(
    neighbours: Sequence[tuple[SongCrowds, float]],
    *,
    crowds: int,
    max_share: float,
    seed: int,
    at_ms: int,
    half_life_days: float | None = None,
    choose: bool = False,
    clustering: Clustering | None = None,
) -> Merged:
    """The crowds of (song, similarity) neighbours as at most `crowds` of their own, whatever the neighbours' order.

    A crowd weighs similarity x mass, aged to `at_ms`; no neighbour has more than `max_share` of the total, so that one
    hit does not drown the rest. `choose` takes the number of crowds with the best silhouette instead of all of them.
    The live system clusters by `spherical_k_means`; what else could is compared in `streams/sweep`.
    """
    points, weights = _points(neighbours, max_share, at_ms, half_life_days)
    if len(points) == 0:
        return Merged(np.zeros((0, points.shape[1]), np.float32), np.zeros(0, np.float32))
    points, weights = _distinct(points, weights)
    most, cluster = min(crowds, len(points)), clustering or spherical_k_means
    if choose:
        members, centroids = _best_silhouette(points, weights, most, seed, cluster)
    else:
        members, centroids = cluster(points, weights, most, seed)
    masses = np.bincount(members, weights, minlength=len(centroids))
    heaviest_first = np.lexsort((*centroids.T[::-1], -masses))
    return Merged(
        centroids[heaviest_first].astype(np.float32), (masses / masses.sum())[heaviest_first].astype(np.float32)
    )


def capped_shares(weights: Doubles, max_share: float) -> Doubles:
    """Shares of the total as near to the weights as a cap allows: what is cut off goes to the others, by weight.

    With too few weights for the cap to hold, equal shares.
    """
    positive = int((weights > 0).sum())
    if positive == 0:
        return np.zeros(len(weights))
    if positive * max_share <= 1:
        return np.where(weights > 0, 1 / positive, 0.0)
    heaviest_first = np.sort(weights)[::-1]
    left = np.cumsum(heaviest_first[::-1])[::-1]  # left[n]: what the others weigh when the n heaviest are capped
    capped = np.arange(len(weights))
    scale = (1 - capped * max_share) / np.where(left > 0, left, np.inf)
    first = int(np.argmax(heaviest_first * scale <= max_share))  # the fewest capped with which the cap holds for all
    return np.asarray(np.minimum(weights * scale[first], max_share), np.float64)


def spherical_k_means(points: Doubles, weights: Doubles, crowds: int, seed: int) -> tuple[Ints, Doubles]:
    """Which crowd each unit point belongs to, and the unit centroids; the same for the same seed.

    `points` are distinct and at least as many as `crowds`.
    """
    random = np.random.RandomState(seed)
    tightest, best = -np.inf, None
    for _ in range(STARTS if crowds > 1 else 1):
        centroids, _ = kmeans_plusplus(points, crowds, sample_weight=weights, random_state=random)
        members, centroids = _lloyd(points, weights, np.array(centroids))
        tightness = float((weights * _cosines(points, centroids)[np.arange(len(points)), members]).sum())
        if best is None or tightness > tightest:
            tightest, best = tightness, (members, centroids)
    assert best is not None
    return best


def max_score(cosines: Floats, masses: Floats, sharpness: float) -> Floats:
    """The nearest crowd counts: score(u) = max_c cos(u, c)."""
    score = np.array(cosines[:, 0], np.float32)
    for c in range(1, cosines.shape[1]):
        np.maximum(score, cosines[:, c], out=score)
    return score


def share_score(cosines: Floats, masses: Floats, sharpness: float) -> Floats:
    """The nearest crowd counts, the larger the more: score(u) = max_c mass_c cos(u, c)."""
    return max_score(cosines * np.asarray(masses, np.float32), masses, sharpness)


def mean_score(cosines: Floats, masses: Floats, sharpness: float) -> Floats:
    """The mean of all crowds by mass: the cosine to it but for its length, which is the same for every listener."""
    score = np.zeros(len(cosines), np.float32)
    for c in range(cosines.shape[1]):
        score += masses[c] * cosines[:, c]
    return score


def mass_score(cosines: Floats, masses: Floats, sharpness: float) -> Floats:
    """Every crowd counts by mass and nearness: score(u) = log sum_c mass_c exp(sharpness cos(u, c))."""
    with np.errstate(divide="ignore"):
        log_masses = np.log(np.asarray(masses, np.float32))  # -inf: a crowd without mass never counts
    logits = [np.float32(sharpness) * cosines[:, c] + log_masses[c] for c in range(cosines.shape[1])]
    highest = np.array(logits[0])
    for logit in logits[1:]:
        np.maximum(highest, logit, out=highest)
    total = np.zeros(len(cosines), np.float32)
    for logit in logits:
        total += np.exp(logit - highest)
    return np.asarray(highest + np.log(total), np.float32)


def blend_score(cosines: Floats, masses: Floats, sharpness: float) -> Floats:
    """The crowds by mass and, with the same weight, the song itself, which is the last column.

    Listeners' embeddings lean towards what everybody plays, and so do crowds; the song's own embedding does not. Ours:
    on the simulated world it is ahead of either alone (`bcl sweep rules`).
    """
    crowds = slice(None, -1) if cosines.shape[1] > 1 else slice(None)
    by_mass = mass_score(cosines[:, crowds], masses[crowds], sharpness) / np.float32(sharpness)
    return np.asarray(by_mass + cosines[:, -1], np.float32)


# A row's score is made of elementwise steps, so the other rows of its block never change a bit of it.
# quota: the nearest crowd scores, and `within_quota` shares the budget. song: `compared_with` leaves the song alone.
RULES: dict[str, Rule] = {
    "max": max_score,
    "share": share_score,
    "mean": mean_score,
    "mass": mass_score,
    "blend": blend_score,
    "quota": max_score,
    "song": max_score,
}


def compared_with(rule: str, centroids: Floats, masses: Floats, embedding: Floats) -> tuple[Floats, Floats]:
    """The vectors that listeners are compared with, and their masses: the crowds, the song's own embedding, or both."""
    if rule == "song" or len(centroids) == 0:
        return embedding.reshape(1, -1), np.ones(1, np.float32)
    if rule == "blend":
        return np.vstack([centroids, embedding]), np.append(masses, np.float32(0))
    return centroids, masses


def nearest_crowds(rule: str, cosines: Floats) -> NDArray[np.uint8]:
    """(B, C) -> (B,); of equally near ones the first. The song is no crowd, unless it stands alone."""
    crowds = cosines[:, :-1] if rule == "blend" and cosines.shape[1] > 1 else cosines
    return np.asarray(crowds.argmax(axis=1), np.uint8)


def split(budget: int, masses: Floats) -> Ints:
    """A budget shared by mass in whole numbers: largest remainders, of equal ones the first."""
    if len(masses) == 0 or budget <= 0:
        return np.zeros(len(masses), np.int64)
    total = float(masses.astype(np.float64).sum())
    shares = masses.astype(np.float64) / total if total > 0 else np.full(len(masses), 1 / len(masses))
    whole = np.floor(budget * shares).astype(np.int64)
    largest_first = np.argsort(whole - budget * shares, kind="stable")
    whole[largest_first[: budget - int(whole.sum())]] += 1
    return whole


def within_quota(crowds: NDArray[np.uint8], masses: Floats, budget: int) -> Ints:
    """Which of these candidates, best first, are taken: each crowd's best up to its quota, then the best left over."""
    quotas = split(budget, masses)
    in_quota = np.zeros(len(crowds), bool)
    for crowd, quota in enumerate(quotas):
        in_quota[np.flatnonzero(crowds == crowd)[:quota]] = True
    rest = np.flatnonzero(~in_quota)[: max(0, budget - int(in_quota.sum()))]
    in_quota[rest] = True
    return np.flatnonzero(in_quota)


def _points(
    neighbours: Sequence[tuple[SongCrowds, float]], max_share: float, at_ms: int, half_life_days: float | None
) -> tuple[Doubles, Doubles]:
    """Every neighbour's centroids (P, D) and their shares of the total weight."""
    songs = sorted(neighbours, key=lambda neighbour: (neighbour[0].song_id, neighbour[1]))
    if len({song.artifact for song, _ in songs}) > 1:
        raise ArtifactMismatch(found=songs[-1][0].artifact, wanted=songs[0][0].artifact)
    centroids, masses = [], []
    for song, similarity in songs:
        mass = np.frombuffer(song.masses, np.float32).astype(np.float64)
        if len(mass) == 0:
            continue
        if half_life_days:
            mass = mass * 0.5 ** (max(0, at_ms - song.at_ms) / (half_life_days * MS_PER_DAY))
        centroids.append(np.frombuffer(song.centroids, np.float32).reshape(len(mass), -1).astype(np.float64))
        masses.append(max(similarity, 0.0) * mass)
    if not centroids:
        return np.zeros((0, 0)), np.zeros(0)
    totals = np.array([mass.sum() for mass in masses])
    shares = capped_shares(totals, max_share)
    weights = np.concatenate(
        [
            mass * (share / total if total > 0 else 0.0)
            for mass, share, total in zip(masses, shares, totals, strict=True)
        ]
    )
    points = np.concatenate(centroids)
    return points[weights > 0], weights[weights > 0]


def _distinct(points: Doubles, weights: Doubles) -> tuple[Doubles, Doubles]:
    distinct, which = np.unique(points, axis=0, return_inverse=True)
    return distinct, np.asarray(np.bincount(which.reshape(-1), weights), np.float64)


def _lloyd(points: Doubles, weights: Doubles, centroids: Doubles) -> tuple[Ints, Doubles]:
    crowds = len(centroids)
    members = np.full(len(points), -1)
    for _ in range(ROUNDS):
        cosines = _cosines(points, centroids)
        nearest = cosines.argmax(axis=1)
        for empty in np.setdiff1d(np.arange(crowds), nearest):
            alone = np.bincount(nearest, minlength=crowds)[nearest] == 1  # may not leave: another crowd would be empty
            misfit = np.where(alone, -np.inf, weights * (1 - cosines[np.arange(len(points)), nearest]))
            nearest[misfit.argmax()] = empty
        if (nearest == members).all():
            break
        members = nearest
        sums = np.zeros_like(centroids)
        np.add.at(sums, members, weights[:, None] * points)
        lengths = np.sqrt((sums * sums).sum(axis=1, keepdims=True))
        centroids = np.where(lengths > 1e-12, sums / np.maximum(lengths, 1e-12), centroids)
    return members, centroids


def _best_silhouette(
    points: Doubles, weights: Doubles, most: int, seed: int, cluster: Clustering
) -> tuple[Ints, Doubles]:
    best, found = STRUCTURE, cluster(points, weights, 1, seed)
    for crowds in range(2, min(most, len(points) - 1) + 1):
        members, centroids = cluster(points, weights, crowds, seed)
        score = silhouette(points, weights, members)
        if score > best:
            best, found = score, (members, centroids)
    return found


def silhouette(points: Doubles, weights: Doubles, members: Ints) -> float:
    """How much nearer points are to their own crowd than to the next one, by weight (Rousseeuw 1987), from -1 to 1.

    A point alone in its crowd counts 0.
    """
    crowds = int(members.max()) + 1
    rows = np.arange(len(points))
    distances = 1 - _cosines(points, points)
    distances[rows, rows] = 0.0
    in_crowd = np.zeros((len(points), crowds))
    in_crowd[rows, members] = weights
    weight = np.broadcast_to(in_crowd.sum(axis=0), in_crowd.shape).copy()  # (P, C): of each crowd without the point
    weight[rows, members] -= weights
    to_crowd = np.einsum("pq,qc->pc", distances, in_crowd) / np.maximum(weight, 1e-300)
    own = to_crowd[rows, members]
    to_crowd[rows, members] = np.inf
    other = to_crowd.min(axis=1)
    alone = np.bincount(members, minlength=crowds)[members] == 1
    fit = np.where(alone, 0.0, (other - own) / np.maximum(np.maximum(own, other), 1e-12))
    return float((weights * fit).sum() / weights.sum())


def _cosines(points: Doubles, centroids: Doubles) -> Doubles:
    """By einsum, not BLAS: the order of its sums does not depend on threads or shapes."""
    cosines: Any = np.einsum("pd,cd->pc", points, centroids)
    return np.asarray(cosines, np.float64)
