"""What a rule may look at: crowds of songs as live, and listeners as one vector or several."""

import numpy as np

from streams.sweep.past import Rings, units
from streams.sweep.several import several_vectors
from streams.sweep.trial import Trial


def test_crowds_of_a_song_are_unit_vectors_of_listeners_who_played_it(trial: Trial):
    row = int(trial.warm[0])
    crowds, rule = trial.crowds_of(row), trial.settings.crowds
    centroids = np.frombuffer(crowds.centroids, np.float32).reshape(-1, trial.songs.shape[1])
    np.testing.assert_allclose(np.linalg.norm(centroids, axis=1), 1, atol=1e-5)
    assert 1 <= len(centroids) <= rule.crowds_per_song
    assert crowds.listeners == min(int(trial.past.listeners_of_songs[row]), rule.listeners_per_song)


def test_one_vector_of_several_is_the_listeners_own(trial: Trial):
    np.testing.assert_allclose(trial.several(1).vectors[:, 0], trial.listeners, atol=1e-5)


def test_a_listener_of_two_tastes_has_a_vector_in_each_and_empty_places_count_for_nothing():
    songs = units(np.array([[1, 0.05], [1, -0.05], [0.05, 1], [-0.05, 1]], np.float32))
    rows = np.array([[0, 1, 2, 3, -1], [0, 1, -1, -1, -1]], np.int32)
    weights = np.array([[1, 1, 1, 3, 9], [1, 1, 9, 9, 9]], np.float32)
    found = several_vectors(Rings(rows, weights, np.zeros(2, np.int64), np.zeros((2, 5), np.int64)), songs, 2)
    nearest = found.vectors[0] @ np.eye(2, dtype=np.float32)
    np.testing.assert_allclose(np.sort(nearest.max(axis=1)), [1, 1], atol=0.01)
    np.testing.assert_allclose(np.sort(found.shares[0]), [2 / 6, 4 / 6], atol=1e-6)
    np.testing.assert_allclose(found.shares.sum(axis=1), 1, atol=1e-6)
