"""What a method answers in a trial: how near songs are, and how well listeners and cold songs fit.

A method may rank listeners and cold songs itself. Where it only says which songs are near, a listener and a cold song
fit as far as the listener heard the song's nearest warm songs, weighted by their similarity.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import sparse

from bcl_model.artifact import Artifact
from bcl_model.evaluation.trial import Ints, Trial
from bcl_model.exact import unit_rows
from bcl_model.familiarity import WEIGHT, familiarity, shares_of

Scores: TypeAlias = npt.NDArray[np.floating[Any]]
Fits: TypeAlias = Callable[[Ints], Scores]  # listeners -> (listeners, cold); asked for some at a time

NEIGHBOURS = 50  # warm songs through which a cold song reaches listeners


@dataclass(frozen=True)
class Answers:
    similarities: Scores  # (cold, warm)
    fits: Fits | None = None  # None: through the nearest warm songs
    artifact: Artifact | None = None  # what was trained for it, to be kept


Method: TypeAlias = Callable[[Trial], Answers]


def fits_of(trial: Trial, answers: Answers) -> Fits:
    return answers.fits or through_near_songs(trial, answers.similarities)


def through_near_songs(trial: Trial, similarities: Scores, neighbours: int = NEIGHBOURS) -> Fits:
    from_warm = nearest(similarities, neighbours).T.tocsr()  # (warm, cold)

    def fits(listeners: Ints) -> Scores:
        fit: Scores = (trial.heard[listeners] @ from_warm).toarray()
        return fit

    return fits


def as_live(trial: Trial, embeddings: Scores, similarities: Scores, weight: float = WEIGHT) -> Fits:
    """The listener is the mean of the songs heard, and is compared with a crowd and with the song itself.

    The crowd is the mean of the audiences of the song's nearest warm songs; which of these were heard counts too, with
    this weight. The engine does the same, with several crowds. Rows of `embeddings` are all songs.
    """
    listeners = unit_rows(trial.heard @ embeddings[trial.warm])
    audiences = unit_rows(trial.heard.T @ listeners)
    near = nearest(similarities, NEIGHBOURS)
    compared = unit_rows(near @ audiences) + embeddings[trial.cold]
    near.data = shares_of(near.data.reshape(len(trial.cold), -1)).ravel()
    shares = near.T.tocsr()  # (warm, cold)

    def fits(some: Ints) -> Scores:
        fit: Scores = listeners[some] @ compared.T + familiarity((trial.heard[some] @ shares).toarray(), weight)
        return fit

    return fits


def nearest(similarities: Scores, count: int) -> sparse.csr_array:
    """(cold, warm) with the nearest of each row alone."""
    count = min(count, similarities.shape[1])
    columns = np.argpartition(-similarities, count - 1, axis=1)[:, :count]
    weights = np.maximum(np.take_along_axis(similarities, columns, axis=1), 0.0).astype(np.float32)
    rows = np.repeat(np.arange(len(columns)), count)
    return sparse.csr_array((weights.ravel(), (rows, columns.ravel())), shape=similarities.shape)
