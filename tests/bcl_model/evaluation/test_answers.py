"""How a song that nobody heard reaches listeners: through near songs, and as live, as slow loops say it."""

import numpy as np
import pytest

from bcl_model.evaluation.answers import NEIGHBOURS, Scores, as_live, through_near_songs
from bcl_model.evaluation.trial import split_of
from bcl_model.exact import unit_rows
from bcl_model.fields import inferred
from tests.builders.songs import world

CONTENTS, PLAYS = world(songs=300, listeners=80, plays=12)
TRIAL = split_of(CONTENTS, PLAYS, inferred(CONTENTS), share=0.05).trial
VECTORS = unit_rows(np.random.default_rng(1).normal(size=(len(CONTENTS), 8))).astype(np.float32)
SIMILARITIES = VECTORS[TRIAL.cold] @ VECTORS[TRIAL.warm].T
LISTENERS = np.arange(TRIAL.listeners)[::3]


def unit(vector: Scores) -> Scores:
    length = np.linalg.norm(vector)
    return vector / length if length else vector


def nearest(song: int) -> list[int]:
    return np.argsort(-SIMILARITIES[song])[:NEIGHBOURS].tolist()


def familiar(song: int, heard: Scores) -> float:
    """The share of the near songs that was heard, of a hundredth."""
    weights = {near: np.exp(SIMILARITIES[song, near] / 0.05) for near in nearest(song)}
    return float(sum(weight for near, weight in weights.items() if heard[near]) / sum(weights.values()) / 0.01)


def test_a_listener_fits_as_far_as_they_heard_near_songs() -> None:
    heard = TRIAL.heard.toarray()
    slow = [
        [
            sum(SIMILARITIES[song, near] * heard[listener, near] for near in nearest(song))
            for song in range(len(TRIAL.cold))
        ]
        for listener in LISTENERS
    ]
    np.testing.assert_allclose(through_near_songs(TRIAL, SIMILARITIES)(LISTENERS), slow, atol=1e-5)


@pytest.mark.parametrize("weight", [0.05, 0.0])
def test_a_listener_fits_as_far_as_they_are_near_the_song_and_its_crowd_and_know_its_neighbours(weight: float) -> None:
    heard, warm = TRIAL.heard.toarray(), VECTORS[TRIAL.warm]
    lies = [unit(sum((warm[song] for song in np.flatnonzero(row)), np.zeros(8))) for row in heard]
    audiences = [unit(sum((lies[one] for one in np.flatnonzero(column)), np.zeros(8))) for column in heard.T]
    crowds = [
        unit(sum((SIMILARITIES[song, near] * audiences[near] for near in nearest(song)), np.zeros(8)))
        for song in range(len(TRIAL.cold))
    ]
    slow = [
        [
            lies[listener] @ crowds[song]
            + lies[listener] @ VECTORS[cold]
            + weight * np.log(1 + familiar(song, heard[listener]))
            for song, cold in enumerate(TRIAL.cold)
        ]
        for listener in LISTENERS
    ]
    np.testing.assert_allclose(as_live(TRIAL, VECTORS, SIMILARITIES, weight)(LISTENERS), slow, atol=1e-5)
