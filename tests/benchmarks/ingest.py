"""Plays per second through one worker, durable, beside rivals on the same plays, the same cores and the same broker."""

import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streams.contracts.crowds import AudienceSamples
from streams.contracts.topics import AUDIENCE_SAMPLES, PLAYS
from tests.benchmarks.machine import Cores, pin
from tests.benchmarks.positions import Group, ends_of, watch
from tests.benchmarks.prepared import Prepared
from tests.harness.live import Live, WorkerProcess

ROOT = Path(__file__).parents[2]
WORKER, FAUST, COUNTING = "bcl worker", "idiomatic Faust agent", "bare aiokafka consumer"
START_WITHIN_S = 120.0


def measure(prepared: Prepared, cores: Cores, *, runs: int, rival_s: float, profile: Path | None) -> dict[str, Any]:
    rates: dict[str, list[float]] = {WORKER: [], FAUST: [], COUNTING: []}
    samples: list[int] = []
    behind: list[float] = []
    for run in range(runs):
        with prepared.copy(f"run-{run}") as live:
            rate, sent, later_s = _worker(live, prepared, cores, profile)
            rates[WORKER].append(rate)
            samples.append(sent)
            behind.append(later_s)
            rates[FAUST].append(_rival(live, prepared, cores, _faust(live, prepared), rival_s))
            rates[COUNTING].append(_rival(live, prepared, cores, _counting(live, prepared), rival_s))
    medians = {name: statistics.median(found) for name, found in rates.items()}
    return {
        "plays_per_second": {name: round(rate) for name, rate in medians.items()},
        "runs": {name: [round(rate) for rate in found] for name, found in rates.items()},
        "worker_over_faust": round(medians[WORKER] / medians[FAUST], 2) if medians[FAUST] else None,
        "worker_over_counting": round(medians[WORKER] / medians[COUNTING], 3),
        "samples_per_play": round(statistics.median(samples) / prepared.sizes.plays, 3),
        "samples_folded_after_the_last_play_s": round(statistics.median(behind), 2),
    }


def _worker(live: Live, prepared: Prepared, cores: Cores, profile: Path | None = None) -> tuple[float, int, float]:
    """Plays per second, samples published, seconds after the last play until those were folded too."""
    ends = ends_of(live.kafka, live.topics.prefix + PLAYS.name, prepared.sizes.listener_partitions)
    group = Group(live.kafka, f"{live.topics.prefix}bcl-listeners", ends)
    begins = group.committed()
    before = _samples(live)
    worker = start_worker(live, cores, profile)
    try:
        progress = watch(
            group,
            begins,
            ends,
            for_s=600,
            start_within_s=START_WITHIN_S,
            is_alive=lambda: worker.process.poll() is None,
        )
    except AssertionError as error:
        raise AssertionError(f"{error}\n{worker.said()[-3000:]}") from error
    done_s = time.perf_counter()
    live.drained(within_s=300, quiet_s=0.0)
    later_s = time.perf_counter() - done_s
    code = worker.stop()
    assert code == 0, f"the worker ended with {code}:\n{worker.said()[-3000:]}"
    return progress.rate(), _samples(live) - before, later_s


def _samples(live: Live) -> int:
    """As the worker's own metrics would lose them with the process, they are counted in the log: columns of records."""
    return sum(
        len(samples.offsets)
        for _, _, samples in live.contracts(AUDIENCE_SAMPLES)
        if isinstance(samples, AudienceSamples)
    )


def start_worker(live: Live, cores: Cores, profile: Path | None = None) -> WorkerProcess:
    worker = live.start("w", **({"BENCH_PROFILE": str(profile)} if profile else {}))
    pin(worker.process.pid, cores.subject)
    return worker


@dataclass(frozen=True)
class Rival:
    group: str
    command: list[str]
    environment: dict[str, str]


def _faust(live: Live, prepared: Prepared) -> Rival:
    return Rival(
        "idiomatic",
        ["-m", "tests.benchmarks.idiomatic_faust", "worker", "--without-web", "-l", "warn"],
        {
            "RIVAL_BROKERS": live.kafka.brokers,
            "RIVAL_TOPIC": live.topics.prefix + PLAYS.name,
            "RIVAL_PARTITIONS": str(prepared.sizes.listener_partitions),
            "RIVAL_SONGS": str(prepared.embeddings),
            "RIVAL_DATA": str(live.folder / "faust"),
        },
    )


def _counting(live: Live, prepared: Prepared) -> Rival:
    topic = live.topics.prefix + PLAYS.name
    return Rival("counting", ["-m", "tests.benchmarks.bare_consumer", live.kafka.brokers, topic, "counting"], {})


def _rival(live: Live, prepared: Prepared, cores: Cores, rival: Rival, for_s: float) -> float:
    ends = ends_of(live.kafka, live.topics.prefix + PLAYS.name, prepared.sizes.listener_partitions)
    log = live.folder / f"{rival.group}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, *rival.command],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1", **rival.environment},
            stdout=out,
            stderr=out,
        )
    pin(process.pid, cores.subject)
    try:
        progress = watch(
            Group(live.kafka, rival.group, ends),
            dict.fromkeys(ends, 0),
            ends,
            for_s=for_s,
            start_within_s=START_WITHIN_S,
            is_alive=lambda: process.poll() is None,
        )
    except AssertionError as error:
        raise AssertionError(f"{error}\n{log.read_text(errors='replace')[-3000:]}") from error
    finally:
        process.kill()
        process.wait()
    return progress.rate()
