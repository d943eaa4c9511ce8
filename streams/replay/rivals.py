"""The simple choices that CAT has to answer to: each scores all listeners for one release, in plain NumPy.

L listeners, K plays in a ring, D dimensions, N songs, P crowds of the neighbours.
"""

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.floating[Any]]
Ints: TypeAlias = npt.NDArray[np.integer[Any]]


def weighted_count(rings: Ints, strengths: Floats, neighbours: Ints, similarities: Floats, songs: int) -> Floats:
    """w_u = sum over neighbours j of sim(release, j) · strength(u, j). `rings` (L, K) song rows, -1 where empty."""
    similarity = np.zeros(songs + 1)  # the last one is the empty place
    similarity[neighbours] = np.maximum(similarities, 0)
    score: Floats = (similarity[rings] * strengths).sum(axis=1)
    return score


def single_mean(embeddings: Floats, centroids: Floats, masses: Floats) -> Floats:
    """Cosine to the one mean vector of the neighbours' crowds."""
    mean = masses @ centroids  # (P,) @ (P, D) -> (D,)
    return embeddings @ (mean / max(float(np.linalg.norm(mean)), 1e-12)).astype(embeddings.dtype)


def own_vector(embeddings: Floats, song: Floats) -> Floats:
    """Cosine to the release itself."""
    return embeddings @ song


def popularity(plays: Ints) -> Floats:
    """The busiest listeners, whatever the release."""
    return plays.astype(np.float64)


def at_random(listeners: int, seed: int) -> Floats:
    return np.random.default_rng(seed).random(listeners)


def best(scores: Floats, budget: int) -> npt.NDArray[np.int64]:
    """The highest, best first; of equal ones the first."""
    budget = min(budget, len(scores))
    if budget == 0:
        return np.zeros(0, dtype=np.int64)
    threshold = np.partition(scores, -budget)[-budget]
    near = np.flatnonzero(scores >= threshold)
    return near[np.argsort(-scores[near], kind="stable")[:budget]]
