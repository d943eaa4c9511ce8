"""The search for settings: so many trials for each method, the same for all, judged where nothing is compared later.

    a catalogue    on the validation songs of its splits
    worlds         on worlds apart: no seed of a comparison comes near theirs

Trial 0 is the settings as they are given. The others are drawn, each setting from what its method's space names, and
trial n of every method draws the same value of a setting that they share: none is offered a better chance.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from math import prod
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from bcl_model.errors import BadModelSettings
from bcl_model.evaluation.contenders import Contender
from bcl_model.evaluation.measures import BUDGET, LISTENER_TO_SONGS, SONG_TO_SONGS, song_to_listeners
from bcl_model.evaluation.rounds import Outcome, Plan, Source, Step, run
from bcl_model.evaluation.worlds import run_worlds
from bcl_model.rivals import Space

FIRST_APART = 1_000_003  # seed of the first world of a search

Judge: TypeAlias = Callable[[Sequence[Contender]], Outcome]
Heard: TypeAlias = Callable[[Step, float], None]


@dataclass(frozen=True)
class Tried:
    contender: Contender
    score: float  # mean over the ways of holding out, and over seeds
    by: Mapping[str, float]  # way of holding out -> score
    seconds: float  # all its answers


@dataclass(frozen=True)
class Found:
    """What became of the trials of one method, in their order."""

    name: str
    tried: Sequence[Tried]

    @property
    def best(self) -> Tried:
        """The first of equal ones: what was given stays unless something is better."""
        return max(self.tried, key=lambda one: one.score)

    @property
    def given(self) -> Tried:
        return self.tried[0]


def on_validation_songs(
    source: Source, plan: Plan, out: Path, *, jobs: int = 1, progress: Heard = lambda step, seconds: None
) -> Judge:
    """What is kept in `out` is not tried again."""
    within = replace(plan, within=True)
    return lambda tries: run(source, tries, within, out, jobs=jobs, progress=progress)


def on_worlds_apart(
    source_of: Callable[[float, int], Source],
    values: Sequence[float],
    plan: Plan,
    out: Path,
    *,
    jobs: int = 1,
    progress: Heard = lambda step, seconds: None,
) -> Judge:
    apart = replace(plan, first_seed=FIRST_APART)
    return lambda tries: run_worlds(source_of, values, tries, apart, out, jobs=jobs, progress=progress)


def search(
    judge: Judge,
    methods: Sequence[Contender],
    *,
    measure: str,
    budget: int = BUDGET,
    trials: int,
    seed: int = 1,
    vary: Sequence[str] = (),
) -> list[Found]:
    """`vary` names the settings that are tried, all of a method's space where it is empty."""
    known = (*SONG_TO_SONGS, *song_to_listeners(budget), *LISTENER_TO_SONGS)
    if measure not in known:
        raise BadModelSettings(f"there is no measure {measure!r}; there are {', '.join(known)}")
    tries = {one.name: candidates(one, trials, seed, vary) for one in methods}
    outcome = judge([one for of in tries.values() for one in of])

    def tried(one: Contender) -> Tried:
        by = {way: float(np.mean(of.values(one.name, measure))) for way, of in outcome.compared.items()}
        return Tried(one, float(np.mean(list(by.values()))), by, sum(outcome.seconds[one.name]))

    return [Found(name, [tried(one) for one in of]) for name, of in tries.items()]


def candidates(method: Contender, trials: int, seed: int, vary: Sequence[str] = ()) -> list[Contender]:
    """As many different ones as are wanted, or as the space has."""
    space = method.rival.space_of(method.table)
    if unknown := sorted(set(vary) - set(method.rival.space)):
        known = ", ".join(method.rival.space) or "none"
        raise BadModelSettings(f"{method.name}: a search knows nothing of {', '.join(unknown)}; it varies {known}")
    space = {key: values for key, values in space.items() if not vary or key in vary}
    found, seen = [replace(method, name=f"{method.name}-0")], {method.digest()}
    possible = prod(len(values) for values in space.values()) if space else 0
    drawn: set[tuple[Any, ...]] = set()
    for n in count(1):
        if len(found) >= trials or len(drawn) >= possible:
            return found
        values = draw(space, seed, n)
        drawn.add(tuple(values.values()))
        one = replace(method, name=f"{method.name}-{len(found)}", table=with_values(method.table, values))
        if one.digest() not in seen:
            seen.add(one.digest())
            found.append(one)
    raise AssertionError("count() does not end")


def draw(space: Space, seed: int, trial: int) -> dict[str, Any]:
    """Each setting on its own, so that it does not matter what else a method has."""
    return {
        key: values[int(np.random.default_rng([seed, trial, *key.encode()]).integers(len(values)))]
        for key, values in space.items()
    }


def with_values(table: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The same table with some settings changed; "ranking.temperature" is in the section ranking."""
    changed = {key: dict(value) if isinstance(value, Mapping) else value for key, value in table.items()}
    for key, value in values.items():
        *section, name = key.split(".")
        place = changed
        for part in section:
            place = place.setdefault(part, {})
        place[name] = value
    return changed
