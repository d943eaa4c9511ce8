"""The protocol of comparison: measures against hand-made rankings, splits that keep cold songs cold, known winners."""

from dataclasses import replace

import numpy as np
import pytest

from bcl_model.errors import BadData
from bcl_model.evaluate import (
    Compared,
    Estimate,
    Trial,
    at_random,
    compare,
    content_neighbours,
    judged,
    popularity,
    ranked_well,
    same,
    trained,
    trial_of,
)
from bcl_model.fields import Content, inferred
from tests.builders.songs import quick, world

CONTENTS, PLAYS = world()
FIELDS = inferred(CONTENTS)


def trial(by: str = "song", seed: int = 1) -> Trial:
    return trial_of(CONTENTS, PLAYS, FIELDS, by=by, share=0.2, seed=seed)


def test_recall_and_ndcg_of_a_ranking_by_hand() -> None:
    scores = np.array([[9.0, 8, 7, 6, 5], [5, 6, 7, 8, 9]])
    is_true = np.array([[True, False, True, False, False], [True, False, False, False, False]])

    recall, ndcg = ranked_well(scores, is_true, 3)

    assert recall == pytest.approx((1 + 0) / 2)
    assert ndcg == pytest.approx((1 + 1 / 2) / (1 + 1 / np.log2(3)) / 2)


def test_more_true_songs_than_places_can_still_be_recalled_in_full() -> None:
    assert ranked_well(np.array([[3.0, 2, 1]]), np.ones((1, 3), bool), 2) == (1.0, 1.0)


def test_what_a_method_sees_holds_no_play_of_a_cold_song() -> None:
    one = trial()

    assert not np.isin(one.known.songs, one.cold).any()
    assert np.isin(one.hidden.songs, one.cold).all()
    assert len(one.known.songs) + len(one.hidden.songs) == len(PLAYS.songs)
    assert np.isin(one.truth.songs, one.cold).all() and np.isin(one.truth.similar, one.warm).all()


def test_a_split_by_a_field_shares_none_of_its_values() -> None:
    one = trial_of(CONTENTS, PLAYS, FIELDS, by="genre", share=0.34)

    cold, warm = ({CONTENTS[song].attributes["genre"] for song in songs} for songs in (one.cold, one.warm))
    assert cold and warm and not cold & warm


def test_a_split_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(BadData, match="leaves nothing on one side"):
        trial_of(CONTENTS, PLAYS, FIELDS, share=0.0)


def test_the_truth_itself_is_judged_perfect_and_chance_is_judged_as_chance() -> None:
    one = trial()
    perfect = np.zeros((len(one.cold), len(one.warm)))
    perfect[np.searchsorted(one.cold, one.truth.songs), np.searchsorted(one.warm, one.truth.similar)] = 1.0

    assert judged(one, perfect)["song_to_songs_recall_at_50"] == 1.0
    chance = judged(one, at_random(one))["song_to_songs_recall_at_50"]
    assert 0.1 < chance < 0.35  # 50 of 240


def test_a_trained_model_beats_chance_and_popularity_in_all_three_questions() -> None:
    methods = {"model": trained(quick(steps=80)), "random": at_random, "popularity": popularity, "genre": same("genre")}
    compared = compare(iter([trial(seed=1), trial(seed=2)]), methods, budget=50)

    for measure, values in compared.values["model"].items():
        for rival in ("random", "popularity"):
            assert np.mean(values) > np.mean(compared.values[rival][measure]), (measure, rival)
    assert (
        compared.estimate("genre", "song_to_listeners_precision_at_50").mean
        > compared.estimate("random", "song_to_listeners_precision_at_50").mean
    )


def test_cold_plays_change_no_methods_answer() -> None:
    one = trial()
    swapped = replace(one, hidden=replace(one.hidden, listeners=one.hidden.listeners[::-1].copy()))

    for method in (content_neighbours, popularity, trained(quick(steps=5))):
        np.testing.assert_array_equal(method(one), method(swapped))


def test_content_neighbours_say_the_same_in_rare_words_first() -> None:
    contents = [Content({"tag": words}) for words in [("a", "x"), ("a",), ("a",), ("a",), ("b", "x"), ("b",)]]
    fields = inferred(contents, min_songs=1)
    one = replace(trial(), contents=contents, fields=fields, cold=np.array([0]), warm=np.arange(1, 6))

    [similarity] = content_neighbours(one)
    assert similarity[3] > similarity[0] > similarity[4] == 0  # x is rarer than a; b is not said


def test_intervals_and_paired_tests_are_over_seeds() -> None:
    compared = Compared({"a": {"m": [0.5, 0.6, 0.7]}, "b": {"m": [0.4, 0.51, 0.6]}, "once": {"m": [0.5]}})

    one = compared.estimate("a", "m")
    assert one.mean == pytest.approx(0.6) and one.high - one.mean == pytest.approx(4.3027 * 0.1 / 3**0.5, rel=1e-4)
    better, worse = compared.p_better("a", "b", "m"), compared.p_better("b", "a", "m")
    assert better is not None and worse is not None and better < 0.01 < 0.99 < worse
    assert compared.p_better("a", "a", "m") == 1.0
    assert compared.p_better("once", "once", "m") is None
    assert Estimate.of([0.5]) == Estimate(0.5, 0.5, 0.5)
