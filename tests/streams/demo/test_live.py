import asyncio

import pytest

from streams.demo.live import _background
from streams.demo.workers import WorkerEnded


async def test_the_first_error_of_what_runs_beside_ends_the_block_as_itself():
    async def looks() -> None:
        raise WorkerEnded("worker-0 ended with code 1")

    with pytest.raises(WorkerEnded, match="code 1"):
        async with _background() as start:
            start(looks())
            await asyncio.sleep(60)


async def test_what_runs_beside_ends_with_the_block():
    ended = []

    async def runs() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("yes")

    async with _background() as start:
        start(runs())
        await asyncio.sleep(0)
    assert ended == ["yes"]
