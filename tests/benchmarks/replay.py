"""Plays per second and core of a replay from a columnar log, with and without releases between them; memory.

One process writes a simulated day as parquet, another one replays it. The encoder is untrained: what an embedding is
worth changes no time. A rate is from the end of the first block of plays to the end of the last, by CPU time, so that
neither the catalogue nor what else the machine does is in it; with releases, these are. Crowds are folded where a
release asks for them, here as in every replay: where there is no release, only until a song is warm.
"""

import json
import os
import re
import resource
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from streams.catalogue.content import content_of
from streams.config import load_settings
from streams.contracts.codec import encode
from streams.contracts.messages import Message
from streams.contracts.partitions import partition_of
from streams.contracts.releases import Release
from streams.contracts.topics import DAY_MS, PLAYS, SONG_RELEASES
from streams.recording.files import write_lines
from streams.recording.log import Logged
from streams.recording.parquet_log import write_plays
from streams.recording.played import Played, Tables
from streams.replay.choices import Fixed, Heard
from streams.replay.lanes import Contestant
from streams.replay.merged import MergedReplay
from streams.replay.timeline import Timeline
from streams.world.listeners import MARKET_NAMES
from streams.world.plays import Playing
from streams.world.world import World, WorldSettings, listener_id
from tests.builders.catalogue import untrained_encoder

DIMENSION = 64
DESCRIBED = 2_000  # songs from which the encoder knows its fields
WRITTEN_AT_ONCE = 1_000_000


def measure(
    root: Path, folder: Path, *, plays: list[int], releases: int, listeners: int, songs: int, seed: int, workers: int
) -> dict[str, Any]:
    """By number of plays: without releases, and with them."""
    found: dict[str, Any] = {}
    for count in plays:
        where = folder / "-".join(map(str, (count, releases, listeners, songs, seed)))
        if not where.exists():
            aside = where.with_suffix(".aside")
            shutil.rmtree(aside, ignore_errors=True)
            _alone(root, "write", str(aside), str(count), str(releases), str(listeners), str(songs), str(seed))
            aside.rename(where)
        mib = sum(file.stat().st_size for file in where.rglob("*.parquet")) / 2**20
        runs = {
            name: _alone(root, "run", str(where), str(decided), str(songs), str(seed), str(workers))
            for name, decided in (("alone", 0), (f"with {releases} releases", releases))
        }
        found[str(count)] = {"parquet_mib": round(mib), **runs}
    return {"replays": found, "workers": workers}


def lines(result: dict[str, Any]) -> list[str]:
    columns = ("plays_per_second", "plays_per_cpu_second", "cpu_us_per_play", "wall_s", "peak_mib")
    live_us, per_second = result.get("live_cpu_us_per_play"), result.get("live_plays_per_second")
    shown = [f"{'':36}" + "".join(f"{name.replace('_', ' '):>22}" for name in columns)]
    if live_us is not None:
        shown.append(f"{'live worker':36}{per_second:>22,}{round(1e6 / live_us):>22,}{live_us:>22,}")
    for count, runs in result["replays"].items():
        for name, run in runs.items():
            if isinstance(run, dict):
                label = f"{int(count):,} plays, {name}"
                shown.append(f"{label:36}" + "".join(f"{run[column]:>22,}" for column in columns))
                if live_us is not None:
                    shown[-1] += f"   {live_us / run['cpu_us_per_play']:.1f} times the worker by CPU time"
                    shown[-1] += f", {run['plays_per_second'] / per_second:.1f} by the clock"
    return shown


