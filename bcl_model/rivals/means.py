"""The artist's mean, and the album's: a cold song stands where the warm songs that share its words do.

    song(c) = mean over fields that c shares with warm songs of [ mean of the vectors of those songs ]
    fit(u, c) = listener(u) · song(c)      similarity(c, w) = cosine of song(c) and song(w)

The vectors are collaborative ones. A song that shares nothing stands where the mean of all warm songs is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bcl_model.errors import BadModelSettings
from bcl_model.evaluation.answers import Answers, Method, Scores
from bcl_model.evaluation.trial import Ints, Trial
from bcl_model.rivals.factors import Floats, factors
from bcl_model.rivals.words import words_of


@dataclass(frozen=True)
class MeansSettings:
    fields: tuple[str, ...] = ("artist",)
    dimension: int = 128  # of the collaborative vectors

    def __post_init__(self) -> None:
        if not self.fields:
            raise BadModelSettings("fields is empty, wanted the names of fields of words")


def means(settings: MeansSettings) -> Method:
    def answers(trial: Trial) -> Answers:
        known = factors(trial, settings.dimension)
        cold = cold_vectors(trial, known.songs, settings.fields)

        def fits(listeners: Ints) -> Scores:
            return known.listeners[listeners] @ cold.T

        return Answers(_unit(cold) @ _unit(known.songs).T, fits)

    return answers


def cold_vectors(trial: Trial, warm: Floats, fields: Sequence[str]) -> Floats:
    """(cold, dimension)"""
    total = np.zeros((len(trial.cold), warm.shape[1]), np.float32)
    shared = np.zeros((len(trial.cold), 1), np.float32)
    for field in fields:
        words = words_of(trial.contents, field)
        common = (words[trial.cold] @ words[trial.warm].T).tocsr()  # (cold, warm): words that both say
        count = np.asarray(common.sum(axis=1))[:, None]
        total += (common @ warm) / np.maximum(count, 1)
        shared += count > 0
    return np.where(shared > 0, total / np.maximum(shared, 1), warm.mean(axis=0))


def _unit(rows: Floats) -> Floats:
    unit: Floats = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return unit
