import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.audience import cat
from streams.contracts.crowds import SongCrowds
from streams.errors import ArtifactMismatch

DAY_MS = 86_400_000


def unit(vectors) -> np.ndarray:
    vectors = np.asarray(vectors, np.float64)
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def song(name: str, centroids, masses=None, *, artifact: str = "m1", at_ms: int = DAY_MS) -> SongCrowds:
    centroids = unit(centroids)
    masses = np.ones(len(centroids)) if masses is None else masses
    return SongCrowds(
        song_id=name, artifact=artifact, samples=99, listeners=30, centroids=centroids.tobytes(),
        masses=np.asarray(masses, np.float32).tobytes(), at_ms=at_ms,
    )  # fmt: skip


def merged(neighbours, *, crowds: int = 3, max_share: float = 1.0, seed: int = 7, at_ms: int = DAY_MS, **others):
    return cat.merge_crowds(neighbours, crowds=crowds, max_share=max_share, seed=seed, at_ms=at_ms, **others)


def catalogue(songs: int = 12, dimension: int = 8, seed: int = 3) -> list[tuple[SongCrowds, float]]:
    random = np.random.default_rng(seed)
    return [
        (song(f"s{n}", random.normal(size=(1 + n % 5, dimension)), random.uniform(1, 99, 1 + n % 5)), float(sim))
        for n, sim in enumerate(random.uniform(0.2, 0.9, songs))
    ]


# Merging


def test_separate_crowds_of_the_neighbours_are_found_again_with_their_masses() -> None:
    random = np.random.default_rng(1)
    true = np.eye(8)[:3]
    songs = [(song(f"s{n}", true + 0.05 * random.normal(size=(3, 8)), [6, 3, 1]), 0.5) for n in range(10)]
    crowds = merged(songs, crowds=3)
    np.testing.assert_allclose(crowds.centroids @ true.T, np.eye(3), atol=0.06)
    np.testing.assert_allclose(crowds.masses, [0.6, 0.3, 0.1], atol=1e-6)


def test_centroids_are_unit_and_masses_sum_to_one_in_float32() -> None:
    crowds = merged(catalogue(), crowds=5)
    assert (crowds.centroids.shape, crowds.centroids.dtype, crowds.masses.dtype) == ((5, 8), np.float32, np.float32)
    np.testing.assert_allclose(np.linalg.norm(crowds.centroids, axis=1), 1, atol=1e-6)
    assert crowds.masses.sum() == pytest.approx(1, abs=1e-6)
    assert (np.diff(crowds.masses) <= 0).all()


def test_the_order_of_the_neighbours_changes_no_bit_and_the_seed_repeats() -> None:
    songs = catalogue()
    first = merged(songs, crowds=4, max_share=0.2)
    for seed in range(5):
        shuffled = [songs[n] for n in np.random.default_rng(seed).permutation(len(songs))]
        again = merged(shuffled, crowds=4, max_share=0.2)
        assert (first.centroids.tobytes(), first.masses.tobytes()) == (
            again.centroids.tobytes(),
            again.masses.tobytes(),
        )


def test_a_centroid_is_the_mean_of_its_points_by_similarity_and_mass() -> None:
    crowds = merged([(song("a", [[1, 0]], [2]), 0.5), (song("b", [[0, 1]], [6]), 0.25)], crowds=1)
    np.testing.assert_allclose(crowds.centroids, unit([[1, 1.5]]), atol=1e-6)


def test_a_fixed_point_each_point_is_with_its_nearest_centroid_which_is_their_mean() -> None:
    random = np.random.default_rng(5)
    points, weights = unit(random.normal(size=(60, 6))).astype(np.float64), random.uniform(0.1, 9, 60)
    members, centroids = cat.spherical_k_means(points, weights, 4, seed=1)
    for point, member in zip(points, members, strict=True):
        assert member == max(range(4), key=lambda c: float(point @ centroids[c]))
    for c in range(4):
        mean = sum(weight * point for point, weight, m in zip(points, weights, members, strict=True) if m == c)
        np.testing.assert_allclose(centroids[c], mean / np.linalg.norm(mean), atol=1e-9)


