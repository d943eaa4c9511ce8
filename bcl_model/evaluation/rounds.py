"""The protocol run as a whole: every contender judged once in every split, and kept, so that a cut run goes on.

What is kept is named after all that it follows from: data, split, settings and program. So another program, other data
or other settings never meet results that are not theirs. Splits and methods may be shared out to several processes.
"""

import os
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from itertools import product
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from bcl_model.artifact import write_artifact
from bcl_model.catalogue import Catalogue
from bcl_model.evaluation.compare import Compared, Facts, Round
from bcl_model.evaluation.contenders import Contender
from bcl_model.evaluation.measures import BUDGET, Judged, judged
from bcl_model.evaluation.trial import SONG, Split, split_of, split_within

ROOT = Path(__file__).parents[1]
CHANGES_NOTHING = {"page.py", "report.py", "search.py", "model_file.py", "worlds.py"}  # what is judged stays as it is
SONGS, LISTENERS, SECONDS = "songs.", "listeners.", "seconds"

Source = Callable[[], Catalogue]  # how a process reads the data


@dataclass(frozen=True)
class Plan:
    by: tuple[str, ...] = (SONG,)
    seeds: int = 1
    share: float = 0.1
    budget: int = BUDGET
    first_seed: int = 1
    within: bool = False  # judged on the validation songs of each split: how settings are chosen

    @property
    def every_seed(self) -> range:
        return range(self.first_seed, self.first_seed + self.seeds)


@dataclass(frozen=True)
class Step:
    """One contender in one split."""

    by: str
    seed: int
    contender: Contender


@dataclass(frozen=True)
class Outcome:
    compared: dict[str, Compared]  # by the way of holding out
    seconds: dict[str, list[float]]  # contender -> of each split, to answer; what was kept counts as it was then


def run(
    source: Source,
    contenders: Sequence[Contender],
    plan: Plan,
    out: Path,
    *,
    jobs: int = 1,
    progress: Callable[[Step, float], None] = lambda step, seconds: None,
) -> Outcome:
    """`progress` hears of each step and of the seconds that its answer took, when it is done or read back."""
    bench = Bench(source, plan, out)
    steps = [Step(by, seed, one) for by, seed, one in product(plan.by, plan.every_seed, contenders)]
    found: dict[tuple[str, int, str], Judged] = {}
    seconds: dict[str, list[float]] = {one.name: [] for one in contenders}
    for step, (answer, took) in _done(bench, steps, jobs):
        found[step.by, step.seed, step.contender.name] = answer
        seconds[step.contender.name].append(took)
        progress(step, took)
    compared = {}
    for by in plan.by:
        rounds = []
        for seed in plan.every_seed:
            of_split = {one.name: found[by, seed, one.name] for one in contenders}
            rounds.append(Round(seed, Facts.of(bench.split(by, seed)), of_split))
        compared[by] = Compared(rounds)
    return Outcome(compared, seconds)


class Bench:
    """Where steps are done: the data, the split at hand, and the folder of what is kept."""

    def __init__(self, source: Source, plan: Plan, out: Path) -> None:
        self.source, self.plan, self.out = source, plan, out
        self.catalogue = source()
        self._data = _digest_of_data(self.catalogue)
        self._at_hand: tuple[tuple[str, int], Split] | None = None

    def split(self, by: str, seed: int) -> Split:
        if self._at_hand is None or self._at_hand[0] != (by, seed):
            data = self.catalogue
            split = split_of(data.contents, data.interactions, data.fields, by=by, share=self.plan.share, seed=seed)
            self._at_hand = (by, seed), split_within(split.trial) if self.plan.within else split
        return self._at_hand[1]

    def do(self, step: Step) -> tuple[Judged, float]:
        """Seconds are of the answer, training included, and not of judging it."""
        path = self._path(step)
        if kept := _read(path):
            return kept
        split = self.split(step.by, step.seed)
        started = time.perf_counter()
        answers = step.contender.answers()(split.trial)
        seconds = time.perf_counter() - started
        found = judged(split, answers, self.plan.budget)
        if answers.artifact is not None:
            write_artifact(self.out / "models" / f"{step.by}-{step.seed}" / step.contender.name, answers.artifact)
        _write(path, found, seconds)
        return _read(path) or (found, seconds)  # rounded as what is read back in a later run

    def _path(self, step: Step) -> Path:
        follows_from = (_digest_of_program(), self._data, step.contender.digest(), step.by, step.seed, self.plan.share)
        key = sha256(repr((*follows_from, self.plan.budget, self.plan.within)).encode()).hexdigest()[:12]
        return self.out / "judged" / f"{step.by}-{step.seed}-{step.contender.name}-{key}.npz"


