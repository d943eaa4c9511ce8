"""The model of this package as a method: trained on the warm songs of a trial, compared as it was trained to be."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from bcl_model.evaluation.answers import Answers, Method
from bcl_model.evaluation.trial import Trial
from bcl_model.inference import SongEncoder
from bcl_model.settings import Similarity, TrainSettings

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
        encoder = SongEncoder(
            train(trial.contents, trial.known, own, trial.fields, held_out=held_out, validation=validation)
        )
        if settings.ranking.similarity is Similarity.DOT:
            vectors = encoder.represent(trial.contents)
        else:
            vectors = encoder.embed(trial.contents).astype(np.float64)
        return Answers(vectors[trial.cold] @ vectors[trial.warm].T)

    return answers
