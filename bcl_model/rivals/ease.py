"""EASE between the words of a field, artists above all: what a listener heard of each says how much each one suits.

    A = listeners x words, plays of songs that say the word      P = ( log(1 + A)ᵀ log(1 + A) + ridge I )^-1
    B = -P / diag P by column, zeros on the diagonal
    fit(u, c) = sum over words a of c of [ ( log(1 + A_u) B )_a + own * A_ua ] / warm songs that say a

B is EASE of Steck (2019) on counts of words in place of plays of songs; a word is never predicted from itself, so the
listener's own count of it stands beside. Several fields are added up.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import linalg, sparse

from bcl_model.errors import BadModelSettings
from bcl_model.evaluation.answers import Answers, Method, Scores
from bcl_model.evaluation.trial import Ints, Trial
from bcl_model.rivals.words import words_of

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class EaseSettings:
    fields: tuple[str, ...] = ("artist",)
    ridge: float = 300.0
    own: float = 2.0  # weight of the listener's own count of a word

    def __post_init__(self) -> None:
        if not self.fields:
            raise BadModelSettings("fields is empty, wanted the names of fields of words")
        if self.ridge <= 0:
            raise BadModelSettings(f"ridge is {self.ridge!r}, wanted a number above 0")


@dataclass(frozen=True)
class _Level:
    """One field of a trial."""

    counts: sparse.csr_array  # (listeners, words)
    to_songs: Floats  # (words, cold): from log counts
    own_to_songs: sparse.csr_array  # (words, cold): from counts
    of_warm: sparse.csr_array  # (warm, words)


def by_words(settings: EaseSettings) -> Method:
    def answers(trial: Trial) -> Answers:
        levels = [_level(trial, field, settings) for field in settings.fields]

        def fits(listeners: Ints) -> Scores:
            return _sum([_fit(level, level.counts[listeners]) for level in levels])

        return Answers(_sum([_fit(level, level.of_warm) for level in levels]).T, fits)

    return answers


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


def _level(trial: Trial, field: str, settings: EaseSettings) -> _Level:
    words = words_of(trial.contents, field)
    of_warm, of_cold = words[trial.warm], words[trial.cold]
    counts = (trial.heard @ of_warm).tocsr()
    share = 1.0 / np.maximum(np.asarray(of_warm.sum(axis=0)).ravel(), 1.0)  # of one warm song among those of a word
    shared = (sparse.diags_array(share.astype(np.float32)) @ of_cold.T).tocsr()  # (words, cold)
    known = np.flatnonzero(counts.sum(axis=0))  # a word that nobody heard predicts nothing, and nothing predicts it
    wanted = np.intersect1d(known, shared.nonzero()[0])
    weights = ease(log_counts(counts[:, known]), settings.ridge, np.searchsorted(known, wanted))
    to_songs = np.zeros(shared.shape, np.float32)
    to_songs[known] = (shared[wanted].T @ weights.T).T  # B @ shared
    return _Level(counts, np.ascontiguousarray(to_songs), (settings.own * shared).tocsr(), of_warm)


def _fit(level: _Level, counts: sparse.csr_array) -> Floats:
    """(rows of counts, cold)."""
    fit: Floats = log_counts(counts) @ level.to_songs + (counts @ level.own_to_songs).toarray()
    return fit


def _sum(parts: Sequence[Any]) -> Scores:
    total: Scores = np.sum(parts, axis=0)
    return total