def _done(bench: Bench, steps: Sequence[Step], jobs: int) -> Iterator[tuple[Step, tuple[Judged, float]]]:
    if jobs <= 1:
        yield from ((step, bench.do(step)) for step in steps)
        return
    context = get_context("spawn")  # a fork would inherit the threads of NumPy and torch
    there = [
        ProcessPoolExecutor(1, context, _prepare, (bench.source, bench.plan, bench.out))
        for _ in range(min(jobs, len(steps)))
    ]
    try:
        waiting = {there[n].submit(_do, step): step for n, step in shared_out(steps, len(there))}
        for done in as_completed(waiting):
            yield waiting[done], done.result()
    finally:
        for one in there:
            one.shutdown(cancel_futures=True)


def shared_out(steps: Sequence[Step], processes: int) -> Iterator[tuple[int, Step]]:
    """Whose each step is: a split is whole, as its methods share much work, but for splits too few to go round."""
    splits: dict[tuple[str, int], list[Step]] = {}
    for step in steps:
        splits.setdefault((step.by, step.seed), []).append(step)
    whole = len(splits) - len(splits) % processes
    for n, of_split in enumerate(splits.values()):
        for m, step in enumerate(of_split):
            yield (n if n < whole else m) % processes, step


_bench: Bench | None = None  # of a process that was started to help


def _prepare(source: Source, plan: Plan, out: Path) -> None:
    global _bench
    threadpool_limits(1)  # the others are there for the other cores
    _bench = Bench(source, plan, out)


def _do(step: Step) -> tuple[Judged, float]:
    assert _bench is not None, "a helping process starts with _prepare"
    return _bench.do(step)


def _write(path: Path, found: Judged, seconds: float) -> None:
    """Written aside and renamed: a result is whole or not there."""
    arrays = {SECONDS: np.array(seconds)}
    arrays |= {SONGS + name: values.astype(np.float32) for name, values in found.songs.items()}
    arrays |= {LISTENERS + name: values.astype(np.float32) for name, values in found.listeners.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{os.getpid()}.npz")
    np.savez_compressed(aside, allow_pickle=False, **arrays)
    aside.replace(path)


def _read(path: Path) -> tuple[Judged, float] | None:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
            parts = {
                start: {name[len(start) :]: kept[name].astype(np.float64) for name in kept if name.startswith(start)}
                for start in (SONGS, LISTENERS)
            }
            return Judged(parts[SONGS], parts[LISTENERS]), float(kept[SECONDS])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):  # damaged: judged again and written over
        return None


@cache
def _digest_of_program() -> str:
    """Of all code from which a result follows."""
    digest = sha256(np.__version__.encode())
    for file in sorted(ROOT.rglob("*.py")):
        if file.name not in CHANGES_NOTHING:
            digest.update(file.read_bytes())
    return digest.hexdigest()


def _digest_of_data(catalogue: Catalogue) -> str:
    digest = sha256(repr((catalogue.song_ids, catalogue.contents, catalogue.fields)).encode())
    for column in (catalogue.interactions.listeners, catalogue.interactions.songs):
        digest.update(np.ascontiguousarray(column).tobytes())
    return digest.hexdigest()
