"""Listeners and songs as vectors whose products say the plays again: a truncated SVD of the scaled plays.

    Y = X, each play divided by sqrt(plays of its listener * plays of its song) ≈ P S Qᵀ
    song = Q sqrt(its plays)      listener = (X with each play divided by sqrt(plays of its song)) Q
    listener · song ≈ X, exactly so where the rank is full

The scaling keeps a few often played songs from taking all dimensions. Songs are warm ones, in the trial's order.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from bcl_model.errors import BadModelSettings
from bcl_model.evaluation.trial import Trial

Floats = npt.NDArray[np.float32]

BESIDE, ROUNDS = 10, 4  # of the randomised range finder (Halko, Martinsson, Tropp 2011)


@dataclass(frozen=True)
class Factors:
    listeners: Floats  # (listeners, dimension)
    songs: Floats  # (warm, dimension)


def factors(trial: Trial, dimension: int) -> Factors:
    if dimension < 1:
        raise BadModelSettings(f"dimension is {dimension!r}, wanted 1 or more")
    of_listener = np.maximum(np.diff(trial.heard.indptr), 1) ** 0.5
    of_song = np.maximum(np.bincount(trial.heard.indices, minlength=len(trial.warm)), 1) ** 0.5
    by_songs = (trial.heard @ _diagonal(1 / of_song)).tocsr()
    axes = _right_axes((_diagonal(1 / of_listener) @ by_songs).tocsr(), dimension, trial.seed)
    return Factors(by_songs @ axes, (axes * of_song[:, None]).astype(np.float32))


def _right_axes(matrix: sparse.csr_array, dimension: int, seed: int) -> Floats:
    """The first right singular vectors, (columns, dimension)."""
    wide = min(dimension + BESIDE, *matrix.shape)
    turned = matrix.T.tocsr()
    found = np.random.default_rng([seed, 0xFAC7]).normal(size=(matrix.shape[1], wide)).astype(np.float32)
    for _ in range(ROUNDS):
        found, _upper = np.linalg.qr(turned @ (matrix @ found))
    _, _, inner = np.linalg.svd(matrix @ found, full_matrices=False)
    axes: Floats = (found @ inner.T)[:, :dimension]
    return axes


def _diagonal(values: npt.NDArray[np.float64]) -> sparse.dia_array:
    return sparse.diags_array(values.astype(np.float32))
