"""A listener as several vectors: the songs of its ring in groups, each group with its own mean direction.

One mean of two tastes lies between them, near neither; two vectors lie in one each. L listeners, K places in a ring,
V vectors, D dimensions.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from streams.sweep.past import Floats, Rings, units

Ints: TypeAlias = npt.NDArray[np.int64]

ROUNDS = 10
LISTENERS_AT_ONCE = 2_048


@dataclass(frozen=True)
class Several:
    vectors: Floats  # (L, V, D), unit length, or zeros where there are fewer
    shares: Floats  # (L, V), of the listener's weight; zeros where there are fewer


def several_vectors(rings: Rings, songs: Floats, vectors: int) -> Several:
    """Spherical k-means within each ring, from the songs that lie farthest apart: no chance in it."""
    blocks = [
        _grouped(
            songs[np.maximum(rings.songs[some], 0)],
            np.where(rings.songs[some] >= 0, rings.weights[some], 0).astype(np.float32),
            vectors,
        )
        for some in np.array_split(np.arange(len(rings.songs)), -(-len(rings.songs) // LISTENERS_AT_ONCE))
    ]
    return Several(np.concatenate([one.vectors for one in blocks]), np.concatenate([one.shares for one in blocks]))


def _grouped(points: Floats, weights: Floats, vectors: int) -> Several:
    """points (L, K, D), weights (L, K)"""
    centroids = _far_apart(points, weights, vectors)
    members = np.full(weights.shape, -1)
    for _ in range(ROUNDS):
        cosines = np.matmul(points, centroids.transpose(0, 2, 1))  # (L, K, V)
        nearest = np.where(_is_there(centroids)[:, None, :], cosines, -np.inf).argmax(axis=2)
        if (nearest == members).all():
            break
        members = nearest
        of_group = weights[:, :, None] * (members[:, :, None] == np.arange(vectors))  # (L, K, V)
        centroids = units(np.matmul(of_group.transpose(0, 2, 1), points).astype(np.float32))
    masses = np.stack([(weights * (members == v)).sum(axis=1) for v in range(vectors)], axis=1)
    shares = masses / np.maximum(masses.sum(axis=1, keepdims=True), 1e-12)
    return Several(np.where(shares[:, :, None] > 0, centroids, 0).astype(np.float32), shares.astype(np.float32))


def _far_apart(points: Floats, weights: Floats, vectors: int) -> Floats:
    """The heaviest song, then whichever song is farthest from those chosen; zeros once all are there."""
    rows = np.arange(len(points))
    is_song = weights > 0
    chosen = np.where(is_song, weights, -1).argmax(axis=1)
    centroids = np.zeros((len(points), vectors, points.shape[2]), dtype=np.float32)
    nearest = np.full(weights.shape, -np.inf, dtype=np.float32)
    for v in range(vectors):
        has_one = is_song[rows, chosen] & (nearest[rows, chosen] < 1 - 1e-5)
        centroids[has_one, v] = points[rows, chosen][has_one]
        nearest = np.maximum(nearest, np.einsum("lkd,ld->lk", points, centroids[:, v]))
        chosen = np.where(is_song, nearest, np.inf).argmin(axis=1)
    return units(centroids)


def _is_there(centroids: Floats) -> npt.NDArray[np.bool_]:
    there: npt.NDArray[np.bool_] = np.einsum("lvd,lvd->lv", centroids, centroids) > 0.5
    there[:, 0] |= ~there.any(axis=1)  # a listener without songs
    return there
