"""Familiarity: what its formula says, and as much live as in evaluation."""

import numpy as np
import pytest

from bcl_model.familiarity import WEIGHT, familiarity, shares_of
from streams.config import load_settings


def test_near_songs_share_one_and_the_nearer_has_the_more():
    shares = shares_of(np.array([[0.9, 0.85, 0.4], [0.0, 0.0, 0.0]]))
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    assert shares[0, 0] / shares[0, 1] == pytest.approx(np.e)
    np.testing.assert_allclose(shares[1], 1 / 3)


def test_who_has_played_none_gets_nothing_and_every_play_adds_less():
    scores = familiarity(np.array([0.0, 0.01, 0.02, 1.0]))
    assert scores.tolist() == pytest.approx([0, 0.05 * np.log(2), 0.05 * np.log(3), 0.05 * np.log(101)])


def test_evaluation_weighs_it_as_the_engine_does_where_nothing_is_set():
    assert load_settings().scoring.familiarity == WEIGHT
