"""Plays wait while a release is on its way, never for ever, and never the most of the time."""

import pytest

from streams.agents.precedence import Precedence


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def precedence(clock) -> Precedence:
    return Precedence(lasts_s=0.25, at_most_s=1.0, then_s=0.5, now_s=clock)


def test_without_a_release_nobody_waits(precedence):
    assert precedence.wait_s() <= 0


def test_who_gives_way_goes_on_once_the_release_has_passed(precedence, clock):
    precedence.take()
    assert precedence.wait_s() == 0.25
    clock.now_s += 0.25
    assert precedence.wait_s() == 0


def test_what_follows_from_a_release_prolongs_the_wait(precedence, clock):
    precedence.take()
    clock.now_s += 0.125
    precedence.take()
    assert precedence.wait_s() == 0.25


def test_of_a_stream_of_releases_plays_get_every_third_moment(precedence, clock):
    waited = []
    for _ in range(600):
        precedence.take()
        waited.append(precedence.wait_s() > 0)
        clock.now_s += 0.0625
    assert sum(waited) / len(waited) == pytest.approx(2 / 3, abs=0.05)
    longest = max(len(run) for run in "".join("x" if one else " " for one in waited).split())
    assert longest * 0.0625 <= 1.0 + 0.0625


def test_a_release_after_a_pause_is_given_way_again_at_once(precedence, clock):
    for _ in range(9):
        precedence.take()
        clock.now_s += 0.125
    assert precedence.wait_s() <= 0
    clock.now_s += 0.25
    precedence.take()
    assert precedence.wait_s() == 0.25


async def test_giving_way_takes_as_long_as_is_said():
    precedence = Precedence(lasts_s=0.02, at_most_s=60)
    precedence.take()
    await precedence.give_way()
    assert precedence.wait_s() <= 0