def test_few_points_are_grouped_as_well_as_the_best_of_all_groupings() -> None:
    """The tightness of a grouping is the length of its crowds' sums: tried for every grouping of 7 points in 3."""
    for seed in range(5):
        random = np.random.default_rng(seed)
        points, weights = unit(random.normal(size=(7, 3))).astype(np.float64), random.uniform(0.5, 2, 7)

        def tightness(members, points=points, weights=weights) -> float:
            chosen = np.eye(3)[list(members)] * weights[:, None]
            return float(np.linalg.norm(chosen.T @ points, axis=1).sum())

        best = max(tightness(members) for members in itertools.product(range(3), repeat=7))
        members, _ = cat.spherical_k_means(points, weights, 3, seed=0)
        assert tightness(members) > 0.97 * best


def test_fewer_points_give_fewer_crowds_and_the_same_point_counts_once() -> None:
    crowds = merged([(song("a", [[1, 0]]), 1), (song("b", [[0, 1]], [2]), 1), (song("c", [[1, 0]]), 1)], crowds=5)
    assert len(crowds) == 2
    np.testing.assert_allclose(crowds.masses, [0.5, 0.5])


def test_every_crowd_has_members_even_when_most_weight_is_in_one_place() -> None:
    random = np.random.default_rng(2)
    near = unit([1, 0, 0, 0] + 1e-4 * random.normal(size=(20, 4)))
    songs = [(song("hit", near, np.full(20, 1e6)), 0.9), (song("rare", [[0, 1, 0, 0]], [1]), 0.9)]
    for seed in range(10):
        crowds = merged(songs, crowds=4, seed=seed)
        assert len(crowds) == 4 and (crowds.masses > 0).all()


@pytest.mark.parametrize("neighbours", [[], [(song("a", np.zeros((0, 4)), []), 0.9)], [(song("a", [[1, 0]]), -0.3)],
                                        [(song("a", [[1, 0]], [0]), 0.5)]])  # fmt: skip
def test_neighbours_without_crowds_weight_or_likeness_give_no_crowds(neighbours) -> None:
    assert len(merged(neighbours)) == 0


def test_an_unlike_neighbour_adds_nothing() -> None:
    crowds = merged([(song("a", [[1, 0]]), 0.5), (song("b", [[0, 1]]), -0.5)])
    np.testing.assert_allclose(crowds.centroids, [[1, 0]])


def test_old_crowds_weigh_less_by_half_lives_and_none_weighs_more_for_lying_ahead() -> None:
    old, new = song("old", [[1, 0]], [8], at_ms=DAY_MS), song("new", [[0, 1]], [2], at_ms=31 * DAY_MS)
    ahead = merged([(old, 1), (new, 1)], at_ms=DAY_MS, half_life_days=30)
    now = merged([(old, 1), (new, 1)], at_ms=31 * DAY_MS, half_life_days=30)
    np.testing.assert_allclose(ahead.masses, [0.8, 0.2], atol=1e-6)
    np.testing.assert_allclose(now.masses, [4 / 6, 2 / 6], atol=1e-6)


def test_crowds_of_two_artifacts_are_never_merged() -> None:
    with pytest.raises(ArtifactMismatch):
        merged([(song("a", [[1, 0]]), 1), (song("b", [[0, 1]], artifact="m2"), 1)])


def test_a_hit_does_not_drown_the_other_neighbours() -> None:
    songs = [(song("hit", [[1, 0, 0]], [10_000]), 0.9)]
    songs += [(song(f"s{n}", [[0, 1, 0.01 * n]], [10]), 0.5) for n in range(6)]
    assert merged(songs, crowds=2).masses[0] > 0.99
    np.testing.assert_allclose(merged(songs, crowds=2, max_share=0.25).masses, [0.75, 0.25], atol=1e-6)


def slow_capped(weights: list[float], cap: float) -> list[float]:
    """Pour the total over the weights again and again, until nobody is above the cap."""
    capped: set[int] = set()
    while True:
        rest = sum(weight for n, weight in enumerate(weights) if n not in capped)
        scale = (1 - cap * len(capped)) / rest if rest else 0.0
        over = {n for n, weight in enumerate(weights) if n not in capped and weight * scale > cap + 1e-12}
        if not over:
            return [cap if n in capped else weight * scale for n, weight in enumerate(weights)]
        capped |= over


