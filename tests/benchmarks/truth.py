"""Whether `bcl replay` tells the truth: simulated worlds lived through by the live stages, replayed from their logs.

For each seed a world, an encoder trained on its history, and a log of everything that the live stages said in it, in
one process without a broker, or as workers on Kafka; then `bcl replay` over that log as a process of its own. What is
asked: that every byte is said again (its exit code), and that the precision which the world knows lies in the interval
that the report prints. The world knows, of each listener who was chosen by score, with which chance they like the song;
who likes it plays it within the horizon.

A seed that has its file in the folder is not done again.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from shutil import rmtree
from typing import Any

import numpy as np

from bcl_model.inference import SongEncoder
from streams.broker.embedded import EmbeddedKafka
from streams.broker.topics import create
from streams.config import load_settings
from streams.contracts.targets import Arm
from streams.contracts.topics import HOUR_MS, PLAYS, PUSH_SUPPRESSIONS, PUSH_TARGETS
from streams.recording.files import write_log
from streams.recording.log import Log, recorded
from streams.replay.driver import exact
from streams.world.world import World, WorldSettings, listener_number
from tests.builders.kafka import kafka_settings
from tests.builders.one_worker import lived
from tests.builders.told import Told, log_of, past_of
from tests.harness.live import Live
from tests.harness.scene import artifact_of
from tests.harness.stream import Event

HORIZON_H = 24


@dataclass(frozen=True)
class Sizes:
    listeners: int
    songs: int
    plays: int  # the history, and all who like the releases
    releases: int
    budget: int = 1_000
    training_plays: int = 200_000
    training_steps: int = 60
    workers: int = 0  # on Kafka; none: the stages in one process


def measure(root: Path, folder: Path, *, sizes: Sizes, seeds: Sequence[int]) -> dict[str, Any]:
    """One after the other, each in processes of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        if not _file(folder, seed).exists():
            said = json.dumps(asdict(sizes))
            command = [sys.executable, "-m", "tests.benchmarks.truth", str(folder), str(seed), said]
            subprocess.run(command, cwd=root, check=True, stdout=sys.stderr)
    found = [json.loads(_file(folder, seed).read_text()) for seed in seeds]
    if odd := [one["seed"] for one in found if one["sizes"] != asdict(sizes)]:
        raise SystemExit(f"{folder} holds seeds {odd} of other sizes; name another folder")
    return {
        "sizes": asdict(sizes),
        "truths": found,
        "same_bytes": sum(one["same_bytes"] for one in found),
        "inside": sum(one["inside"] for one in found),
    }


def lines(result: dict[str, Any]) -> list[str]:
    sizes, found = result["sizes"], result["truths"]
    shown = [
        f"{sizes['listeners']:,} listeners, {sizes['songs']:,} songs, {sizes['plays']:,} plays, "
        f"{sizes['releases']} releases; encoder trained in {sizes['training_steps']} steps; lived through by "
        + (f"{sizes['workers']} workers on Kafka" if sizes["workers"] else "the stages in one process"),
        f"{'seed':>6}{'records said again':>20}{'differ':>8}{'precision':>11}{'95 % interval':>17}{'truth':>8}{'s':>6}",
    ]
    for one in found:
        interval = f"[{one['low']:.4f}, {one['high']:.4f}]"
        shown.append(
            f"{one['seed']:>6}{one['said']:>20,}{one['differences']:>8}{one['precision']:>11.4f}{interval:>17}"
            f"{one['true']:>8.4f}{one['took_s']:>6.0f}"
        )
    same, inside, every = result["same_bytes"], result["inside"], len(found)
    shown.append(f"the same bytes in {same} of {every} seeds, the truth within the interval in {inside} of {every}")
    return shown


