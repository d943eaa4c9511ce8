"""Plays wait while a release is on its way, and never for ever."""

import asyncio

import pytest

from streams.agents import precedence as module
from streams.agents.precedence import Precedence


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(module, "monotonic", lambda: now[0])
    return now


async def test_without_a_release_nobody_waits():
    await Precedence(lasts_s=60, at_most_s=60).give_way()


@pytest.mark.parametrize(
    ("lasts_s", "at_most_s"), [(0.05, 60), (60, 0.05)], ids=["the release has passed", "it has waited long enough"]
)
async def test_who_gives_way_goes_on_in_the_end(clock, lasts_s, at_most_s):
    precedence = Precedence(lasts_s, at_most_s)
    precedence.take()
    waiting = asyncio.create_task(precedence.give_way())
    await asyncio.sleep(0)
    assert not waiting.done()
    clock[0] += 0.05
    await waiting


async def test_a_release_that_follows_prolongs_the_wait(clock):
    precedence = Precedence(lasts_s=0.01, at_most_s=60)
    precedence.take()
    waiting = asyncio.create_task(precedence.give_way())
    for _ in range(10):
        clock[0] += 0.009
        precedence.take()
        await asyncio.sleep(0.02)  # who waits has woken up and looked
    assert not waiting.done()
    clock[0] += 0.01
    await waiting
