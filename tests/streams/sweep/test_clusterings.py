"""Other ways to find crowds, held to SciPy's where it has them and to slow loops where it has not."""

import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from streams.sweep.clusterings import CLUSTERINGS, hierarchical, medoids, ward


def unit_points(count: int, seed: int = 0) -> np.ndarray:
    points = np.random.default_rng(seed).normal(size=(count, 5))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def distances(points: np.ndarray) -> np.ndarray:
    apart = np.maximum(1 - points @ points.T, 0)
    np.fill_diagonal(apart, 0)
    return apart


def are_the_same_groups(one: np.ndarray, other: np.ndarray) -> bool:
    return bool(((one[:, None] == one) == (other[:, None] == other)).all())


@pytest.mark.parametrize("crowds", [1, 2, 4, 7, 30])
def test_merging_equal_points_from_the_bottom_up_is_scipys(crowds: int):
    points, equal = unit_points(30), np.ones(30)
    average, _ = hierarchical(points, equal, crowds, 0)
    of_ward, _ = ward(points, equal, crowds, 0)
    near = linkage(squareform(distances(points), checks=False), "average")
    assert are_the_same_groups(average, fcluster(near, crowds, "maxclust"))
    assert are_the_same_groups(of_ward, fcluster(linkage(points, "ward"), crowds, "maxclust"))


def test_a_heavy_point_counts_as_often_as_it_weighs():
    points, times = unit_points(12), np.array([1, 2, 3, 1, 1, 2] * 2)
    members, _ = hierarchical(points, times.astype(float), 3, 0)
    repeated = np.repeat(np.arange(12), times)
    near = linkage(squareform(distances(points)[np.ix_(repeated, repeated)], checks=False), "average")
    assert are_the_same_groups(members[repeated], fcluster(near, 3, "maxclust"))


def cost(points: np.ndarray, weights: np.ndarray, chosen) -> float:
    return float((weights * distances(points)[:, list(chosen)].min(axis=1)).sum())


@pytest.mark.parametrize("crowds", [1, 2, 3, 5])
def test_no_swap_of_one_medoid_brings_the_points_nearer(crowds: int):
    points, weights = unit_points(20), np.random.default_rng(1).uniform(0.1, 3, 20)
    members, centres = medoids(points, weights, crowds, 0)
    chosen = [int(np.flatnonzero((points == centre).all(axis=1))[0]) for centre in centres]
    swaps = [{*chosen} - {leaves} | {enters} for leaves in chosen for enters in range(20)]
    assert cost(points, weights, chosen) <= min(cost(points, weights, swap) for swap in swaps) + 1e-9
    np.testing.assert_array_equal(members, (points @ centres.T).argmax(axis=1))


@pytest.mark.parametrize("name", CLUSTERINGS)
def test_every_clustering_finds_crowds_that_lie_apart_and_centres_of_unit_length(name: str):
    rng = np.random.default_rng(3)
    true = np.repeat(np.arange(3), 10)
    points = np.eye(8)[true] + 0.05 * rng.normal(size=(30, 8))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    members, centres = CLUSTERINGS[name](points, rng.uniform(0.5, 2, 30), 3, 7)
    assert are_the_same_groups(members, true)
    np.testing.assert_allclose(np.linalg.norm(centres, axis=1), 1)
    np.testing.assert_array_equal((points @ centres.T).argmax(axis=1), members)