def one_seed(folder: Path, seed: int, sizes: Sizes) -> None:
    begun, aside = time.perf_counter(), folder / f"seed-{seed}"
    rmtree(aside, ignore_errors=True)
    world = World(WorldSettings(listeners=sizes.listeners, songs=sizes.songs, new_songs=sizes.releases, seed=seed))
    artifact = artifact_of(world, sizes.training_plays, aside / "models", sizes.training_steps)
    settings = load_settings(environment={"BCL__MODEL__ARTIFACT": str(artifact)})
    told = _told(world, sizes)
    if sizes.workers:
        log = _lived_on_kafka(told, artifact, aside, sizes.workers)
    else:
        log = lived((Event(*one) for one in told), settings, exact(settings, SongEncoder.load(artifact))(), seed)
    plays = sum(len(log.records(PLAYS, partition)) for partition in log.partitions(PLAYS))
    true = true_precision(world, log, sizes)
    write_log(log, aside / "log")
    del log
    lived_s = time.perf_counter() - begun
    said = _replayed(aside, artifact)
    precision = said["report"]["policies"]["replayed"]["quality"]["precision"]
    found = {
        "seed": seed,
        "sizes": asdict(sizes),
        "plays": plays,
        "releases": said["report"]["releases"],
        "said": sum(said["said"].values()),
        "differences": len(said["differences"]),
        "same_bytes": said["same_bytes"],
        "precision": precision["mean"],
        "low": precision["low"],
        "high": precision["high"],
        "true": true,
        "inside": precision["low"] <= true <= precision["high"],
        "lived_s": round(lived_s, 1),
        "took_s": round(time.perf_counter() - begun, 1),
    }
    written = _file(folder, seed).with_suffix(".aside")
    written.write_text(json.dumps(found))
    written.replace(_file(folder, seed))
    rmtree(aside)
    print(json.dumps(found))


def _told(world: World, sizes: Sizes) -> list[Told]:
    everybody = world.listeners()
    fans = sum(int(world.truth_of(row, everybody).would_like.sum()) for row in world.new_rows(sizes.releases).tolist())
    if fans >= sizes.plays:
        raise SystemExit(f"{fans} plays of the releases alone, {sizes.plays} are wanted in all: more plays, or fewer")
    return log_of(
        world,
        past_of(world, sizes.plays)[-(sizes.plays - fans - 1) :],  # one more play ends the log
        releases=sizes.releases,
        budget=sizes.budget,
        every_ms=HOUR_MS,
        horizon_ms=HORIZON_H * HOUR_MS,
    )


def _lived_on_kafka(told: Sequence[Told], artifact: Path, aside: Path, workers: int) -> Log:
    """What comes before a release is folded, and what follows from a release is said, before anything else is told."""
    names = [f"w{n}" for n in range(workers)]
    with EmbeddedKafka(data=aside / "kafka", heap_mb=1024) as kafka:
        topics, seldom = load_settings(environment={}).topics, {"BCL__CHECKPOINTS__EVERY_S": "300"}
        live = Live(kafka_settings(kafka.bootstrap), topics, aside / "live", artifact, seldom)
        create(live.kafka, live.topics)
        live.keeps_all()
        try:
            live.begin(*names)
            for topic, some in groupby(told, key=lambda one: one.topic):
                live.produce(topic, ((one.key, one.value, one.time_ms) for one in some))
                live.drained(within_s=1_800, quiet_s=0.3)
            codes = live.stop_all()
            assert not any(codes.values()), f"the workers ended with {codes}"
            return recorded(live.settings())
        finally:
            live.end()


def true_precision(world: World, log: Log, sizes: Sizes) -> float:
    """Of each release the chances of those chosen by score, over the places that were not left to exploration."""
    chosen: dict[str, list[str]] = {}
    explored: dict[str, int] = {}
    for topic in (PUSH_TARGETS, PUSH_SUPPRESSIONS):
        for partition in log.partitions(topic):
            for _, one in log.contracts(topic, partition):
                if one.arm is Arm.TARGET:
                    chosen.setdefault(one.song_id, []).append(one.listener_id)
                explored[one.song_id] = explored.get(one.song_id, 0) + (one.arm is Arm.EXPLORATION)
    found = []
    for song_id, listener_ids in chosen.items():
        numbers = np.array([listener_number(one) for one in listener_ids])
        chances = world.truth_of(world.row_of(song_id), world.listeners(numbers)).probabilities
        found.append(float(chances.sum()) / (sizes.budget - explored[song_id]))
    return float(np.mean(found))


def _replayed(aside: Path, artifact: Path) -> dict[str, Any]:
    words = ["--data", str(aside / "log"), "--out", str(aside / "report"), "--horizon-h", str(HORIZON_H), "--json"]
    command = [sys.executable, "-m", "streams.cli", "replay", *words, "--set", f"model.artifact={artifact}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, stdout=subprocess.PIPE, env=environment)
    if done.returncode not in (0, 1):
        raise SystemExit(f"bcl replay ended with {done.returncode}")
    found: dict[str, Any] = json.loads(done.stdout)
    if found["same_bytes"] != (done.returncode == 0):
        raise SystemExit(f"bcl replay ended with {done.returncode} and says same_bytes {found['same_bytes']}")
    return found


def _file(folder: Path, seed: int) -> Path:
    return folder / f"seed-{seed}.json"


if __name__ == "__main__":
    _folder, _seed, _sizes = sys.argv[1:]
    one_seed(Path(_folder), int(_seed), Sizes(**json.loads(_sizes)))