@given(st.lists(st.floats(1e-3, 1e6), min_size=1, max_size=30), st.floats(0.01, 1.0))
def test_capped_shares_sum_to_one_stay_below_the_cap_and_equal_the_pouring(weights, cap) -> None:
    shares = cat.capped_shares(np.array(weights), cap)
    assert shares.sum() == pytest.approx(1)
    if len(weights) * cap > 1:
        assert shares.max() <= cap + 1e-9
        np.testing.assert_allclose(shares, slow_capped(weights, cap), rtol=1e-6, atol=1e-9)
    else:
        np.testing.assert_allclose(shares, 1 / len(weights))


def test_shares_of_nothing_are_nothing() -> None:
    assert cat.capped_shares(np.zeros(3), 0.5).tolist() == [0, 0, 0]
    assert cat.capped_shares(np.array([0.0, 5.0]), 0.9).tolist() == [0, 1]


# The number of crowds, chosen


@pytest.mark.parametrize("true", [2, 3, 4])
def test_the_silhouette_finds_how_many_crowds_there_are(true: int) -> None:
    random = np.random.default_rng(true)
    centres = np.eye(8)[:true]
    songs = [(song(f"s{n}", centres + 0.1 * random.normal(size=centres.shape)), 0.5) for n in range(12)]
    assert len(merged(songs, crowds=8, choose=True)) == true


def test_one_blob_is_one_crowd() -> None:
    random = np.random.default_rng(4)
    songs = [(song(f"s{n}", [1] + [0] * 15 + 0.4 * random.normal(size=(1, 16))), 0.5) for n in range(40)]
    assert len(merged(songs, crowds=8, choose=True)) == 1


def test_silhouette_equals_the_loop_over_points() -> None:
    random = np.random.default_rng(9)
    points, weights = unit(random.normal(size=(12, 4))).astype(np.float64), random.uniform(0.5, 2, 12)
    members = np.array([0, 1, 2] * 3 + [0, 1, 3])  # the last is alone
    total = 0.0
    for p in range(12):
        to = {}
        for crowd in range(4):
            others = [q for q in range(12) if members[q] == crowd and q != p]
            if others:
                to[crowd] = sum(weights[q] * (1 - points[p] @ points[q]) for q in others) / weights[others].sum()
        if members[p] in to:
            own, other = to[members[p]], min(value for crowd, value in to.items() if crowd != members[p])
            total += weights[p] * (other - own) / max(own, other)
    assert cat.silhouette(points, weights, members) == pytest.approx(total / weights.sum())


# Scoring

SLOW = {
    "max": lambda cosines, masses, sharpness: max(cosines),
    "quota": lambda cosines, masses, sharpness: max(cosines),
    "share": lambda cosines, masses, sharpness: max(m * c for m, c in zip(masses, cosines, strict=True)),
    "mean": lambda cosines, masses, sharpness: sum(m * c for m, c in zip(masses, cosines, strict=True)),
    "mass": lambda cosines, masses, sharpness: np.log(
        sum(m * np.exp(sharpness * c) for m, c in zip(masses, cosines, strict=True))
    ),
    "blend": lambda cosines, masses, sharpness: (
        np.log(sum(m * np.exp(sharpness * c) for m, c in zip(masses[:-1], cosines[:-1], strict=True))) / sharpness
        + cosines[-1]
    ),
    "song": lambda cosines, masses, sharpness: max(cosines),
}


