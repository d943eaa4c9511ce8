"""The model of this package as a method: trained on the warm songs of a trial, compared by what is served."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from bcl_model.artifact import Artifact
from bcl_model.evaluation.answers import Answers, Fits, Method, Scores, as_live
from bcl_model.evaluation.trial import Bools, Ints, Trial, heard
from bcl_model.fields import Content, Fields
from bcl_model.inference import SongEncoder
from bcl_model.pairs import Interactions
from bcl_model.remembered import remembered
from bcl_model.settings import ReachSettings, Through, TrainSettings

SPACE: Mapping[str, Sequence[Any]] = {
    "ranking.temperature": (0.05, 0.1, 0.2),
    "contrast.weight": (0.03, 0.1, 0.3),
    "contrast.temperature": (0.05, 0.1, 0.2, 0.4),
    "run.learning_rate": (3e-4, 1e-3, 3e-3),
    "run.weight_decay": (1e-6, 1e-5, 1e-4, 1e-3),
}


def trained(settings: TrainSettings) -> Method:
    def answers(trial: Trial) -> Answers:
        own = replace(settings, run=replace(settings.run, seed=trial.seed))
        model = _model(
            trial.contents,
            trial.known,
            replace(own, reach=ReachSettings()),  # what is trained does not follow from how listeners are scored
            trial.fields,
            ~trial.mask(trial.warm),
            trial.mask(trial.validation),
        )
        artifact = Artifact.of(model.weights, own, model.fields, model.metrics, model.audiences)
        vectors = SongEncoder(artifact).embed(trial.contents)
        similarities = vectors[trial.cold] @ vectors[trial.warm].T
        return Answers(similarities, _fits(trial, vectors, similarities, own), artifact)

    return answers


@remembered(4)  # one for each of BPR, RFM, CFM and BCL, which are scored in several ways
def _model(
    contents: Sequence[Content],
    plays: Interactions,
    settings: TrainSettings,
    fields: Fields,
    held_out: Bools,
    validation: Bools,
) -> Artifact:
    from bcl_model.train import train  # the other methods need no torch

    return train(contents, plays, settings, fields, held_out=held_out, validation=validation)


def _fits(trial: Trial, vectors: Scores, similarities: Scores, settings: TrainSettings) -> Fits | None:
    if settings.reach.fitted:
        return _by_evidence(trial, vectors, similarities, settings)
    if settings.reach.through is Through.NEAR_SONGS:
        return None
    return as_live(trial, vectors, similarities, settings.reach.familiarity)


def _by_evidence(trial: Trial, vectors: Scores, similarities: Scores, settings: TrainSettings) -> Fits:
    """Evidence is weighed on the validation songs as if they were cold, with the plays of the other warm songs."""
    from bcl_model.ranker import fitted
    from bcl_model.reach import evidence

    reach, songs = settings.reach, trial.validation
    others = np.setdiff1d(trial.warm, songs)
    before = heard(trial.known.of_songs(trial.mask(others)), others, trial.listeners)
    near = vectors[songs] @ vectors[others].T if reach.similarity else None
    ranker = fitted(
        evidence(trial.contents, before, others, songs, near, reach),
        heard(trial.known.of_songs(trial.mask(songs)), songs, trial.listeners),
        reach,
        settings.run.seed,
    )
    now = evidence(
        trial.contents, trial.heard, trial.warm, trial.cold, similarities if reach.similarity else None, reach
    )

    def fits(listeners: Ints) -> Scores:
        return ranker.scores(now, listeners)

    return fits
