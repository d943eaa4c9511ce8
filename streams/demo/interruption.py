"""Ctrl-C and SIGTERM: they end whatever is under way, once; cleaning up is not disturbed by a second one."""

import asyncio
import signal
from collections.abc import Coroutine
from types import FrameType, TracebackType
from typing import Any, Self, TypeVar

Result = TypeVar("Result")

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Interrupted(KeyboardInterrupt):
    """Somebody wants the demo to end."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


class Interruption:
    """Code that waits for nobody is left by an exception; a coroutine is cancelled, and then left by the same one."""

    def __init__(self) -> None:
        self._number = 0
        self._is_over = False
        self._task: tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]] | None = None

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._hear) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def ignore(self) -> None:
        """From now on: what follows is clean-up."""
        self._is_over = True

    def run(self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        try:
            return asyncio.run(self._interruptible(coroutine))
        except asyncio.CancelledError:
            raise Interrupted(self._number) from None

    async def _interruptible(self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        task = asyncio.current_task()
        assert task is not None
        self._task = asyncio.get_running_loop(), task
        try:
            return await coroutine
        finally:
            self._task = None

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self._number or self._is_over:
            return
        self._number = number
        if self._task is None:
            raise Interrupted(number)
        loop, task = self._task
        loop.call_soon_threadsafe(task.cancel)