def _alone(root: Path, what: str, *arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.benchmarks.replay", what, *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=root, check=True, stdout=subprocess.PIPE, env=environment)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


# -- the log


def write(folder: Path, plays: int, releases: int, listeners: int, songs: int, seed: int) -> dict[str, Any]:
    """Parquet, a file of each partition and million plays; the songs as lines, the new ones spread over the day."""
    partitions = load_settings(environment={}).topics.listener_partitions
    world = World(WorldSettings(listeners=listeners, songs=songs, new_songs=max(releases, 1), seed=seed))
    tables = Tables()
    tables.listeners.numbers(map(listener_id, range(listeners)))
    tables.songs.numbers(world.catalogue.ids)
    tables.markets.numbers(MARKET_NAMES)
    shard = np.array([partition_of(name.encode(), partitions) for name in tables.listeners.all])
    start_ms, offsets = world.settings.start_ms, np.zeros(partitions, np.int64)
    waiting: list[Any] = []
    playing = Playing(world, world.new_rows(max(releases, 1)))
    for block in playing.plays(start_ms, plays, plays / (DAY_MS / 1_000)):
        waiting.append(block)
        if sum(map(len, waiting)) >= WRITTEN_AT_ONCE:
            _write_part(folder, waiting, tables, shard, offsets)
            waiting = []
    if waiting:
        _write_part(folder, waiting, tables, shard, offsets)
    old = [_told(song, song.released_ms - 100 * DAY_MS, start_ms - 1) for song in world.songs()]
    every_ms = DAY_MS // (releases + 1)
    fresh = [
        _told(song, at_ms, at_ms)
        for song, at_ms in zip(
            world.new_releases(releases), (start_ms + every_ms * (n + 1) for n in range(releases)), strict=True
        )
    ]
    for name, some, first in (("catalogue", old, 0), ("new", fresh, len(old))):
        records = [Logged(first + n, at_ms, key, value) for n, (at_ms, key, value) in enumerate(some)]
        write_lines(folder / f"{name}.jsonl", SONG_RELEASES, 0, records)
    return {}


def _told(song: Release, released_ms: int, at_ms: int) -> tuple[int, bytes, bytes]:
    song = msgspec.structs.replace(song, released_ms=released_ms)
    return at_ms, song.song_id.encode(), msgspec.json.encode(song)


def _write_part(folder: Path, blocks: list[Any], tables: Tables, shard: Any, offsets: Any) -> None:
    def joined(name: str) -> Any:
        return np.concatenate([getattr(block, name) for block in blocks])

    listeners, played_ms = joined("listeners").astype(np.int64), joined("played_ms").astype(np.int64)
    of = shard[listeners]
    for partition in range(len(offsets)):
        rows = np.flatnonzero(of == partition)
        plays = Played(
            listeners=listeners[rows],
            songs=joined("songs")[rows].astype(np.int64),
            played_ms=played_ms[rows],
            listened_ms=joined("listened_ms")[rows].astype(np.int64),
            song_ms=joined("song_ms")[rows].astype(np.int64),
            liked=joined("liked")[rows],
            markets=joined("markets")[rows].astype(np.int64),
            answers_a_push=np.zeros(len(rows), np.bool_),
            times_ms=played_ms[rows],
            partitions=np.full(len(rows), partition),
            offsets=offsets[partition] + np.arange(len(rows)),
        )
        write_plays(folder / PLAYS.name / f"{partition}-{offsets[partition]:020}.parquet", partition, plays, tables)
        offsets[partition] += len(rows)


# -- the replay


class _Watch:
    """A court that keeps nothing, and looks at the clock."""

    def __init__(self) -> None:
        self.marks: list[tuple[int, float, float]] = []
        self._said = blake2b(digest_size=8)

    def fixed(self, release: Fixed) -> None:
        pass

    def plays(self, block: Heard) -> None:
        pass

    def said(self, policy: str, messages: Any) -> None:
        for message in messages:
            assert isinstance(message, Message)
            self._said.update(encode(message)[1] or b"")

    def noted(self, done: int, wanted: int, recorded_ms: int = 0) -> None:
        self.marks.append((done, time.process_time(), time.perf_counter()))

    @property
    def digest(self) -> str:
        return self._said.hexdigest()


def run(folder: Path, releases: int, songs: int, seed: int, workers: int) -> dict[str, Any]:
    settings = load_settings(environment={})
    world = World(WorldSettings(listeners=1_000, songs=songs, seed=seed))
    encoder = untrained_encoder(
        *map(content_of, (song for _, song in zip(range(DESCRIBED), world.songs(), strict=False))), dimension=DIMENSION
    )
    timeline, _ = Timeline.read(folder, settings.contracts)
    if not releases:
        told = [one for one in timeline.told if one.record.timestamp < timeline.span_ms[0] + 1]
        timeline = Timeline(timeline.tables, timeline.plays, told, timeline.span_ms, timeline.play_records)
    watch = _Watch()
    replay = MergedReplay(
        [Contestant("replay", settings, encoder)], timeline, watch, said=watch.said, noted=watch.noted, workers=workers
    )
    begun = time.perf_counter()
    replay.run()
    wall_s = time.perf_counter() - begun
    (first, cpu_at_first, wall_at_first), (last, cpu, wall) = watch.marks[0], watch.marks[-1]
    if workers > 1:  # what the processes take is told when they are gone
        cpu_s = cpu - cpu_at_first + resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    else:
        cpu_s = cpu - cpu_at_first
    return {
        "plays_per_cpu_second": round((last - first) / cpu_s),
        "cpu_us_per_play": round(1e6 * cpu_s / (last - first), 2),
        "plays_per_second": round((last - first) / (wall - wall_at_first)),
        "wall_s": round(wall_s, 1),
        "releases": replay.releases,
        "peak_mib": round(_peak_mib()),
        "digest": watch.digest,
    }


def _peak_mib() -> float:
    """Linux lets the maximum of a process begin with its parent's; its own status does not."""
    with suppress(OSError):
        found = re.search(r"^VmHWM:\s*(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
        if found:
            return int(found[1]) / 2**10
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (2**20 if sys.platform == "darwin" else 2**10)


if __name__ == "__main__":
    what, where, *numbers = sys.argv[1:]
    print(json.dumps((write if what == "write" else run)(Path(where), *map(int, numbers))))
