"""Plays per second through one worker, durable, beside rivals on the same plays, the same cores and the same broker."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from kafka import KafkaAdminClient

from streams.broker.security import kafka_python_arguments
from streams.contracts.crowds import AudienceSamples
from streams.contracts.topics import AUDIENCE_SAMPLES, PLAYS
from tests.benchmarks.machine import Cores, pin
from tests.benchmarks.positions import Group, Progress, ends_of, watch
from tests.benchmarks.prepared import Prepared
from tests.harness.live import Live, WorkerProcess

ROOT = Path(__file__).parents[2]
WORKER, FAUST, COUNTING = "bcl worker", "idiomatic Faust agent", "bare aiokafka consumer"
START_WITHIN_S = 120.0


class Run(NamedTuple):
    """Of the worker over all the plays."""

    progress: Progress
    samples: int  # published
    samples_behind_s: float  # after the last play was folded, until the samples were too


def measure(
    prepared: Prepared,
    cores: Cores,
    *,
    runs: int,
    rival_s: float,
    rivals: bool = True,
    profile: Path | None = None,
    changes: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Worker, Faust, counting; worker, Faust, counting; ... and the median of each."""
    found: dict[str, list[Progress]] = {WORKER: [], **({FAUST: [], COUNTING: []} if rivals else {})}
    worker_runs: list[Run] = []
    for n in range(runs):
        with prepared.copy(f"run-{n}", changes) as live:
            worker_runs.append(run_worker(live, prepared, cores, profile))
            found[WORKER].append(worker_runs[-1].progress)
            if rivals:
                found[FAUST].append(_run_rival(live, prepared, cores, _faust(live, prepared), rival_s))
                found[COUNTING].append(_run_rival(live, prepared, cores, _counting(live), rival_s))
    rates = {name: [progress.per_second() for progress in many] for name, many in found.items()}
    cpu = {name: median(progress.cpu_us_per_record() for progress in many) for name, many in found.items()}
    result: dict[str, Any] = {
        "plays_per_second": {name: round(median(many)) for name, many in rates.items()},
        "undisturbed_plays_per_second": {
            name: round(median(progress.undisturbed_per_second() for progress in many)) for name, many in found.items()
        },
        "cpu_us_per_play": {name: round(us, 2) for name, us in cpu.items()},
        "runs": {name: [round(rate) for rate in many] for name, many in rates.items()},
        "samples_per_play": round(median(run.samples for run in worker_runs) / prepared.sizes.plays, 3),
        "samples_behind_s": round(median(run.samples_behind_s for run in worker_runs), 2),
    }
    if rivals:
        result["worker_over_faust"] = round(median(rates[WORKER]) / median(rates[FAUST]), 2)
        result["worker_over_faust_by_cpu"] = round(cpu[FAUST] / cpu[WORKER], 2) if cpu[WORKER] else None
        result["worker_over_counting"] = round(median(rates[WORKER]) / median(rates[COUNTING]), 3)
    return result


def run_worker(live: Live, prepared: Prepared, cores: Cores, profile: Path | None = None) -> Run:
    samples = _samples(live)
    worker = start_worker(live, cores, profile)
    progress = run_to_end(live, prepared, worker)
    folded_s = time.perf_counter()
    live.drained(within_s=300, quiet_s=0.0)
    behind_s = time.perf_counter() - folded_s
    stop_worker(worker)
    return Run(progress, _samples(live) - samples, behind_s)


def run_to_end(live: Live, prepared: Prepared, worker: WorkerProcess) -> Progress:
    ends = ends_of(live.kafka, live.topics.prefix + PLAYS.name, prepared.sizes.listener_partitions)
    with closing(Group(live.kafka, f"{live.topics.prefix}bcl-listeners", ends)) as group:
        try:
            begins = group.committed()
            return watch(group, begins, ends, for_s=600, start_within_s=START_WITHIN_S, pid=worker.process.pid)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{worker.said()[-3000:]}") from error


def start_worker(live: Live, cores: Cores, profile: Path | None = None) -> WorkerProcess:
    """With a profile: the same worker, and a signal that asks every few milliseconds where it is."""
    if profile is None:
        worker = live.start("w")
    else:
        worker = live.start("w", command=("-m", "tests.benchmarks.sampled_worker"), BENCH_PROFILE=str(profile))
    pin(worker.process.pid, cores.subject)
    return worker


def stop_worker(worker: WorkerProcess) -> None:
    code = worker.stop(within_s=60)
    if code != 0:
        raise AssertionError(f"the worker ended with {code}:\n{worker.said()[-3000:]}")


def _samples(live: Live) -> int:
    return sum(
        len(samples.offsets)
        for _, _, samples in live.contracts(AUDIENCE_SAMPLES)
        if isinstance(samples, AudienceSamples)
    )


@dataclass(frozen=True)
class _Rival:
    group: str
    command: list[str]
    environment: dict[str, str]


def _faust(live: Live, prepared: Prepared) -> _Rival:
    with closing(KafkaAdminClient(**kafka_python_arguments(live.kafka))) as admin:
        partitions = {"num_partitions": prepared.sizes.song_partitions, "replication_factor": 1}
        admin.create_topics({"idiomatic-samples": partitions})
    return _Rival(
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


def _counting(live: Live) -> _Rival:
    topic = live.topics.prefix + PLAYS.name
    return _Rival("counting", ["-m", "tests.benchmarks.bare_consumer", live.kafka.brokers, topic, "counting"], {})


def _run_rival(live: Live, prepared: Prepared, cores: Cores, rival: _Rival, for_s: float) -> Progress:
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
    group = Group(live.kafka, rival.group, ends)
    try:
        progress = watch(
            group, dict.fromkeys(ends, 0), ends, for_s=for_s, start_within_s=START_WITHIN_S, pid=process.pid
        )
    except AssertionError as error:
        raise AssertionError(f"{error}\n{log.read_text(errors='replace')[-3000:]}") from error
    finally:
        process.kill()
        process.wait()
        group.close()
    said = log.read_text(errors="replace")
    if "ERROR" in said:  # an agent that crashes and starts again would look slow
        raise AssertionError(f"the rival {rival.group} does not work:\n{said[-3000:]}")
    return progress
