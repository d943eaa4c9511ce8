"""Intervals and tests of paired samples against SciPy's and against cases that can be seen at a glance."""

import numpy as np
import pytest
from scipy import stats

from streams.judging.significance import holm
from streams.sweep.samples import Asked, Difference, Samples, differences, interval, p_of_zero, slopes


def test_an_interval_and_its_p_are_students():
    values = np.random.default_rng(1).normal(0.4, 1, size=9)
    known = stats.ttest_1samp(values, 0)
    low, high = known.confidence_interval(0.95)
    found = interval(values)
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))
    assert p_of_zero(values) == pytest.approx(known.pvalue)


def difference(samples: Samples) -> Difference:
    asked = Asked("", "recall", "b", "a")
    return differences({asked: samples.apart("a", "b", "recall")})[asked]


def test_one_unit_is_a_point_and_shows_nothing():
    found = difference(Samples("world", {"a": {"recall": [0.5]}, "b": {"recall": [0.1]}}))
    assert (found.estimate.low, found.estimate.high, found.p) == (0.4, 0.4, 1.0)
    assert not found.is_shown


def test_a_difference_is_taken_unit_by_unit():
    """Two worlds far apart, in both of which a is ahead by nearly the same."""
    found = difference(Samples("world", {"a": {"recall": [0.9, 0.21, 0.5]}, "b": {"recall": [0.8, 0.1, 0.4]}}))
    assert found.p < 0.01
    assert found.estimate.low > 0.08


def test_variants_on_different_units_are_refused():
    with pytest.raises(ValueError, match="wanted the same for all"):
        Samples("world", {"a": {"recall": [0.5]}, "b": {"recall": [0.1, 0.2]}})


def test_holms_p_values_are_those_of_his_example():
    adjusted = holm(dict(enumerate([0.01, 0.04, 0.03, 0.005])))
    np.testing.assert_allclose([adjusted[n] for n in range(4)], [0.03, 0.06, 0.06, 0.02])
    assert holm({0: 0.6, 1: 0.9}) == {0: 1.0, 1: 1.0}
    assert holm({}) == {}


def test_the_slope_of_each_unit_is_the_line_through_its_levels():
    values = [[0.1, 0.5], [0.2, 0.3], [0.6, 0.1]]
    lines = [np.polyfit([0.5, 0.7, 0.9], [level[unit] for level in values], 1)[0] for unit in (0, 1)]
    np.testing.assert_allclose(slopes([0.5, 0.7, 0.9], values), lines)
