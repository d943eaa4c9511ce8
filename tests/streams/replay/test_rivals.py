"""The simple choices against slow loops."""

import numpy as np
import pytest

from streams.replay.rivals import at_random, best, own_vector, popularity, single_mean, weighted_count

L, K, D, N = 30, 5, 8, 12


def test_the_weighted_count_is_the_sum_over_the_ring():
    rng = np.random.default_rng(1)
    rings = rng.integers(-1, N, size=(L, K))
    strengths = rng.random((L, K))
    neighbours, similarities = np.array([2, 7, 11]), np.array([0.9, 0.5, -0.2])
    slow = [
        sum(
            strength * max(dict(zip(neighbours.tolist(), similarities.tolist(), strict=True)).get(song, 0.0), 0.0)
            for song, strength in zip(ring, of, strict=True)
        )
        for ring, of in zip(rings.tolist(), strengths.tolist(), strict=True)
    ]
    np.testing.assert_allclose(weighted_count(rings, strengths, neighbours, similarities, N), slow)


def test_an_empty_ring_counts_nothing_even_if_it_holds_strengths():
    rings, strengths = np.full((1, K), -1), np.ones((1, K))
    assert weighted_count(rings, strengths, np.arange(N), np.ones(N), N).tolist() == [0]


def test_the_single_mean_is_the_cosine_to_the_mean_of_all_crowds():
    rng = np.random.default_rng(2)
    embeddings, centroids = unit(rng.normal(size=(L, D))), unit(rng.normal(size=(4, D)))
    masses = np.array([0.1, 0.2, 0.3, 0.4])
    mean = sum(mass * centroid for mass, centroid in zip(masses, centroids, strict=True))
    slow = [float(one @ mean) / float(np.linalg.norm(mean)) for one in embeddings]
    np.testing.assert_allclose(single_mean(embeddings, centroids, masses), slow)


def test_without_crowds_the_single_mean_favours_nobody():
    assert single_mean(np.eye(3), np.zeros((0, 3)), np.zeros(0)).tolist() == [0, 0, 0]


def test_the_others_are_what_they_are_called():
    assert own_vector(np.eye(3), np.array([0.0, 1, 0])).tolist() == [0, 1, 0]
    assert best(popularity(np.array([3, 9, 1])), 2).tolist() == [1, 0]
    np.testing.assert_array_equal(at_random(L, 5), at_random(L, 5))
    assert at_random(L, 5).tolist() != at_random(L, 6).tolist()


@pytest.mark.parametrize("budget", [0, 1, 7, 200, 500])
def test_the_best_are_those_of_a_full_sort_and_of_equal_ones_the_first(budget: int):
    scores = np.random.default_rng(3).integers(0, 9, size=200).astype(float)
    np.testing.assert_array_equal(best(scores, budget), np.argsort(-scores, kind="stable")[:budget])


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)
