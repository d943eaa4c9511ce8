"""The model of this package as a method: trained on the warm songs of a trial, compared by what is served."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from bcl_model.evaluation.answers import Answers, Fits, Method, Scores, through_crowds
from bcl_model.evaluation.trial import Ints, Trial, heard
from bcl_model.inference import SongEncoder
from bcl_model.settings import Through, TrainSettings

SPACE: Mapping[str, Sequence[Any]] = {
    "ranking.temperature": (0.05, 0.1, 0.2),
    "contrast.weight": (0.03, 0.1, 0.3),
    "run.learning_rate": (3e-4, 1e-3, 3e-3),
}


def trained(settings: TrainSettings) -> Method:
    def answers(trial: Trial) -> Answers:
        from bcl_model.train import train  # the other methods need no torch

        held_out = np.ones(len(trial.contents), dtype=bool)
        held_out[trial.warm] = False
        validation = np.zeros(len(trial.contents), dtype=bool)
        validation[trial.validation] = True
        own = replace(settings, run=replace(settings.run, seed=trial.seed))
        artifact = train(trial.contents, trial.known, own, trial.fields, held_out=held_out, validation=validation)
        vectors = SongEncoder(artifact).embed(trial.contents)
        similarities = vectors[trial.cold] @ vectors[trial.warm].T
        return Answers(similarities, _fits(trial, vectors, similarities, own), artifact)

    return answers


def _fits(trial: Trial, vectors: Scores, similarities: Scores, settings: TrainSettings) -> Fits | None:
    if settings.reach.fitted:
        return _by_evidence(trial, vectors, similarities, settings)
    return through_crowds(trial, vectors, similarities) if settings.reach.through is Through.CROWD else None


def _by_evidence(trial: Trial, vectors: Scores, similarities: Scores, settings: TrainSettings) -> Fits:
    """Evidence is weighed on the validation songs as if they were cold, with the plays of the other warm songs."""
    from bcl_model.ranker import fitted
    from bcl_model.reach import evidence

    reach, songs = settings.reach, trial.validation
    others = np.setdiff1d(trial.warm, songs)
    before = heard(trial.known.of_songs(_mask(trial, others)), others, trial.listeners)
    near = vectors[songs] @ vectors[others].T if reach.similarity else None
    ranker = fitted(
        evidence(trial.contents, before, others, songs, near, reach),
        heard(trial.known.of_songs(_mask(trial, songs)), songs, trial.listeners),
        reach,
        settings.run.seed,
    )
    now = evidence(
        trial.contents, trial.heard, trial.warm, trial.cold, similarities if reach.similarity else None, reach
    )

    def fits(listeners: Ints) -> Scores:
        return ranker.scores(now, listeners)

    return fits


def _mask(trial: Trial, songs: Ints) -> np.ndarray[Any, np.dtype[np.bool_]]:
    mask = np.zeros(len(trial.contents), dtype=bool)
    mask[songs] = True
    return mask
