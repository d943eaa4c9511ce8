"""The rules of one listener."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.audience.listener import Heard, embedding_of, is_effective, is_forgotten, ring_with, strength_of
from tests.builders.contracts import play, settings

LISTENING = settings().listening
E1, E2 = np.array([1, 0], np.float32), np.array([0, 1], np.float32)

entries = st.builds(Heard, st.integers(1, 60), st.integers(1, 4), st.integers(1, 5))


@pytest.mark.parametrize(
    ("listened_s", "song_s", "counts"),
    [
        (30, 200, True),
        (29.9, 200, False),
        (20, 40, True),
        (19, 40, False),
        (10, 0, False),
        (0, 0, False),
        (40, 0, True),
    ],
)
def test_a_play_counts_from_thirty_seconds_or_half_the_song(listened_s, song_s, counts):
    assert is_effective(play(listened_s=listened_s, song_s=song_s), LISTENING) is counts


def test_strength_rises_from_played_to_completed_to_liked():
    played = play(listened_s=100, song_s=200)
    completed = play(listened_s=180, song_s=200)
    liked = play(listened_s=100, song_s=200, liked=True)
    assert [strength_of(one, LISTENING) for one in (played, completed, liked)] == [1_000, 1_500, 2_000]


def test_a_song_of_unknown_length_is_never_completed():
    assert strength_of(play(listened_s=500, song_s=0), LISTENING) == 1_000


@given(st.lists(entries), st.randoms(use_true_random=False), st.integers(1, 5), st.integers(0, 60))
def test_neither_order_nor_repetition_nor_grouping_changes_a_ring(heard, random, keep, forget_after_ms):
    bounds = {"keep": keep, "forget_after_ms": forget_after_ms}
    at_once = ring_with((), heard, **bounds)
    shuffled = heard + random.choices(heard, k=len(heard)) if heard else []
    random.shuffle(shuffled)
    one_by_one: tuple[Heard, ...] = ()
    for one in shuffled:
        one_by_one = ring_with(one_by_one, [one], **bounds)
    assert one_by_one == at_once
    assert len(at_once) <= keep and list(at_once) == sorted(at_once)


def test_the_same_play_again_keeps_the_larger_strength():
    ring = ring_with((), [Heard(5, 1, 2), Heard(5, 1, 3), Heard(5, 1, 1)], keep=9, forget_after_ms=9)
    assert ring == (Heard(5, 1, 3),)


def test_a_play_weighs_half_after_the_half_life():
    ring = (Heard(100, 1, 1_000), Heard(200, 2, 1_000))
    both = embedding_of(ring, {1: E1, 2: E2}, half_life_ms=100, dimension=2)
    np.testing.assert_allclose(both, np.array([1, 2]) / np.sqrt(5))


def test_songs_that_are_not_known_count_nothing():
    ring = (Heard(100, 1, 1_000), Heard(200, 2, 1_000))
    np.testing.assert_allclose(embedding_of(ring, {1: E1}, half_life_ms=100, dimension=2), [1, 0])
    assert not embedding_of(ring, {}, half_life_ms=100, dimension=2).any()


def test_plays_that_cancel_each_other_have_no_direction():
    ring = (Heard(100, 1, 1_000), Heard(100, 2, 1_000))
    assert not embedding_of(ring, {1: E1, 2: -E1}, half_life_ms=100, dimension=2).any()


def test_a_listener_is_forgotten_when_idle_for_longer_than_is_set():
    assert not is_forgotten(100, 150, 50)
    assert is_forgotten(100, 151, 50)