def block(rows: int = 65, crowds: int = 5, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    masses = random.uniform(0.1, 1, crowds).astype(np.float32)
    return random.uniform(-1, 1, (rows, crowds)).astype(np.float32), masses / masses.sum()


@pytest.mark.parametrize("rule", sorted(cat.RULES))
def test_scores_equal_the_loop_over_crowds(rule: str) -> None:
    cosines, masses = block()
    slow = [SLOW[rule](row.astype(float), masses.astype(float), 10.0) for row in cosines]
    scores = cat.RULES[rule](cosines, masses, 10.0)
    assert (scores.dtype, scores.shape) == (np.float32, (65,))
    np.testing.assert_allclose(scores, slow, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("rule", sorted(cat.RULES))
@pytest.mark.parametrize("crowds", [1, 2, 5, 8, 17])
def test_no_other_row_of_the_block_changes_a_bit_of_a_score(rule: str, crowds: int) -> None:
    cosines, masses = block(rows=131, crowds=crowds)
    score = cat.RULES[rule]
    whole = score(cosines, masses, 10.0)
    for rows in (slice(0, 1), slice(7, 8), slice(3, 20), slice(5, 70), slice(64, 131), slice(130, 131)):
        assert score(cosines[rows], masses, 10.0).tobytes() == whole[rows].tobytes()
    assert score(np.asfortranarray(cosines), masses, 10.0).tobytes() == whole.tobytes()
    assert score(cosines[::-1], masses, 10.0).tobytes() == whole[::-1].tobytes()


@pytest.mark.parametrize("rule", sorted(cat.RULES))
def test_a_rule_leaves_its_arguments_alone_and_takes_an_empty_block(rule: str) -> None:
    cosines, masses = block(rows=3)
    before = cosines.copy()
    cat.RULES[rule](cosines, masses, 10.0)
    assert (cosines == before).all()
    assert cat.RULES[rule](cosines[:0], masses, 10.0).shape == (0,)


def test_the_mass_rule_is_stable_where_the_plain_sum_overflows_or_vanishes() -> None:
    cosines = np.array([[1, -1], [-1, -1], [1, 0.5]], np.float32)
    scores = cat.mass_score(cosines, np.array([0.0, 1.0], np.float32), 500.0)
    np.testing.assert_allclose(scores, [-500, -500, 250])


def test_the_song_rule_compares_with_the_song_and_so_does_a_release_without_crowds() -> None:
    centroids, masses, embedding = unit(np.eye(4)[:2]), np.array([0.5, 0.5], np.float32), unit([0, 0, 0, 1])
    none = np.zeros((0, 4), np.float32), np.zeros(0, np.float32)
    assert cat.compared_with("max", centroids, masses, embedding) == (centroids, masses)
    for points, mass in (cat.compared_with("song", centroids, masses, embedding),
                         cat.compared_with("mass", *none, embedding)):  # fmt: skip
        assert (points.tolist(), mass.tolist()) == ([[0, 0, 0, 1]], [1])


def test_the_nearest_crowd_is_the_first_of_equals() -> None:
    nearest = cat.nearest_crowds("max", np.array([[0.1, 0.3, 0.3], [0.5, 0.5, 0.2]], np.float32))
    assert (nearest.dtype, nearest.tolist()) == (np.uint8, [1, 0])


# Quota


@given(st.integers(0, 5000), st.lists(st.floats(0, 1, width=32), min_size=1, max_size=8))
def test_a_split_is_whole_sums_to_the_budget_and_is_within_one_of_the_share(budget: int, masses: list[float]) -> None:
    quotas = cat.split(budget, np.array(masses, np.float32))
    assert quotas.sum() == budget and (quotas >= 0).all()
    if sum(masses) > 1e-3:
        assert (abs(quotas - budget * np.array(masses) / sum(masses)) < 1 + 1e-3).all()


@pytest.mark.parametrize(("budget", "masses", "quotas"), [
    (10, [0.5, 0.3, 0.2], [5, 3, 2]), (1, [0.4, 0.6], [0, 1]), (3, [0.5, 0.5], [2, 1]), (4, [0, 0], [2, 2]),
    (7, [], []), (0, [1.0], [0]),
])  # fmt: skip
def test_remainders_go_to_the_largest_and_among_equals_to_the_first(budget, masses, quotas) -> None:
    assert cat.split(budget, np.array(masses, np.float32)).tolist() == quotas


def test_each_crowd_gets_its_quota_and_what_a_crowd_cannot_fill_goes_to_the_best_left_over() -> None:
    crowds = np.array([0, 0, 0, 0, 1, 0, 2], np.uint8)  # best first
    assert cat.within_quota(crowds, np.array([0.4, 0.4, 0.2], np.float32), 5).tolist() == [0, 1, 2, 4, 6]
    assert cat.within_quota(crowds, np.array([0.4, 0.4, 0.2], np.float32), 50).tolist() == list(range(7))
    assert cat.within_quota(crowds[:0], np.array([1.0], np.float32), 5).tolist() == []
