"""A bar that shows how far a verb has come: on a terminal, and nothing elsewhere."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def bar(steps: int, *, quiet: bool) -> Iterator[Callable[[str], None]]:
    """What is handed over is called after each step, with what is being done."""
    if quiet or not sys.stderr.isatty():
        yield lambda about: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as shown:
        task = shown.add_task("preparing", total=steps)
        yield lambda about: shown.update(task, advance=1, description=about)
