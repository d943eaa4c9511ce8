"""Choices against the truth: precision at a budget, reach of true crowds, intervals."""

import numpy as np
import pytest

from streams.judging.judge import Known, Verdict, difference, estimate, judged, reach, true_crowds, verdict


def known(*, fans: dict[int, range], listeners: int = 100) -> Known:
    """Fans by crowd; a target is worth 1 if the listener is a fan."""
    is_fan, crowds = np.zeros(listeners, dtype=bool), np.zeros(listeners, dtype=np.int16)
    for crowd, of in fans.items():
        is_fan[of], crowds[of] = True, crowd
    return Known(is_fan.astype(np.float32), is_fan, crowds)


def test_precision_is_what_the_targets_are_worth_for_each_place_of_the_budget():
    truth = known(fans={0: range(10)})
    assert verdict(np.array([0, 1, 50, 51]), truth, budget=4).precision == 0.5


def test_a_budget_that_is_not_used_up_counts_as_missed():
    assert verdict(np.array([0]), known(fans={0: range(10)}), budget=4).precision == 0.25
    assert verdict(np.array([], dtype=int), known(fans={0: range(10)}), budget=4).precision == 0


def test_precision_takes_probabilities_as_well_as_facts():
    truth = known(fans={0: range(10)})
    likely = Known(np.linspace(0, 1, 100, dtype=np.float32), truth.fans, truth.crowds)
    assert verdict(np.array([0, 99]), likely, budget=2).precision == pytest.approx(0.5)


def test_a_listener_chosen_twice_or_beyond_the_budget_is_refused():
    with pytest.raises(ValueError, match="1 listeners were chosen twice"):
        verdict(np.array([3, 3]), known(fans={0: range(10)}), budget=2)
    with pytest.raises(ValueError, match="3 listeners were chosen with a budget of 2"):
        verdict(np.array([1, 2, 3]), known(fans={0: range(10)}), budget=2)


def test_reach_is_the_share_of_each_true_crowd_that_got_targets():
    truth = known(fans={2: range(20), 5: range(40, 50)})
    found = verdict(np.array([0, 1, 2, 3, 4, 40, 99]), truth, budget=10)
    assert found.reach == {2: 0.25, 5: 0.1}
    assert found.mean_reach == pytest.approx(0.175)
    assert found.least_reach == 0.1


def test_a_listener_of_the_crowd_who_is_no_fan_is_not_reach():
    truth = known(fans={0: range(10)})  # listeners 10 to 99 belong to crowd 0 too, and would not like it
    assert reach(np.arange(10, 60), truth) == {0: 0.0}


def test_a_crowd_of_a_few_fans_is_not_spoken_of():
    truth = known(fans={0: range(500), 1: range(500, 505), 2: range(600, 620)}, listeners=1_000)
    assert true_crowds(truth) == {0: 500}


def test_a_song_that_nobody_likes_has_no_reach():
    found = verdict(np.array([1]), known(fans={}), budget=1)
    assert (found.precision, found.mean_reach, found.least_reach) == (0.0, 0.0, 0.0)


def test_an_interval_holds_the_true_mean_about_nineteen_times_in_twenty():
    rng = np.random.default_rng(1)
    held = 0
    for n in range(200):
        found = estimate(rng.normal(0.3, 0.1, size=40), seed=n)
        held += found.low <= 0.3 <= found.high
    assert 180 <= held <= 198  # a percentile bootstrap of 40 is a little too narrow


def test_an_interval_is_the_same_for_the_same_seed():
    values = [0.1, 0.5, 0.3]
    assert estimate(values, seed=3) == estimate(values, seed=3)
    assert estimate(values).low <= 0.3 <= estimate(values).high


def test_without_a_release_there_is_nothing_to_say():
    with pytest.raises(ValueError, match="no release"):
        estimate([])


def test_a_difference_is_taken_release_by_release():
    hard_and_easy = np.array([0.1, 0.5, 0.9, 0.2, 0.7])
    found = difference(list(hard_and_easy + 0.01), list(hard_and_easy))
    assert found.mean == pytest.approx(0.01)
    assert found.high - found.low < 1e-9  # the releases differ much, the rules always by the same
    with pytest.raises(ValueError, match="5 releases against 4"):
        difference(list(hard_and_easy), list(hard_and_easy[:4]))


def test_a_rule_is_judged_over_all_releases():
    found = judged([Verdict(0.2, {0: 0.5, 1: 0.1}), Verdict(0.4, {3: 0.3})])
    assert found.precision.mean == pytest.approx(0.3)
    assert found.reach.mean == pytest.approx(0.3)
    assert found.least_reach.mean == pytest.approx(0.2)
    assert found.to_json()["precision"]["mean"] == pytest.approx(0.3)
