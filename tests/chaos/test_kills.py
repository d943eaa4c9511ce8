"""Whatever dies in mid-stream: after a restart everything is as if nothing had happened, and the twin agrees."""

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
from tests.harness.live import Live
from tests.harness.stream import Story, Stream, told
from tests.twin.check import check

pytestmark = pytest.mark.chaos


def test_a_worker_that_is_killed_at_any_moment_of_the_stream_loses_nothing(live: Live, world: World) -> None:
    seed = 11
    print(f"seed {seed}")
    live.start("one"), live.start("two")
    live.drained()
    stream = Stream(live, told(world, Story(), seed), lasts_s=30)
    for share, name in ((0.15, "two"), (0.4, "one"), (0.7, "two")):
        stream.reaches(share)
        live.workers[name].kill()
        live.start(name)
        live.owning("one", "two")
    stream.joined()
    live.drained()
    assert live.stop_all() == {"one": 0, "two": 0}
    check(live, seed)


def test_a_worker_that_dies_at_each_named_point_in_turn_loses_nothing(live: Live, world: World) -> None:
    seed = 12
    print(f"seed {seed}")
    live.start("one"), live.start("two")
    live.drained()
    live.workers["two"].stop()
    stream = Stream(live, told(world, Story(), seed), lasts_s=50)
    for point, nth in ((AFTER_OUTPUTS, 40), (AFTER_STATE, 40), (BEFORE_ACKNOWLEDGEMENT, 8), (IN_CHECKPOINT, 2)):
        live.start("two", **{VARIABLE: f"{point}:{nth}"})
        assert live.workers["two"].process.wait(60) == EXIT_CODE, point
        assert stream.share < 1, f"{point}: it died after the stream, not in it"
    live.start("two")
    stream.joined()
    live.owning("one", "two")
    live.drained()
    assert live.stop_all() == {"one": 0, "two": 0}
    check(live, seed)


def test_a_worker_that_is_asked_to_end_finishes_what_is_under_way_and_loses_nothing(live: Live, world: World) -> None:
    seed = 13
    print(f"seed {seed}")
    live.start("one"), live.start("two")
    live.drained()
    stream = Stream(live, told(world, Story(), seed), lasts_s=20)
    for share, name in ((0.2, "two"), (0.5, "one")):
        stream.reaches(share)
        assert live.workers[name].stop() == 0
        live.start(name)
        live.owning("one", "two")
    stream.joined()
    live.drained()
    assert live.stop_all() == {"one": 0, "two": 0}
    check(live, seed)
