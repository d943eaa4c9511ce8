"""Our model as a method: its evidence finds listeners, and neither field nor weight knows a cold song's plays."""

from dataclasses import replace

import numpy as np
import pytest

from bcl_model.evaluation.answers import Answers
from bcl_model.evaluation.measures import judged
from bcl_model.evaluation.trial import split_of
from bcl_model.fields import inferred
from bcl_model.rivals.bcl import trained
from bcl_model.rivals.simple import at_random, popularity
from bcl_model.settings import AudienceSettings, ReachSettings, Similarity, Through
from tests.builders.songs import quick, world

CONTENTS, PLAYS = world(songs=800, listeners=600, plays=20)
SPLIT = split_of(CONTENTS, PLAYS, inferred(CONTENTS), share=0.2)
FITTED = replace(
    quick(steps=40),
    audience=AudienceSettings(("genre",), width=8),
    reach=ReachSettings(fitted=True, fields=("genre",), hidden=8, neighbours=20, steps=100),
)


def precision(answers: Answers) -> float:
    return judged(SPLIT, answers, 40).means()["song_to_listeners_precision_at_40"]


@pytest.fixture(scope="module")
def answers() -> Answers:
    return trained(FITTED)(SPLIT.trial)


def test_evidence_finds_the_listeners_of_cold_songs(answers: Answers) -> None:
    assert precision(answers) > 2 * max(precision(at_random(SPLIT.trial)), precision(popularity(SPLIT.trial)))
    assert answers.artifact is not None and answers.artifact.audiences.tables.keys() == {"genre"}


@pytest.mark.parametrize("similarity", Similarity)
def test_vectors_are_compared_as_they_are_served(similarity: Similarity) -> None:
    """By cosine, however they were trained; the crowd finds listeners too."""
    settings = replace(quick(steps=40), reach=ReachSettings(through=Through.LIVE))
    found = trained(replace(settings, ranking=replace(settings.ranking, similarity=similarity)))(SPLIT.trial)

    assert np.abs(found.similarities).max() < 1 + 1e-6
    assert found.fits is not None and precision(found) > 1.5 * precision(at_random(SPLIT.trial))


def test_the_model_may_be_left_out_of_the_evidence(answers: Answers) -> None:
    without = trained(replace(FITTED, reach=replace(FITTED.reach, similarity=False)))(SPLIT.trial)

    listeners = np.arange(50)
    assert FITTED.reach.similarity and answers.fits is not None and without.fits is not None
    np.testing.assert_array_equal(answers.similarities, without.similarities)
    assert (answers.fits(listeners) != without.fits(listeners)).any()


def test_a_model_that_is_scored_in_several_ways_is_trained_once(
    answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("bcl_model.train.train")
    live = replace(FITTED, reach=ReachSettings(through=Through.LIVE))

    found = trained(live)(SPLIT.trial)

    assert answers.artifact is not None and found.artifact is not None
    assert found.artifact.settings.reach == live.reach != answers.artifact.settings.reach
    np.testing.assert_array_equal(answers.similarities, found.similarities)
