"""Our model as a method: its evidence finds listeners, and neither field nor weight knows a cold song's plays."""

from dataclasses import replace

import numpy as np

from bcl_model.evaluation.answers import Answers
from bcl_model.evaluation.measures import judged
from bcl_model.evaluation.trial import split_of
from bcl_model.fields import inferred
from bcl_model.rivals.bcl import trained
from bcl_model.rivals.simple import at_random, popularity
from bcl_model.settings import AudienceSettings, ReachSettings
from tests.builders.songs import quick, world

CONTENTS, PLAYS = world(songs=800, plays=20)
SPLIT = split_of(CONTENTS, PLAYS, inferred(CONTENTS), share=0.2)
FITTED = replace(
    quick(steps=40),
    audience=AudienceSettings(("genre",), width=8),
    reach=ReachSettings(fitted=True, fields=("genre",), hidden=8, neighbours=20, steps=300),
)


def precision(answers: Answers) -> float:
    return judged(SPLIT, answers, 40).means()["song_to_listeners_precision_at_40"]


def test_evidence_finds_the_listeners_of_cold_songs() -> None:
    answers = trained(FITTED)(SPLIT.trial)

    assert precision(answers) > 2 * max(precision(at_random(SPLIT.trial)), precision(popularity(SPLIT.trial)))
    assert answers.artifact is not None and answers.artifact.audiences.tables.keys() == {"genre"}


def test_the_model_may_be_left_out_of_the_evidence() -> None:
    with_model, without = (
        trained(replace(FITTED, reach=replace(FITTED.reach, similarity=similarity)))(SPLIT.trial)
        for similarity in (True, False)
    )

    listeners = np.arange(50)
    assert with_model.fits is not None and without.fits is not None
    np.testing.assert_array_equal(with_model.similarities, without.similarities)
    assert (with_model.fits(listeners) != without.fits(listeners)).any()
