"""The protocol over worlds that differ in one number: for each of its values, every seed is a world and a split."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bcl_model.evaluation.compare import Compared, Estimate, Round
from bcl_model.evaluation.contenders import Contender
from bcl_model.evaluation.rounds import Outcome, Plan, Source, Step, run

UNITS_OF_A_WORLD = 1 << 32  # artists of two worlds are not the same, whatever their numbers


def run_worlds(
    source_of: Callable[[float, int], Source],
    values: Sequence[float],
    contenders: Sequence[Contender],
    plan: Plan,
    out: Path,
    *,
    jobs: int = 1,
    progress: Callable[[Step, float], None] = lambda step, seconds: None,
) -> Outcome:
    """Ways of holding out are named after their value too, as `way_of` does it."""
    rounds: dict[str, list[Round]] = {}
    seconds: dict[str, list[float]] = {one.name: [] for one in contenders}
    for value in values:
        for seed in plan.every_seed:
            of_world = replace(plan, seeds=1, first_seed=seed)
            outcome = run(source_of(value, seed), contenders, of_world, out, jobs=jobs, progress=progress)
            for by, compared in outcome.compared.items():
                rounds.setdefault(way_of(by, value), []).append(_apart(compared.rounds[0]))
            for name, took in outcome.seconds.items():
                seconds[name] += took
    return Outcome({way: Compared(of) for way, of in rounds.items()}, seconds)


def way_of(by: str, value: float) -> str:
    return f"{by}, power law {value:g}"


def gaps(outcome: Outcome, plan: Plan, values: Sequence[float], main: str) -> dict[str, Any]:
    """By how much `main` is better than each other method: way -> measure -> rival -> one estimate for each value."""
    found: dict[str, Any] = {}
    for by in plan.by:
        of_values = [outcome.compared[way_of(by, value)] for value in values]
        rivals = [name for name in of_values[0].methods if name != main]
        found[by] = {
            measure: {rival: [_gap(one, main, rival, measure) for one in of_values] for rival in rivals}
            for measure in of_values[0].measures
        }
    return {"values": list(values), "by": found}


def _gap(compared: Compared, main: str, rival: str, measure: str) -> Mapping[str, float]:
    own, other = compared.values(main, measure), compared.values(rival, measure)
    gap = Estimate.of([a - b for a, b in zip(own, other, strict=True)])
    return {"mean": gap.mean, "low": gap.low, "high": gap.high}


def _apart(one: Round) -> Round:
    """A round of a world of its own: no song of it is in another one."""
    facts = replace(one.facts, unit=one.facts.unit + one.seed * UNITS_OF_A_WORLD, overlap=0.0)
    return replace(one, facts=facts)
