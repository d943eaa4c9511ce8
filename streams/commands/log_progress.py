"""A bar over the records of a log: how many a second, how long still, and how much faster than they were made."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from streams.recording.noted import Noted, unnoticed


@contextmanager
def shown(*, quiet: bool) -> Iterator[Noted]:
    """On a terminal, and nothing elsewhere."""
    if quiet or not sys.stderr.isatty():
        yield unnoticed
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task, begun = progress.add_task("", total=None), time.monotonic()

        def noted(done: int, wanted: int, recorded_ms: int = 0) -> None:
            told = pace(done, recorded_ms, time.monotonic() - begun)
            progress.update(task, completed=done, total=wanted, description=told)

        yield noted


def pace(records: int, recorded_ms: int, took_s: float) -> str:
    """The time that was recorded is told where there is one."""
    if took_s <= 0:
        return ""
    rate = f"{records / took_s:,.0f} a second"
    return f"{rate}, {recorded_ms / 1_000 / took_s:,.0f} times as fast as recorded" if recorded_ms else rate
