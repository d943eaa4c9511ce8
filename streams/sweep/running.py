"""The work of a sweep: each job is one world with some models or rules, and jobs are spread over processes."""

import multiprocessing
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TypeVar

import numpy as np
from threadpoolctl import threadpool_limits

from bcl_model.inference import SongEncoder
from bcl_model.settings import TrainSettings
from bcl_model.train import train
from streams.replay.judge import Verdict
from streams.settings import Settings
from streams.sweep.choosing import Rule, verdicts
from streams.sweep.cold import Cold
from streams.sweep.past import Past
from streams.sweep.trial import Trial
from streams.sweep.variants import seeded
from streams.world.world import World, WorldSettings

J = TypeVar("J")
R = TypeVar("R")


@dataclass(frozen=True)
class Sizes:
    """Of every world of a sweep, but for its seed and its skew."""

    world: WorldSettings
    plays: int
    budgets: tuple[int, ...]  # the first one judges models
    settings: Settings

    def seeded(self, seed: int, exponent: float | None = None) -> "Sizes":
        skew = self.world.popularity_exponent if exponent is None else exponent
        return replace(self, world=replace(self.world, seed=seed, popularity_exponent=skew))


@dataclass(frozen=True)
class ModelJob:
    """Train these models on one world and judge them on its releases."""

    sizes: Sizes
    releases: int
    models: Mapping[str, TrainSettings]

    def done(self) -> dict[str, dict[str, float]]:
        past = past_of(self.sizes)
        cold = cold_of(self.sizes, self.releases)
        return {name: _judged(past, cold, model) for name, model in self.models.items()}


@dataclass(frozen=True)
class SearchJob:
    """Train these models on one world and say how good each is on its validation songs; no release is looked at."""

    sizes: Sizes
    models: Mapping[str, TrainSettings]

    def done(self) -> dict[str, float]:
        past, seed = past_of(self.sizes), self.sizes.world.seed
        trained = {
            name: train(past.contents, past.interactions, seeded(model, seed)) for name, model in self.models.items()
        }
        return {name: float(artifact.metrics[VALIDATED]) for name, artifact in trained.items()}


@dataclass(frozen=True)
class RuleJob:
    """Train one model on one world and let the rules choose listeners for its releases."""

    sizes: Sizes
    releases: int
    model: TrainSettings
    rules: tuple[Rule, ...]

    def done(self) -> dict[tuple[str, int], list[Verdict]]:
        trial = Trial.trained(past_of(self.sizes), self.sizes.settings, seeded(self.model, self.sizes.world.seed))
        return verdicts(trial, self.releases, self.rules, self.sizes.budgets)


@dataclass(frozen=True)
class SkewJob:
    """How skewed the plays of one world are."""

    sizes: Sizes

    def done(self) -> dict[str, float]:
        return skew_of(past_of(self.sizes), self.sizes.settings.crowds.warm_at_listeners)


Job = ModelJob | SearchJob | RuleJob | SkewJob
VALIDATED = "validation_recall_at_50"


@lru_cache(maxsize=2)
def past_of(sizes: Sizes) -> Past:
    return Past(World(sizes.world), sizes.plays, sizes.settings.listening)


@lru_cache(maxsize=2)
def cold_of(sizes: Sizes, releases: int) -> Cold:
    return Cold.of(past_of(sizes), releases, sizes.budgets[0])


def _judged(past: Past, cold: Cold, model: TrainSettings) -> dict[str, float]:
    artifact = train(past.contents, past.interactions, seeded(model, past.world.settings.seed))
    return cold.judged(SongEncoder(artifact)) | {"validation": float(artifact.metrics[VALIDATED])}


def skew_of(past: Past, warm_at: int) -> dict[str, float]:
    """Of effective plays over the songs of the catalogue, and the share of songs that few have heard."""
    plays = np.sort(np.bincount(past.plays.songs, minlength=past.world.settings.songs)).astype(np.float64)
    songs = len(plays)
    gini = float(((2 * np.arange(1, songs + 1) - songs - 1) * plays).sum() / (songs * plays.sum()))
    return {
        "gini": gini,
        "plays_of_the_first_percent": float(plays[-max(1, songs // 100) :].sum() / plays.sum()),
        "songs_that_are_not_warm": float((past.listeners_of_songs < warm_at).mean()),
    }


def spread(jobs: Sequence[Job], processes: int, said: Callable[[int, int], None] | None = None) -> list[object]:
    """What each job found, in the order of the jobs; `said` hears how many of how many are done."""
    found: list[object] = [None] * len(jobs)
    if processes <= 1 or len(jobs) == 1:
        for place, job in enumerate(jobs):
            found[place] = job.done()
            if said:
                said(place + 1, len(jobs))
        return found
    fresh = multiprocessing.get_context("spawn")  # torch and a forked thread pool do not go together
    with ProcessPoolExecutor(min(processes, len(jobs)), fresh, initializer=_one_thread) as pool:
        places = {pool.submit(_done, job): place for place, job in enumerate(jobs)}
        for count, future in enumerate(as_completed(places), 1):
            found[places[future]] = future.result()
            if said:
                said(count, len(jobs))
    return found


def _done(job: Job) -> object:
    return job.done()


def _one_thread() -> None:
    threadpool_limits(1)
