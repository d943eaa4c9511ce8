"""A worker that slept past its session timeout wakes up: what its successor wrote stands."""

import time

import pytest

from streams.world.world import World
from tests.builders.kafka import SHORTEST_SESSION_MS
from tests.harness.live import COMES_WITHIN_S, Live
from tests.harness.stream import Story, Stream, told
from tests.twin.check import settled

pytestmark = pytest.mark.chaos

SLEEPS_S = 1.5 * SHORTEST_SESSION_MS / 1_000


def test_a_worker_that_wakes_after_its_session_does_no_harm(live: Live, world: World) -> None:
    seed = 31
    print(f"seed {seed}")
    live.begin("one", "two")
    stream = Stream(live, told(world, Story(), seed), lasts_s=45)
    for share, name, other in ((0.1, "two", "one"), (0.4, "one", "two"), (0.7, "two", "one")):
        stream.reaches(share)
        live.workers[name].pause()
        asleep_until = time.monotonic() + SLEEPS_S
        live.owning(other)
        time.sleep(max(0.0, asleep_until - time.monotonic()))
        live.workers[name].go_on()
        both_own(live, name)
    stream.joined()
    settled(live, seed)


def both_own(live: Live, woken: str, within_s: float = COMES_WITHIN_S) -> None:
    """The woken worker joins again, or it ends and says why; then it is started anew."""
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        worker = live.workers[woken]
        if worker.process.poll() is not None:
            assert "LostOwnership" in worker.said(), worker.said()[-3000:]
            live.start(woken)
        if live.is_shared_by("one", "two"):
            return
        time.sleep(0.1)
    live.owning("one", "two")
