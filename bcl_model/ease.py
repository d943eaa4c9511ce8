"""EASE between the words of a field, artists above all: what a listener heard of each says how much each one suits.

    A = listeners x words, plays of songs that say the word      P = ( log(1 + A)ᵀ log(1 + A) + ridge I )^-1
    B = -P / diag P by column, zeros on the diagonal

B is EASE of Steck (2019) on counts of words in place of plays of songs.
"""

import numpy as np
import numpy.typing as npt
from scipy import linalg, sparse

from bcl_model.errors import BadModelSettings
from bcl_model.remembered import remembered

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


@remembered(4)
def others_say(counts: sparse.csr_array, of_warm: sparse.csr_array, of_songs: sparse.csr_array, ridge: float) -> Floats:
    """(words, songs): what log counts of all words say of the words of each song, a word's own count left out."""
    shared = shares(of_warm, of_songs)
    known = np.flatnonzero(counts.sum(axis=0))  # a word that nobody heard predicts nothing, and nothing predicts it
    wanted = np.intersect1d(known, shared.nonzero()[0])
    weights = ease(log_counts(counts[:, known]), ridge, np.searchsorted(known, wanted))
    found = np.zeros(shared.shape, np.float32)
    found[known] = (shared[wanted].T @ weights.T).T  # B @ shared
    return found


def shares(of_warm: sparse.csr_array, of_songs: sparse.csr_array) -> sparse.csr_array:
    """(words, songs): of a word that a song says, the part of one warm song among those that say it too."""
    part = 1.0 / np.maximum(np.asarray(of_warm.sum(axis=0)).ravel(), 1.0)
    return (sparse.diags_array(part.astype(np.float32)) @ of_songs.T).tocsr()


def ease(counts: sparse.csr_array, ridge: float, wanted: Ints) -> Floats:
    """The weights that predict each column `wanted` from the others with the least squares, (columns, wanted).

    With Lower Lowerᵀ = countsᵀ counts + ridge I and the columns wanted in the last places, Lower⁻¹ is zero above these:
    P costs there one small and one tall triangular solution, and its other columns are never computed.
    """
    order = np.concatenate([np.setdiff1d(np.arange(counts.shape[1]), wanted), wanted])
    counts = counts[:, order]
    gram = (counts.T @ counts).toarray().astype(np.float32)
    gram[np.diag_indices_from(gram)] += ridge
    lower, failed = linalg.lapack.spotrf(gram.T, lower=1, overwrite_a=1)  # by columns, so that nothing is copied
    if failed:
        raise BadModelSettings(f"ridge is {ridge!r}, too small for these plays: take a larger one")
    place = np.arange(len(order) - len(wanted), len(order))
    unit = np.zeros((len(order), len(wanted)), np.float32, order="F")
    unit[place] = np.eye(len(wanted), dtype=np.float32)
    unit[place] = linalg.blas.strsm(1.0, lower[np.ix_(place, place)], unit[place], lower=1)
    inverse = linalg.blas.strsm(1.0, lower, unit, lower=1, trans_a=1, overwrite_b=1)
    column = np.arange(len(wanted))
    weights: Floats = np.empty_like(inverse)
    weights[order] = -inverse / inverse[place, column]
    weights[wanted, column] = 0.0
    return weights


def log_counts(counts: sparse.csr_array) -> sparse.csr_array:
    logs = counts.copy()
    logs.data = np.log1p(logs.data)
    return logs
