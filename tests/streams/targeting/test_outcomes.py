"""The lift and its interval against known values; totals that no order changes."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats.contingency import relative_risk

from streams.contracts.targets import Arm, TargetReactions
from streams.targeting.outcomes import Lift, lift_of, with_reactions
from tests.builders.contracts import NOW

counts = st.dictionaries(st.sampled_from([arm.value for arm in Arm]), st.integers(1, 9))


def test_the_lift_of_the_physicians_health_study():
    """Heart attacks under placebo and aspirin: Agresti gives 1.82 with an interval from 1.43 to 2.30."""
    lift = lift_of(plays=189, reached=11_034, held_out_plays=104, held_out=11_037)

    assert [round(number, 2) for number in lift] == [1.82, 1.43, 2.31]  # the book rounds its logarithms first


@given(st.integers(1, 50), st.integers(51, 999), st.integers(1, 50), st.integers(51, 999))
def test_lift_and_interval_are_those_of_scipy(plays, reached, held_out_plays, held_out):
    known = relative_risk(plays, reached, held_out_plays, held_out)
    interval = known.confidence_interval(0.95)

    lift = lift_of(plays=plays, reached=reached, held_out_plays=held_out_plays, held_out=held_out)

    assert lift == pytest.approx((known.relative_risk, interval.low, interval.high))


def test_there_is_no_lift_without_a_play_in_the_hold_out():
    assert lift_of(plays=5, reached=10, held_out_plays=0, held_out=10) is None
    assert lift_of(plays=5, reached=10, held_out_plays=0, held_out=0) is None
    assert lift_of(plays=0, reached=0, held_out_plays=1, held_out=10) is None


def test_without_a_play_among_the_reached_the_lift_is_zero_and_its_upper_limit_is_not():
    lift = lift_of(plays=0, reached=100, held_out_plays=10, held_out=100)

    assert lift.ratio == lift.low == 0 and 0 < lift.high < 1
    assert lift_of(plays=0, reached=1_000, held_out_plays=100, held_out=1_000).high < lift.high


def test_where_everybody_played_there_is_no_doubt():
    assert lift_of(plays=10, reached=10, held_out_plays=5, held_out=5) == Lift(1, 1, 1)


def test_a_count_that_a_crash_left_short_gives_a_finite_interval():
    lift = lift_of(plays=11, reached=10, held_out_plays=3, held_out=2)

    assert all(math.isfinite(number) for number in lift)


def test_the_interval_holds_the_truth_nineteen_times_out_of_twenty():
    """2,000 trials at p = .06 and .03: a standard deviation of the coverage is 0.5 %."""
    draw = np.random.default_rng(11)
    plays, held_out_plays = draw.binomial(2_000, 0.06, 2_000), draw.binomial(1_000, 0.03, 2_000)
    lifts = [
        lift_of(plays=int(a), reached=2_000, held_out_plays=int(b), held_out=1_000)
        for a, b in zip(plays, held_out_plays, strict=True)
    ]

    assert abs(sum(one.low <= 2 <= one.high for one in lifts) / 2_000 - 0.95) < 0.02


def reactions(offset: int, decided: int, reached, plays, likes) -> TargetReactions:
    return TargetReactions("new", "plays", 0, offset, NOW + decided, reached, plays, likes)


@given(
    st.lists(st.builds(reactions, st.integers(0, 99), st.integers(0, 99), counts, counts, counts), min_size=1),
    st.data(),
)
def test_a_total_does_not_depend_on_the_order_of_what_is_added(given_, data):
    def total(order):
        outcome = None
        for one in order:
            outcome = with_reactions(outcome, one, one.decided_ms + one.offset)
        return outcome

    whole = total(given_)

    assert total(data.draw(st.permutations(given_))) == whole
    assert whole.reached == {arm: sum(one.reached.get(arm, 0) for one in given_) for arm in whole.reached}
    assert whole.at_ms == max(one.decided_ms + one.offset for one in given_)
    assert list(whole.likes) == [arm.value for arm in Arm if arm in whole.likes]
