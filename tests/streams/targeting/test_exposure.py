"""What was pushed to a listener survives as bytes, in order, bounded, and never forgets what still counts."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.contracts.targets import Arm
from streams.contracts.topics import DAY_MS
from streams.errors import Stop
from streams.targeting.exposure import Exposure, Push, decoded, with_push, with_reaction
from tests.builders.contracts import NOW
from tests.builders.targeting import admission

LIMITS = admission(keep_pushes=50, keep_pushes_days=90.0)

pushes = st.builds(
    Push,
    st.integers(0, 2**64 - 1),
    st.integers(NOW, NOW + 20 * DAY_MS),
    st.integers(NOW, NOW + 20 * DAY_MS),
    st.sampled_from(Arm),
    st.booleans(),
    st.booleans(),
)


def exposure_of(*given_: Push, limits=LIMITS) -> Exposure:
    exposure = Exposure()
    for push in given_:
        exposure = decoded(with_push(exposure, push, limits))
    return exposure


def pushes_of(exposure: Exposure) -> list[Push]:
    return [exposure.push(n) for n in range(len(exposure.due_ms))]


def due(day: float, song: int = 7) -> Push:
    return Push(song, NOW + int(day * DAY_MS), NOW + int(day * DAY_MS), Arm.TARGET)


@given(st.lists(pushes, max_size=20))
def test_every_push_is_remembered_as_it_was_in_the_order_in_which_they_are_due(given_):
    exposure = exposure_of(*given_)

    assert sorted(pushes_of(exposure)) == sorted(given_)
    assert list(exposure.due_ms) == sorted(exposure.due_ms)
    assert decoded(exposure.raw) == exposure


@given(st.lists(pushes, min_size=1, max_size=8), st.data())
def test_a_reaction_marks_one_push_and_leaves_the_others(given_, data):
    exposure = exposure_of(*given_)
    n = data.draw(st.integers(0, len(given_) - 1))
    played, liked = data.draw(st.booleans()), data.draw(st.booleans())

    after = pushes_of(decoded(with_reaction(exposure, n, played=played, liked=liked)))

    expected = pushes_of(exposure)
    expected[n] = expected[n]._replace(played=expected[n].played or played, liked=expected[n].liked or liked)
    assert after == expected


def test_the_bytes_are_those_that_are_drawn():
    raw = exposure_of(Push(3, NOW, NOW + 5, Arm.HOLD_OUT, played=False, liked=True)).raw

    assert raw == struct.pack("<BQqqB", 1, 3, NOW, NOW + 5, 2 | 8)


def test_a_listener_who_was_told_of_nothing_has_an_empty_exposure():
    assert decoded(None) == Exposure() == decoded(Exposure().raw)


def test_bytes_of_a_newer_release_stop_the_worker():
    with pytest.raises(Stop, match="version 9 found, 1 wanted"):
        decoded(bytes([9]))


def test_pushes_older_than_the_days_that_are_kept_are_forgotten():
    limits = admission(keep_pushes_days=10.0)

    exposure = exposure_of(due(0, song=1), due(5, song=2), due(10.5, song=3), limits=limits)

    assert exposure.song_keys == (2, 3)


def test_of_too_many_pushes_the_longest_due_are_forgotten():
    exposure = exposure_of(due(3, song=3), due(1, song=1), due(2, song=2), limits=admission(keep_pushes=2))

    assert exposure.song_keys == (2, 3)


def test_an_exposure_is_full_while_the_push_it_would_forget_still_counts():
    limits = admission(keep_pushes=2, rolling_h=72.0)
    exposure = exposure_of(due(0), due(1), limits=limits)

    assert exposure.is_full(NOW + 2 * DAY_MS, NOW + 2 * DAY_MS, limits)
    assert not exposure.is_full(NOW + 3 * DAY_MS, NOW + 3 * DAY_MS, limits)


def test_a_push_that_would_be_forgotten_at_once_finds_the_exposure_full():
    limits = admission(keep_pushes=2)
    exposure = exposure_of(due(30), due(31), limits=limits)

    assert exposure.is_full(NOW, NOW + 60 * DAY_MS, limits)


@given(st.lists(pushes, max_size=40), st.integers(1, 10))
def test_memory_of_a_listener_is_bounded(given_, keep):
    assert len(exposure_of(*given_, limits=admission(keep_pushes=keep)).raw) <= 1 + 25 * keep
