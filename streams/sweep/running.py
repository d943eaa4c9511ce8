"""The work of a sweep: each job is one world, or split, with one model, and what is asked of it.

What a job found is kept in a file that is named after all it follows from, so a sweep that was cut goes on, and studies
that ask the same share the answer. Jobs may be spread over processes.
"""

import json
import multiprocessing
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache, lru_cache
from hashlib import sha256
from pathlib import Path
from typing import TypeAlias

import numpy as np
from threadpoolctl import threadpool_limits

import bcl_model
import streams
from bcl_model.artifact import Artifact
from bcl_model.inference import SongEncoder
from bcl_model.settings import TrainSettings
from bcl_model.train import train
from streams.settings import Settings
from streams.sweep.choosing import Rule, verdicts
from streams.sweep.cold import Cold
from streams.sweep.past import Past
from streams.sweep.sources import Fresh, Source
from streams.sweep.trial import Trial
from streams.sweep.variants import seeded

Row: TypeAlias = Mapping[str, float]  # measure -> value
Rows: TypeAlias = Mapping[str, Row]

VALIDATED = "validation_recall_at_50"
PROGRAM = ("sweep/*.py", "world/*.py", "audience/*.py", "judging/judge.py", "replay/rivals.py", "contracts/*.py")
TELLS_ONLY = {"figures.py", "findings.py", "report.py", "samples.py", "studies.py"}  # a change of these changes no job


@dataclass(frozen=True)
class Bench:
    """Where the past comes from, and the rules of the live system."""

    source: Source
    settings: Settings
    budgets: tuple[int, ...]  # the first one judges models


@dataclass(frozen=True)
class ModelJob:
    """Train this model and judge it on releases."""

    bench: Bench
    releases: int
    model: TrainSettings

    def done(self) -> Rows:
        artifact = trained(self.bench, self.model)
        judged = _cold(self.bench, self.releases).judged(SongEncoder(artifact))
        return {"": judged | {"validation": float(artifact.metrics[VALIDATED])}}


@dataclass(frozen=True)
class SearchJob:
    """Train this model and say how good it is on its validation songs; no release is looked at."""

    bench: Bench
    model: TrainSettings

    def done(self) -> Rows:
        return {"": {"validation": float(trained(self.bench, self.model).metrics[VALIDATED])}}


@dataclass(frozen=True)
class RuleJob:
    """Train this model and let the rules choose listeners for releases; means over the releases."""

    bench: Bench
    releases: int
    model: TrainSettings
    rules: tuple[Rule, ...]

    def done(self) -> Rows:
        trial = _trial(self.bench, self.model)
        found = verdicts(trial, _fresh(self.bench.source, self.releases), self.rules, self.bench.budgets)
        return {
            of_rule(name, budget): {
                "precision": float(np.mean([one.precision for one in every])),
                "reach": float(np.mean([one.mean_reach for one in every])),
                "least_reach": float(np.mean([one.least_reach for one in every])),
            }
            for (name, budget), every in found.items()
        }


@dataclass(frozen=True)
class SkewJob:
    """How skewed the plays are."""

    bench: Bench

    def done(self) -> Rows:
        return {"": skew_of(_past(self.bench), self.bench.settings.crowds.warm_at_listeners)}


Job = ModelJob | SearchJob | RuleJob | SkewJob


def of_rule(name: str, budget: int) -> str:
    return f"{name} @{budget}"


def trained(bench: Bench, model: TrainSettings) -> Artifact:
    past = _past(bench)
    return train(past.songs.contents, past.interactions, seeded(model, bench.source.seed), past.songs.fields)


@lru_cache(maxsize=2)
def _past(bench: Bench) -> Past:
    return bench.source.past(bench.settings.listening)


@lru_cache(maxsize=2)
def _fresh(source: Source, releases: int) -> list[Fresh]:
    return source.fresh(releases)


@lru_cache(maxsize=2)
def _cold(bench: Bench, releases: int) -> Cold:
    return Cold.of(_past(bench), _fresh(bench.source, releases), bench.budgets[0])


@lru_cache(maxsize=1)
def _trial(bench: Bench, model: TrainSettings) -> Trial:
    return Trial(_past(bench), SongEncoder(trained(bench, model)), bench.settings)


def skew_of(past: Past, warm_at: int) -> dict[str, float]:
    """Of effective plays over the songs of the catalogue, and the share of songs that few have heard."""
    plays = np.sort(np.bincount(past.plays.songs, minlength=len(past.songs))).astype(np.float64)
    songs = len(plays)
    gini = float(((2 * np.arange(1, songs + 1) - songs - 1) * plays).sum() / (songs * plays.sum()))
    return {
        "gini": gini,
        "plays_of_the_first_percent": float(plays[-max(1, songs // 100) :].sum() / plays.sum()),
        "songs_that_are_not_warm": float((past.listeners_of_songs < warm_at).mean()),
    }


def spread(jobs: Sequence[Job], kept: Path, processes: int, said: Callable[[], None] = lambda: None) -> list[Rows]:
    """What each job found, in the order of the jobs; `said` hears of each that is done or was."""
    processes = min(processes, len(jobs))
    if processes <= 1:
        found = []
        for job in jobs:
            found.append(_found(job, kept))
            said()
        return found
    fresh = multiprocessing.get_context("spawn")  # torch and a forked thread pool do not go together
    pool = ProcessPoolExecutor(processes, fresh, initializer=threadpool_limits, initargs=(1,))
    try:
        waiting = [pool.submit(_found, job, kept) for job in jobs]
        for _ in as_completed(waiting):
            said()
        return [one.result() for one in waiting]
    finally:
        pool.shutdown(cancel_futures=True)


def _found(job: Job, kept: Path) -> Rows:
    path = kept / f"{type(job).__name__}-{job.bench.source.seed}-{_digest(job)}.json"
    try:
        rows: Rows = json.loads(path.read_bytes())
    except (OSError, ValueError):  # not there, or damaged: done and written over
        rows = job.done()
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f".{os.getpid()}.json")
        aside.write_text(json.dumps(rows), "utf-8")
        aside.replace(path)
    return rows


def _digest(job: Job) -> str:
    return sha256(f"{_digest_of_program()} {job!r}".encode()).hexdigest()[:16]


@cache
def _digest_of_program() -> str:
    """Of all code from which a result follows."""
    digest = sha256(np.__version__.encode())
    for package, patterns in ((bcl_model, ("*.py",)), (streams, PROGRAM)):
        root = Path(str(package.__file__)).parent
        for path in sorted(path for pattern in patterns for path in root.glob(pattern)):
            if path.name not in TELLS_ONLY:
                digest.update(path.read_bytes())
    return digest.hexdigest()
