"""What the demo says at its end: for machines one JSON object, for people two tables."""

import os
import platform
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table

from streams.demo.comparison import RULES, Comparison
from streams.demo.options import Options
from streams.demo.screen import table_of
from streams.demo.timing import Timing, percentiles
from streams.judging.judge import Estimate

COMPARED = (
    "Per release, as many listeners for every rule as the live system chose by score (arm target: without exploration, "
    "before caps, cool-down and quiet hours), from the same listeners: with an embedding, consenting, not held out, "
    "not having heard the song. Each rule knows what the live system knew when it answered: the same plays, settings, "
    "songs and neighbours. single_mean: nearest to the one mean of the neighbours' crowds; own_vector: to the song "
    "itself; weighted_count: most and newest plays of near songs; popularity: most plays. Precision is the mean true "
    "probability of an effective play; intervals are 95 % bootstraps over releases; reach is the share of the fans of "
    "each true crowd, averaged over crowds."
)


@dataclass
class Measured:
    """What a run gathers on its way."""

    timing: Timing = field(default_factory=Timing)
    seconds: dict[str, float] = field(default_factory=dict)  # of each phase
    history: int = 0  # plays
    history_per_second: float = 0.0  # published and folded
    plays: int = 0  # while songs were released, reactions to pushes among them
    plays_per_second: float = 0.0
    reactions: int = 0
    dead_letters: int = 0
    lag: int = 0  # at the end
    training: dict[str, Any] = field(default_factory=dict)
    outcomes: dict[str, dict[str, int]] = field(default_factory=dict)  # arm -> reached, effective plays, likes
    worker_exit_codes: dict[str, int] = field(default_factory=dict)
    comparison: Comparison | None = None
    kept: Path | None = None

    @property
    def targets(self) -> int:
        return sum(len(one.targets) for one in self.timing.releases)

    @property
    def suppressions(self) -> int:
        return sum(len(one.suppressed) for one in self.timing.releases)

    @property
    def is_good(self) -> bool:
        """Something came out, and every worker ended as it was told to."""
        return self.targets > 0 and not any(self.worker_exit_codes.values())


def to_json(options: Options, measured: Measured) -> dict[str, Any]:
    timing, comparison = measured.timing, measured.comparison
    return {
        "simulated": True,
        "seed": options.seed,
        "machine": machine(),
        "listeners": options.listeners,
        "songs": options.songs,
        "workers": options.workers,
        "budget": options.budget,
        "releases": len(timing.releases),
        "undecided_releases": sum(not one.is_decided for one in timing.releases),
        "targets": measured.targets,
        "suppressions": measured.suppressions,
        "suppressions_by_reason": dict(timing.reasons.most_common()),
        "dead_letters": measured.dead_letters,
        "plays": measured.plays,
        "plays_per_second": round(measured.plays_per_second, 1),
        "reactions_to_pushes": measured.reactions,
        "history": {"plays": measured.history, "plays_per_second": round(measured.history_per_second, 1)},
        "first_target_ms": percentiles(timing.first_target_ms()),
        "last_target_ms": percentiles(timing.last_target_ms()),
        "lag_at_the_end": measured.lag,
        "outcomes": measured.outcomes,
        "training": measured.training,
        "seconds": {phase: round(seconds, 1) for phase, seconds in measured.seconds.items()},
        "worker_exit_codes": measured.worker_exit_codes,
        "kept_in": str(measured.kept) if measured.kept else None,
        **(_compared(comparison) if comparison else dict.fromkeys(("precision_at_budget", "reach"))),
    }


def _compared(comparison: Comparison) -> dict[str, Any]:
    rules = comparison.rules
    return {
        "compared": COMPARED,
        "listeners_per_release": comparison.chosen,
        "precision_at_budget": {rule: _rounded(one.precision.mean) for rule, one in rules.items()},
        "precision_interval": {rule: _interval(one.precision) for rule, one in rules.items()},
        "cat_minus": {
            rival: {"mean": _rounded(one.mean), "interval": _interval(one)}
            for rival, one in comparison.cat_minus.items()
        },
        "reach": {rule: _rounded(one.reach.mean) for rule, one in rules.items()},
        "reach_interval": {rule: _interval(one.reach) for rule, one in rules.items()},
        "reach_of_the_least_reached_crowd": {rule: _rounded(one.least_reach.mean) for rule, one in rules.items()},
        "precision_of_what_was_sent": {
            arm: {"targets": sent.targets, "precision": None if sent.precision is None else _rounded(sent.precision)}
            for arm, sent in comparison.sent.items()
        },
        "answers": {"merged": comparison.answers, "same_when_computed_again": comparison.answers_again},
    }


def shown(options: Options, measured: Measured) -> RenderableType:
    parts: list[RenderableType] = [table_of(measured.timing.releases), *_figures(options, measured)]
    if measured.comparison:
        parts += [_table(measured.comparison), f"{COMPARED} All of it is of a simulated world."]
    return Group(*parts)


def printed(options: Options, measured: Measured) -> None:
    Console().print(shown(options, measured), highlight=False)


def _figures(options: Options, measured: Measured) -> list[str]:
    first, last = percentiles(measured.timing.first_target_ms()), percentiles(measured.timing.last_target_ms())
    codes = ", ".join(f"{name} {code}" for name, code in measured.worker_exit_codes.items())
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in measured.timing.reasons.most_common())
    return [
        f"{len(measured.timing.releases)} releases, {measured.targets:,} targets, {measured.suppressions:,} "
        f"suppressions ({reasons or 'none'}), {measured.dead_letters:,} dead letters",
        f"{measured.plays:,} plays meanwhile, {measured.plays_per_second:,.0f}/s, {measured.reactions:,} of them "
        f"reactions to pushes; before, {measured.history:,} of history at {measured.history_per_second:,.0f}/s",
        f"first target after {first['p50']} ms (p99 {first['p99']}), "
        f"all decided after {last['p50']} ms (p99 {last['p99']})",
        f"workers ended with {codes}; seed {options.seed}; {machine()}",
    ]


def _table(comparison: Comparison) -> Table:
    table = Table(title=f"{comparison.chosen} listeners for each of {comparison.releases} releases")
    for column in ("rule", "precision", "times random", "reach", "least reached crowd", "cat - this"):
        table.add_column(column, justify="left" if column == "rule" else "right")
    by_chance = comparison.rules["random"].precision.mean
    for rule in RULES:
        one = comparison.rules[rule]
        table.add_row(
            rule,
            str(one.precision),
            f"{one.precision.mean / by_chance:.1f}" if by_chance else "",
            str(one.reach),
            str(one.least_reach),
            str(comparison.cat_minus[rule]) if rule in comparison.cat_minus else "",
        )
    return table


def machine() -> str:
    found = re.search(r"^model name\s*:\s*(.+)$", _text("/proc/cpuinfo"), re.MULTILINE)
    memory = re.search(r"^MemTotal:\s*(\d+) kB$", _text("/proc/meminfo"), re.MULTILINE)
    size = f", {int(memory[1]) / 2**20:.0f} GiB" if memory else ""
    cpu = found[1] if found else platform.processor() or platform.machine()
    return f"{cpu}, {os.cpu_count()} cores{size}, Python {platform.python_version()}"


def _text(file: str) -> str:
    try:
        return Path(file).read_text()
    except OSError:
        return ""


def _rounded(value: float) -> float:
    return round(value, 4)


def _interval(estimate: Estimate) -> list[float]:
    return [_rounded(estimate.low), _rounded(estimate.high)]
