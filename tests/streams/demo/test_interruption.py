import asyncio
import os
import signal

import pytest

from streams.demo.interruption import Interrupted, Interruption


def tell(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_what_is_under_way_and_gives_the_shells_exit_code(number):
    with Interruption(), pytest.raises(Interrupted) as ended:
        tell(number)
        pytest.fail("the signal was not heard")
    assert ended.value.exit_code == 128 + number


def test_a_coroutine_is_cancelled_so_that_it_can_clean_up():
    cleaned = []

    async def working() -> None:
        try:
            tell(signal.SIGTERM)
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            cleaned.append("up")

    with Interruption() as interruption, pytest.raises(Interrupted):
        interruption.run(working())
    assert cleaned == ["up"]


def test_what_a_coroutine_returns_or_raises_comes_through():
    async def answer() -> int:
        return 42

    async def fails() -> None:
        raise ValueError("wrong")

    with Interruption() as interruption:
        assert interruption.run(answer()) == 42
        with pytest.raises(ValueError, match="wrong"):
            interruption.run(fails())


def test_clean_up_is_not_disturbed_neither_by_a_second_signal_nor_by_a_first():
    with Interruption() as interruption:
        with pytest.raises(Interrupted):
            tell(signal.SIGINT)
        tell(signal.SIGINT)
    with Interruption() as interruption:
        interruption.ignore()
        tell(signal.SIGTERM)


def test_afterwards_signals_mean_what_they_meant_before():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with Interruption():
        pass
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
