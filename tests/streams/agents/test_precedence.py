"""Plays wait while a release is on its way, and never for ever."""

import asyncio

from streams.agents.precedence import Precedence


async def test_without_a_release_nobody_waits():
    await Precedence(lasts_s=60, at_most_s=60).give_way()


async def test_who_gives_way_goes_on_once_the_release_has_passed():
    precedence = Precedence(lasts_s=0.05, at_most_s=60)
    precedence.take()
    waiting = asyncio.create_task(precedence.give_way())
    await asyncio.sleep(0)
    assert not waiting.done()
    await waiting


async def test_a_stream_of_releases_holds_nobody_up_for_ever():
    precedence = Precedence(lasts_s=60, at_most_s=0.05)
    precedence.take()
    await precedence.give_way()


async def test_a_release_that_follows_prolongs_the_wait():
    precedence = Precedence(lasts_s=0.05, at_most_s=60)
    precedence.take()
    waiting = asyncio.create_task(precedence.give_way())
    for _ in range(10):
        await asyncio.sleep(0.01)
        precedence.take()
    assert not waiting.done()
    await waiting
