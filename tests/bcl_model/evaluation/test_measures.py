"""The three questions: rankings by hand, slow loops, ties by lot, and answers that cannot be judged."""

from dataclasses import replace

import numpy as np
import pytest

from bcl_model.evaluation.answers import Answers, fits_of, through_near_songs
from bcl_model.evaluation.measures import (
    FOUND,
    LISTENER_TO_SONGS,
    SONG_TO_SONGS,
    first,
    judged,
    keys_of,
    lots_of,
    recall_and_ndcg,
    song_to_listeners,
)
from bcl_model.evaluation.trial import Split, split_of
from bcl_model.fields import inferred
from bcl_model.rivals.simple import at_random, content_neighbours
from tests.builders.songs import world

CONTENTS, PLAYS = world()
SPLIT = split_of(CONTENTS, PLAYS, inferred(CONTENTS), share=0.2)


def test_recall_and_ndcg_of_a_ranking_by_hand() -> None:
    recall, ndcg = recall_and_ndcg(np.array([[True, False, True], [False, False, False]]), np.array([2, 1]), 3)

    assert recall.tolist() == [1.0, 0.0]
    assert ndcg[0] == pytest.approx((1 + 1 / 2) / (1 + 1 / np.log2(3))) and ndcg[1] == 0


def test_more_true_ones_than_places_can_still_be_recalled_in_full_and_who_has_none_is_not_asked() -> None:
    recall, ndcg = recall_and_ndcg(np.array([[True, True], [False, False]]), np.array([3, 0]), 2)

    assert recall[0] == ndcg[0] == 1.0
    assert np.isnan(recall[1]) and np.isnan(ndcg[1])


def test_rankings_are_by_score_and_equal_scores_by_lot() -> None:
    rng = np.random.default_rng(1)
    scores = np.round(rng.normal(size=(40, 30)), 1).astype(np.float32)
    scores[:5] = 0.0
    scores[0, ::2] = -0.0
    lots = lots_of(30, 7)

    slow = [sorted(range(30), key=lambda c, row=row: (-row[c] + 0.0, -lots[c]))[:8] for row in scores]  # type: ignore[misc]
    np.testing.assert_array_equal(first(scores, 8, lots), slow)
    assert first(scores, 99, lots).shape == (40, 30)


def test_chance_does_not_depend_on_the_order_of_songs() -> None:
    """All scores equal: what is ranked first follows the lots alone."""
    best = np.concatenate([first(np.zeros((1, 200)), 50, lots_of(200, seed)) for seed in range(200)])
    assert best.mean() == pytest.approx(99.5, abs=3)


def test_an_answer_that_is_no_number_or_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="NaN"):
        keys_of(np.array([[1.0, np.nan]]), lots_of(2, 1))
    with pytest.raises(ValueError, match="wanted"):
        judged(SPLIT, Answers(np.zeros((3, 3))))


@pytest.mark.parametrize("budget", [30, 5000])
def test_judging_in_blocks_equals_the_slow_loops(budget: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bcl_model.evaluation.measures.AT_ONCE", 250)
    trial, answers = SPLIT.trial, content_neighbours(SPLIT.trial)
    fit = fits_of(trial, answers)(np.arange(trial.listeners))
    fans = [set(SPLIT.hidden.listeners[SPLIT.hidden.songs == song].tolist()) for song in trial.cold]
    song_lots, lots = lots_of(len(trial.cold), trial.seed), lots_of(trial.listeners, trial.seed)

    one = judged(SPLIT, answers, budget)

    precision, recall = song_to_listeners(budget)
    for n in (0, 7, 30):
        best = sorted(range(trial.listeners), key=lambda who: (-fit[who, n], -lots[who]))[:budget]
        hits = len(fans[n] & set(best))
        assert one.songs[precision][n] == pytest.approx(hits / budget)
        assert one.songs[recall][n] == pytest.approx(hits / len(fans[n]))
    tops = [set(sorted(range(len(fans)), key=lambda c: (-row[c], -song_lots[c]))[:50]) for row in fit]
    for who in (0, 3, 249, 250, 1100):
        liked = {n for n in range(len(fans)) if who in fans[n]}
        wanted = len(liked & tops[who]) / min(len(liked), 50) if liked else np.nan
        assert one.listeners[LISTENER_TO_SONGS[0]][who] == pytest.approx(wanted, nan_ok=True)
    assert one.songs[FOUND][7] == pytest.approx(np.mean([7 in tops[who] for who in fans[7]]))


def perfect(split: Split) -> Answers:
    trial = split.trial
    similarities = np.zeros((len(trial.cold), len(trial.warm)))
    truth = split.truth
    similarities[np.searchsorted(trial.cold, truth.songs), np.searchsorted(trial.warm, truth.similar)] = 1.0
    played = np.zeros((trial.listeners, len(trial.cold)))
    played[split.hidden.listeners, np.searchsorted(trial.cold, split.hidden.songs)] = 1.0
    return Answers(similarities, lambda listeners: played[listeners])


def test_the_truth_itself_is_judged_perfect_and_chance_as_chance() -> None:
    best, chance = judged(SPLIT, perfect(SPLIT), 2000), judged(SPLIT, at_random(SPLIT.trial), 120)

    for measure, value in best.means().items():
        if "precision" not in measure:  # of 2000 listeners most cannot have played it
            assert value == pytest.approx(1.0), measure
    assert chance.means()[SONG_TO_SONGS[0]] == pytest.approx(50 / len(SPLIT.trial.warm), abs=0.04)
    assert list(chance.means()) == [*SONG_TO_SONGS, *song_to_listeners(120), *LISTENER_TO_SONGS]


def test_a_listener_fits_a_song_through_the_near_songs_that_it_heard() -> None:
    trial = replace(SPLIT.trial)
    similarities = np.random.default_rng(2).normal(size=(len(trial.cold), len(trial.warm)))

    fit = through_near_songs(trial, similarities, neighbours=5)(np.array([4, 9]))

    heard = trial.heard.toarray()
    for row, listener in enumerate((4, 9)):
        for song in (0, 11):
            near = np.argsort(-similarities[song])[:5]
            slow = sum(max(similarities[song, j], 0) * heard[listener, j] for j in near)
            assert fit[row, song] == pytest.approx(slow, rel=1e-5)
