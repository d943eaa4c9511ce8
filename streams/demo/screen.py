"""What the demo shows while it runs: a live table on a terminal, a few plain lines elsewhere."""

import sys
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from streams.demo.timing import Followed, Timing, percentiles

LINE_EVERY_S = 10.0
SHOWN_RELEASES = 15  # the newest ones
REDRAWN_PER_S = 4


@dataclass
class Now:
    """What there is to show at this moment."""

    phase: str = ""
    detail: str = ""
    since_s: float = field(default_factory=time.monotonic)
    workers: int = 0
    plays: int = 0  # in the present phase
    lag: int = 0
    timing: Timing = field(default_factory=Timing)

    def begin(self, phase: str) -> None:
        self.phase, self.detail, self.since_s, self.plays = phase, "", time.monotonic(), 0

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.since_s


class Screen(Protocol):
    def phase(self, what: str) -> None: ...

    def refresh(self) -> None:
        """Called now and then; shows what has changed."""


class Lines:
    """A line for each phase, and one now and then."""

    def __init__(self, now: Now) -> None:
        self._now, self._said_s = now, 0.0

    def phase(self, what: str) -> None:
        self._now.begin(what)
        self._say(what)

    def refresh(self) -> None:
        if time.monotonic() - self._said_s > LINE_EVERY_S:
            self._say(f"  {facts(self._now)}")

    def _say(self, line: str) -> None:
        self._said_s = time.monotonic()
        print(f"bcl demo: {line}", file=sys.stderr, flush=True)


class Terminal:
    """The table of releases under a line of facts, drawn anew a few times each second."""

    def __init__(self, now: Now, console: Console) -> None:
        self._now = now
        self._live = Live(
            console=console, refresh_per_second=REDRAWN_PER_S, get_renderable=lambda: drawn(self._now), transient=True
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def phase(self, what: str) -> None:
        self._now.begin(what)

    def refresh(self) -> None:
        """A thread of its own draws."""


class _Still(AbstractContextManager[Screen]):
    def __init__(self, screen: Screen) -> None:
        self._screen = screen

    def __enter__(self) -> Screen:
        return self._screen

    def __exit__(self, *_: object) -> None:
        pass


def screen_for(now: Now) -> AbstractContextManager[Screen]:
    """On standard error, so that standard output holds the report alone."""
    console = Console(stderr=True)
    return Terminal(now, console) if console.is_terminal else _Still(Lines(now))


def facts(now: Now) -> str:
    releases = now.timing.releases
    parts = [f"{now.seconds:.0f} s", now.detail]
    if now.plays:
        parts.append(f"{now.plays:,} plays, {now.plays / max(now.seconds, 1e-3):,.0f}/s")
    if now.workers:
        parts.append(f"lag {now.lag:,}")
    if releases:
        first, last = percentiles(now.timing.first_target_ms()), percentiles(now.timing.last_target_ms())
        targets, suppressed = (sum(len(getattr(one, name)) for one in releases) for name in ("targets", "suppressed"))
        parts += [
            f"{len(releases)} releases",
            f"{targets:,} targets",
            f"{suppressed:,} suppressed",
            f"first {shown_ms(first['p50'])}, last {shown_ms(last['p50'])} (median)",
        ]
    return ", ".join(filter(None, parts))


def drawn(now: Now) -> RenderableType:
    heading = Text.assemble((now.phase, "bold"), f"  {facts(now)}")
    releases = now.timing.releases[-SHOWN_RELEASES:]
    return Group(heading, table_of(releases)) if releases else heading


def table_of(releases: list[Followed]) -> Table:
    table = Table()
    for column in ("release", "neighbours", "crowds", "targets", "suppressed", "first target", "last decided"):
        table.add_column(column, justify="left" if column == "release" else "right")
    for one in releases:
        table.add_row(
            one.title,
            str(one.neighbours or ""),
            str(one.crowds or ""),
            str(len(one.targets)),
            str(len(one.suppressed)),
            shown_ms(one.first_target_ms),
            shown_ms(one.last_target_ms),
        )
    return table


def shown_ms(ms: float | None) -> str:
    return "-" if ms is None else f"{ms:,.0f} ms"
