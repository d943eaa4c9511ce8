"""Carries the studies out: makes the jobs, lets them be done, and lays what was found in order."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from bcl_model.settings import TrainSettings
from streams.sweep.rules import TARGETING_STUDIES
from streams.sweep.running import Bench, Job, ModelJob, Row, RuleJob, SearchJob, SkewJob, of_rule, spread
from streams.sweep.samples import Samples
from streams.sweep.sources import Simulated
from streams.sweep.variants import MODEL_STUDIES, Variants, candidates, methods

SKEW = "skew"
STUDIES = (*TARGETING_STUDIES, *MODEL_STUDIES, SKEW)
SEARCH_SEED = 1_000_003  # worlds of the search are never those of the comparison

Places: TypeAlias = dict[str, Samples]  # budget, or skew, or nothing -> what was measured there


@dataclass(frozen=True)
class Sweep:
    """What is asked for."""

    bench: Bench
    model: TrainSettings
    studies: tuple[str, ...]
    seeds: int = 5  # worlds or splits, each with models of its own
    releases: int = 30  # of each world, for which rules choose
    unheard: int = 200  # releases of each world by which a model is judged
    trials: int = 4  # settings tried for each method at each skew
    exponents: tuple[float, ...] = (0.6, 1.22, 1.8)

    @property
    def benches(self) -> list[Bench]:
        first = self.bench.source.seed
        return [replace(self.bench, source=self.bench.source.seeded(first + n)) for n in range(self.seeds)]


@dataclass(frozen=True)
class Level:
    """One skew of the plays."""

    exponent: float
    skew: Row  # means over worlds: Gini and others
    chosen: Mapping[str, TrainSettings]
    searched: Mapping[str, Sequence[float]]  # method -> validation recall of every candidate


@dataclass(frozen=True)
class Found:
    sweep: Sweep
    studies: Mapping[str, Places]
    levels: Mapping[str, Level]  # place of the study of skew -> what is known of it


class Carrier:
    """Has jobs done, and says how many of how many."""

    def __init__(self, sweep: Sweep, kept: Path, processes: int, said: Callable[[str], None]) -> None:
        self.sweep, self._kept, self._processes, self._said = sweep, kept, processes, said

    def found(self) -> Found:
        asked = self.sweep.studies
        studies: dict[str, Places] = self._targeting([study for study in TARGETING_STUDIES if study in asked])
        for study, variants in MODEL_STUDIES.items():
            if study in asked:
                studies[study] = {"": self._models(self.sweep.benches, variants(self.sweep.model), study)}
        levels: dict[str, Level] = {}
        if SKEW in asked:
            studies[SKEW] = {}
            for exponent in self.sweep.exponents:
                studies[SKEW][place_of(exponent)], levels[place_of(exponent)] = self._level(exponent)
        return Found(self.sweep, studies, levels)

    def _targeting(self, studies: Sequence[str]) -> dict[str, Places]:
        """World by world, so that a world's model is trained once for all studies."""
        sweep = self.sweep
        rules = {study: tuple(TARGETING_STUDIES[study](sweep.bench.settings)) for study in studies}
        jobs = [
            RuleJob(bench, sweep.releases, sweep.model, rules[study]) for bench in sweep.benches for study in studies
        ]
        found = self._spread(jobs, "rules")
        return {
            study: {
                f"{budget} targets": self._samples(
                    {
                        rule.name: [rows[of_rule(rule.name, budget)] for rows in found[n :: len(studies)]]
                        for rule in rules[study]
                    }
                )
                for budget in sweep.bench.budgets
            }
            for n, study in enumerate(studies)
        }

    def _models(self, benches: Sequence[Bench], variants: Variants, name: str) -> Samples:
        jobs = [ModelJob(bench, self.sweep.unheard, model) for bench in benches for model in variants.values()]
        found = [rows[""] for rows in self._spread(jobs, name)]
        return self._samples({variant: found[n :: len(variants)] for n, variant in enumerate(variants)})

    def _level(self, exponent: float) -> tuple[Samples, Level]:
        """Each method is tuned on one world apart, with as many trials, then all are compared on the others."""
        name, sweep = place_of(exponent), self.sweep
        benches = [_skewed(bench, exponent) for bench in sweep.benches]
        apart = replace(benches[0], source=benches[0].source.seeded(SEARCH_SEED))
        tried = {method: candidates(model, sweep.trials, seed=0) for method, model in methods(sweep.model).items()}
        rows = self._spread([SearchJob(apart, model) for of in tried.values() for model in of], f"{name}, search")
        values = iter(row[""]["validation"] for row in rows)
        searched = {method: [next(values) for _ in models] for method, models in tried.items()}
        chosen = {method: tried[method][int(np.argmax(searched[method]))] for method in tried}
        skews = [row[""] for row in self._spread([SkewJob(bench) for bench in benches], name)]
        skew = {key: float(np.mean([one[key] for one in skews])) for key in skews[0]}
        return self._models(benches, chosen, name), Level(exponent, skew, chosen, searched)

    def _samples(self, found: Mapping[str, Sequence[Row]]) -> Samples:
        """Of what was measured everywhere."""
        every = [row for rows in found.values() for row in rows]
        measures = [measure for measure in every[0] if all(measure in row for row in every)]
        return Samples(
            self.sweep.bench.source.unit,
            {name: {measure: [row[measure] for row in rows] for measure in measures} for name, rows in found.items()},
        )

    def _spread(self, jobs: Sequence[Job], name: str) -> list[Any]:
        return spread(jobs, self._kept, self._processes, lambda: self._said(name))


def place_of(exponent: float) -> str:
    return f"exponent {exponent:g}"


def jobs_of(sweep: Sweep) -> int:
    """How many there are to do, for the bar."""
    count = sweep.seeds * sum(study in sweep.studies for study in TARGETING_STUDIES)
    for study, variants in MODEL_STUDIES.items():
        count += sweep.seeds * len(variants(sweep.model)) * (study in sweep.studies)
    of_level = len(methods(sweep.model)) * (sweep.trials + sweep.seeds) + sweep.seeds
    return count + len(sweep.exponents) * of_level * (SKEW in sweep.studies)


def _skewed(bench: Bench, exponent: float) -> Bench:
    if not isinstance(bench.source, Simulated):
        raise ValueError("only a simulated world can be skewed")
    return replace(bench, source=bench.source.skewed(exponent))
