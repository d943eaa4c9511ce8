"""Comparison: intervals, p-values against closed forms and enumeration, groups of songs, known winners."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from scipy import stats

from bcl_model.evaluation.compare import Compared, Estimate, Facts, Round, p_by_flips, p_over_seeds
from bcl_model.evaluation.measures import Judged, judged
from bcl_model.evaluation.trial import split_of
from bcl_model.fields import inferred
from bcl_model.rivals.bcl import trained
from bcl_model.rivals.simple import at_random, popularity, same
from tests.builders.songs import quick, world

CONTENTS, PLAYS = world()
FIELDS = inferred(CONTENTS)


def rounds(values: dict[str, list[list[float]]], facts: Facts) -> Compared:
    """method -> seed -> a value of each song."""
    seeds = range(len(next(iter(values.values()))))
    return Compared(
        [Round(n, facts, {name: Judged({"m": np.array(of[n])}, {}) for name, of in values.items()}) for n in seeds]
    )


FOUR = Facts(np.array([1, 1, 2, 3]), np.array([0, 9, -1, 0]), np.array([False, False, True, True]), 0.1)


def test_intervals_are_students_over_seeds() -> None:
    one = Estimate.of([0.5, 0.6, 0.7])

    assert one.mean == pytest.approx(0.6) and one.high - one.mean == pytest.approx(4.3027 * 0.1 / 3**0.5, rel=1e-4)
    assert Estimate.of([0.5]) == Estimate(0.5, 0.5, 0.5)


def test_overlap_of_splits_widens_the_test_over_seeds() -> None:
    apart = [0.02, 0.03, 0.025, 0.01, 0.02]

    assert p_over_seeds(apart, 0.0) == pytest.approx(stats.ttest_1samp(apart, 0, alternative="greater").pvalue)
    corrected = np.mean(apart) / (np.std(apart, ddof=1) * (1 / 5 + 1 / 9) ** 0.5)
    assert p_over_seeds(apart, 1 / 9) == pytest.approx(stats.t.sf(corrected, 4))
    assert p_over_seeds([0.0, 0.0], 0.1) == 1.0


def test_a_few_signs_are_all_tried() -> None:
    apart = np.array([[0.3], [0.1], [-0.2], [0.05]])
    slow = np.mean([np.dot(signs, apart[:, 0]) >= apart.sum() - 1e-12 for signs in product((1, -1), repeat=4)])

    assert p_by_flips(apart)[0] == slow
    assert p_by_flips(np.full((5, 1), 0.1))[0] == 1 / 32  # no less with five seeds


def test_many_signs_are_drawn_as_the_normal_law_says() -> None:
    rng = np.random.default_rng(3)
    apart = rng.normal(size=(900, 3)) + np.array([0.0, 0.05, 0.5])

    p = p_by_flips(apart)

    normal = stats.norm.sf(apart.sum(axis=0) / np.sqrt((apart**2).sum(axis=0)))
    np.testing.assert_allclose(p[:2], normal[:2], atol=0.015)
    assert p[2] == pytest.approx(1e-4)
    np.testing.assert_array_equal(p, p_by_flips(apart))


def test_under_no_difference_p_values_are_even() -> None:
    rng = np.random.default_rng(4)
    p = np.array([p_by_flips(rng.normal(size=(40, 8))) for _ in range(25)]).ravel()
    assert abs((p < 0.5).mean() - 0.5) < 0.12 and abs((p < 0.1).mean() - 0.1) < 0.08


def test_songs_of_one_artist_are_flipped_together() -> None:
    """Thirteen artists that agree in all their songs tell as much as thirteen songs do."""
    rng = np.random.default_rng(5)
    alone = rng.normal(0.5, 1, 13)
    facts = Facts(np.arange(13), np.zeros(13, int), None, 0.1)
    many = Facts(np.repeat(np.arange(13), 50), np.zeros(650, int), None, 0.1)

    one = rounds({"a": [alone.tolist()], "b": [[0.0] * 13]}, facts).better("a", "m")["b"]
    same_artists = rounds({"a": [np.repeat(alone, 50).tolist()], "b": [[0.0] * 650]}, many).better("a", "m")["b"]

    assert same_artists.units == one.units
    assert one.seeds is None and one.flips is None


def test_groups_of_songs_are_means_over_seeds() -> None:
    compared = rounds(
        {
            "a": [[1.0, 2.0, 3.0, np.nan], [3.0, 4.0, 5.0, 7.0]],
            "b": [[0.0, 0.0, 0.0, np.nan], [1.0, 1.0, 1.0, 1.0]],
        },
        FOUR,
    )

    first, *middle, last = compared.by_decile("a", "m")
    assert first is not None and first.mean == (1.0 + (3 + 7) / 2) / 2
    assert last is not None and last.mean == 3.0 and set(middle) == {None}
    assert {name: one and one.mean for name, one in compared.by_artist("a", "m").items()} == {
        "known": (1.5 + 3.5) / 2,
        "new": (3 + 6) / 2,
    }
    gain = compared.gain_by_decile("a", "b", "m")[0]
    assert gain is not None and gain.mean == (1.0 + (3 + 7) / 2 - 1) / 2
    assert compared.songs_by_artist() == {"known": 4, "new": 4}
    assert rounds({"a": [[1.0] * 4]}, replace(FOUR, is_new_artist=None)).by_artist("a", "m")["new"] is None


def test_deciles_are_of_the_plays_of_true_neighbours() -> None:
    split = split_of(CONTENTS, PLAYS, FIELDS, share=0.3)
    facts = Facts.of(split)
    plays = np.bincount(split.trial.known.songs, minlength=len(CONTENTS))
    popularity = {
        n: np.log1p(plays[split.truth.similar[split.truth.songs == song]]).mean()
        for n, song in enumerate(split.trial.cold)
        if (split.truth.songs == song).any()
    }

    assert {n for n in range(len(split.trial.cold)) if facts.decile[n] < 0}.isdisjoint(popularity)
    assert np.bincount(facts.decile[facts.decile >= 0]).tolist() == pytest.approx([len(popularity) / 10] * 10, abs=1)
    assert max(popularity[n] for n in popularity if facts.decile[n] == 0) <= min(
        popularity[n] for n in popularity if facts.decile[n] == 9
    )


def test_a_trained_model_beats_chance_and_popularity_in_all_three_questions() -> None:
    methods = {"model": trained(quick(steps=80)), "random": at_random, "popularity": popularity, "genre": same("genre")}
    splits = [split_of(CONTENTS, PLAYS, FIELDS, share=0.2, seed=seed) for seed in (1, 2)]
    compared = Compared(
        [
            Round(
                split.trial.seed,
                Facts.of(split),
                {name: judged(split, method(split.trial), 50) for name, method in methods.items()},
            )
            for split in splits
        ]
    )

    for measure in compared.measures:
        found = compared.better("model", measure)
        assert found["random"].units < 0.01, measure
        assert found["popularity"].difference.mean > 0, measure
    precision = "song_to_listeners_precision_at_50"
    assert compared.better("genre", precision)["random"].difference.mean > 0
