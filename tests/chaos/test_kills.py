"""Whatever dies in mid-stream: after a restart everything is as if nothing had happened, and the twin agrees."""

import time
from itertools import count

import pytest

from streams.state.crash_points import (
    AFTER_OUTPUTS,
    AFTER_STATE,
    BEFORE_ACKNOWLEDGEMENT,
    EXIT_CODE,
    IN_CHECKPOINT,
    VARIABLE,
)
from streams.world.world import World
from tests.harness.live import COMES_WITHIN_S, Live
from tests.harness.stream import Story, Stream, told
from tests.twin.check import settled

pytestmark = pytest.mark.chaos


def test_a_worker_that_is_killed_at_any_moment_of_the_stream_loses_nothing(live: Live, world: World) -> None:
    seed = 11
    print(f"seed {seed}")
    live.begin("one", "two")
    stream = Stream(live, told(world, Story(), seed), lasts_s=30)
    for share, name in ((0.15, "two"), (0.4, "one"), (0.7, "two")):
        stream.reaches(share)
        live.workers[name].kill()
        live.start(name)
        live.owning("one", "two")
    stream.joined()
    settled(live, seed)


def test_a_worker_that_dies_at_each_named_point_in_turn_loses_nothing(live: Live, world: World) -> None:
    seed = 12
    print(f"seed {seed}")
    live.begin("one", "two")
    live.workers["two"].stop()
    chapters = count()
    for point, nth in ((AFTER_OUTPUTS, 40), (AFTER_STATE, 40), (BEFORE_ACKNOWLEDGEMENT, 8), (IN_CHECKPOINT, 2)):
        two = live.start("two", **{VARIABLE: f"{point}:{nth}"})
        until = time.monotonic() + COMES_WITHIN_S
        while two.process.poll() is None:
            assert time.monotonic() < until, f"{point} was not reached {nth} times"
            chapter(live, world, next(chapters), seed)
        assert two.process.wait() == EXIT_CODE, point
    live.start("two")
    chapter(live, world, next(chapters), seed)
    live.owning("one", "two")
    settled(live, seed)


def chapter(live: Live, world: World, nth: int, seed: int) -> None:
    """A piece of a story without an end: the stream does not cease before a worker has died in it."""
    story = Story(plays=600, releases=1, settings=20, erasures=1, withdrawals=1, first=nth)
    Stream(live, told(world, story, seed + nth), lasts_s=5).joined()


def test_a_worker_that_is_asked_to_end_finishes_what_is_under_way_and_loses_nothing(live: Live, world: World) -> None:
    seed = 13
    print(f"seed {seed}")
    live.begin("one", "two")
    stream = Stream(live, told(world, Story(), seed), lasts_s=20)
    for share, name in ((0.2, "two"), (0.5, "one")):
        stream.reaches(share)
        assert live.workers[name].stop() == 0
        live.start(name)
        live.owning("one", "two")
    stream.joined()
    settled(live, seed)
