"""What a sweep compares, on a tiny world: the live rules, a truth that follows from the fans, fair candidates."""

import numpy as np
import pytest

from bcl_model.pairs import Interactions
from bcl_model.settings import EncoderSettings, RunSettings, TrainSettings
from streams.config import load_settings
from streams.sweep import rules
from streams.sweep.choosing import Rule, verdicts
from streams.sweep.cold import recalls, true_neighbours
from streams.sweep.past import Past, Rings, units
from streams.sweep.several import several_vectors
from streams.sweep.trial import Trial
from streams.sweep.variants import BPR, candidates, methods
from streams.world.world import World, WorldSettings

SETTINGS = load_settings((), {})
QUICK = TrainSettings(
    encoder=EncoderSettings(layers=(64, 32)),
    run=RunSettings(steps=100, pairs_per_step=256, learning_rate=3e-3, validate_every=50),
)


@pytest.fixture(scope="module")
def trial() -> Trial:
    world = World(WorldSettings(listeners=1_500, songs=500, new_songs=16, tastes=12))
    return Trial.trained(Past(world, 50_000, SETTINGS.listening), SETTINGS, QUICK)


def test_every_rule_chooses_its_budget_and_those_that_look_at_the_song_beat_chance(trial: Trial):
    every = rules.every_rule(SETTINGS)
    found = verdicts(trial, 8, every, [100])
    precision = {rule.name: float(np.mean([one.precision for one in found[rule.name, 100]])) for rule in every}
    for name in ("cat", "share", "mass", "blend", "song", "single_mean", "weighted_count", "density_ratio"):
        assert precision[name] > 2 * precision["random"], precision


def test_one_vector_of_several_is_the_listeners_own(trial: Trial):
    one = trial.several(1)
    np.testing.assert_allclose(one.vectors[:, 0], trial.listeners, atol=1e-5)


def test_a_listener_of_two_tastes_has_a_vector_in_each_and_empty_places_count_for_nothing():
    songs = units(np.array([[1, 0.05], [1, -0.05], [0.05, 1], [-0.05, 1]], np.float32))
    rows = np.array([[0, 1, 2, 3, -1], [0, 1, -1, -1, -1]], np.int32)
    weights = np.array([[1, 1, 1, 3, 9], [1, 1, 9, 9, 9]], np.float32)
    found = several_vectors(Rings(rows, weights, np.zeros(2, np.int64), np.zeros((2, 5), np.int64)), songs, 2)
    nearest = found.vectors[0] @ np.eye(2, dtype=np.float32)
    np.testing.assert_allclose(np.sort(nearest.max(axis=1)), [1, 1], atol=0.01)
    np.testing.assert_allclose(np.sort(found.shares[0]), [2 / 6, 4 / 6], atol=1e-6)
    np.testing.assert_allclose(found.shares.sum(axis=1), 1, atol=1e-6)


def test_an_unknown_rule_is_refused_by_name():
    with pytest.raises(ValueError, match="no rule 'nearest'"):
        Rule("a", "nearest")


def test_true_neighbours_are_the_songs_that_the_fans_play():
    plays = Interactions(np.array([0, 1, 2, 3, 4, 5, 3, 4, 5, 0]), np.array([0, 0, 0, 1, 1, 1, 2, 2, 2, 2]))
    fans = [np.array([True, True, True, False, False, False]), np.array([False, False, False, True, True, True])]
    found = true_neighbours(plays, fans, 3)
    assert [(int(a), int(b)) for a, b in zip(found.songs, found.similar, strict=True)] == [(0, 0), (1, 1), (1, 2)]
    measured = recalls(found, np.array([0, 9, 9]), np.array([[0, 1], [1, 0]]))
    assert measured == {"recall": 0.75, "recall_in_decile_1": 1.0, "recall_in_decile_10": 0.5}


def test_every_method_is_offered_the_same_common_settings_and_as_many_trials():
    offered = {name: candidates(model, 5, seed=3) for name, model in methods(TrainSettings()).items()}
    common = {name: [(one.run.learning_rate, one.ranking.temperature) for one in of] for name, of in offered.items()}
    assert all(each == common[BPR] and len(each) == 5 for each in common.values())
    assert {one.contrast.weight for one in offered[BPR]} == {0.0}
