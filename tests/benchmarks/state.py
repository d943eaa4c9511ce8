"""Bytes per listener and per song, on disk and in memory, with every ring full: the bound, not the average.

Each count is written by one process and read by another, so that what the first one's RocksDB still buffers is not
taken for state. Contents are drawn, as they do not change a size.
"""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from streams.audience.audience import Audience, Plays
from streams.audience.refresh_crowds import RefreshCrowds
from streams.catalogue.faiss_index import FaissIndex
from streams.catalogue.song_crowds import CrowdsOfSongs
from streams.catalogue.songs import Songs
from streams.catalogue.warm_songs import WarmSongs
from streams.config import load_settings
from streams.contracts.crowds import AudienceSamples, SongCrowds
from streams.contracts.embeddings import SongEmbedded
from streams.contracts.ids import keys_of
from streams.contracts.messages import Batch, Message
from streams.contracts.topics import AUDIENCE_SAMPLES, HOUR_MS, PLAYS
from streams.settings import Settings
from streams.state.rocksdict_store import RocksdictStore
from streams.world.world import listener_id

ARTIFACT, DIMENSION = "bench", 64
START_MS = 1_767_225_600_000
LISTENERS_AT_ONCE = 1_024
SONGS_OF_LISTENERS = 5_000


def measure(root: Path, folder: Path, listeners: list[int], songs: int) -> dict[str, Any]:
    return {
        "listeners": {str(count): _measured(root, folder, "listeners", count) for count in listeners},
        "songs": {str(songs): _measured(root, folder, "songs", songs)},
    }


def _measured(root: Path, folder: Path, what: str, count: int) -> dict[str, float]:
    state, found = folder / f"{what}-{count}", {}
    for phase in ("write", "read"):
        command = [sys.executable, "-m", "tests.benchmarks.state", f"{phase}_{what}", str(count), str(state)]
        found.update(json.loads(subprocess.run(command, cwd=root, check=True, stdout=subprocess.PIPE).stdout))
    shutil.rmtree(state)
    return found


# -- listeners


def write_listeners(count: int, folder: Path) -> dict[str, float]:
    store, songs, settings = RocksdictStore(folder), _songs(SONGS_OF_LISTENERS), _settings()
    audience = Audience(store, songs, settings.listening, settings.admission)
    begun_s = time.perf_counter()
    for n, plays in enumerate(_full_rings(count, settings.listening.keep_plays, audience)):
        audience.fold(plays)
        store.commit({PLAYS.name: n + 1})
    folded_s = time.perf_counter() - begun_s
    told = audience.bytes_in_store()
    store.close()
    return {
        "disk_bytes_each": round(_bytes_of(folder) / count, 1),
        "keys_and_values_bytes_each": round(told / count, 1),
        "plays_folded_per_second": round(count * settings.listening.keep_plays / folded_s),
    }


def read_listeners(count: int, folder: Path) -> dict[str, float]:
    store, songs, settings = RocksdictStore(folder), _songs(SONGS_OF_LISTENERS), _settings()
    before = _resident()
    begun_s = time.perf_counter()
    audience = Audience(store, songs, settings.listening, settings.admission)
    loaded_s = time.perf_counter() - begun_s
    audience.refresh()
    assert len(audience) == count
    return {
        "memory_bytes_each": round(audience.bytes_in_memory() / count, 1),
        "resident_bytes_each": round((_resident() - before) / count, 1),
        "loaded_per_second": round(count / loaded_s),
    }


def _full_rings(count: int, keep: int, audience: Audience) -> Iterator[Plays]:
    rng = np.random.default_rng(7)
    for first in range(0, count, LISTENERS_AT_ONCE):
        ids = [listener_id(n) for n in range(first, min(first + LISTENERS_AT_ONCE, count))]
        heard = rng.integers(SONGS_OF_LISTENERS, size=len(ids) * keep)
        yield Plays(
            listener_ids=ids * keep,
            slots=audience.slots_of(ids * keep),
            song_keys=audience.songs.keys[heard],
            played_ms=START_MS + np.repeat(np.arange(keep), len(ids)) * HOUR_MS,
            strengths=np.full(len(heard), 1_000),
            markets=audience.markets_of(["it"] * len(heard)),
        )


# -- songs


def write_songs(count: int, folder: Path) -> dict[str, float]:
    """What a song shard keeps of songs whose samples are full."""
    settings, store = _settings(), RocksdictStore(folder)
    stage = RefreshCrowds(store, settings.crowds, ARTIFACT, DIMENSION)
    names = [f"s{n:07d}" for n in range(count)]
    for n in range(2 * settings.crowds.listeners_per_song):
        stage.handle(_samples(names, n))
        store.commit({AUDIENCE_SAMPLES.name: n + 1})
    store.close()
    return {"disk_bytes_each": round(_bytes_of(folder) / count, 1)}


def read_songs(count: int, folder: Path) -> dict[str, float]:
    """In the shard that owns them, and in every worker's views: all songs known, warm, and in the index."""
    settings, store = _settings(), RocksdictStore(folder)
    before = _resident()
    stage = RefreshCrowds(store, settings.crowds, ARTIFACT, DIMENSION)
    own = _resident() - before
    songs, crowds = _songs(count), CrowdsOfSongs(ARTIFACT, 1, settings.crowds.warm_at_listeners)
    warm = WarmSongs(songs, crowds, FaissIndex(DIMENSION))
    for n, message in enumerate(_crowds_of(stage, [f"s{n:07d}" for n in range(count)])):
        crowds.apply(0, n + 1, message.song_id, message)
    warm.catch_up()
    assert len(warm) == count
    return {
        "shard_resident_bytes_each": round(own / count, 1),
        "view_resident_bytes_each": round((_resident() - before - own) / count, 1),
    }


def _samples(songs: list[str], n: int) -> Batch[AudienceSamples]:
    """One for each song."""
    rng = np.random.default_rng([7, n])
    value = AudienceSamples(
        listener_partition=0,
        artifact=ARTIFACT,
        offsets=tuple(range(n * len(songs), (n + 1) * len(songs))),
        song_ids=tuple(songs),
        listener_keys=rng.integers(2**63, size=len(songs)).astype("<u8").tobytes(),
        played_ms=np.full(len(songs), START_MS + n * HOUR_MS, "<i8").tobytes(),
        embeddings=_unit(rng.normal(size=(len(songs), DIMENSION))).tobytes(),
        strengths=np.ones(len(songs), "<f4").tobytes(),
    )
    return Batch(AUDIENCE_SAMPLES.name, 0, n + 1, [n], [START_MS], [b"0"], [value], [b""])


def _crowds_of(stage: RefreshCrowds, songs: list[str]) -> Iterator[SongCrowds]:
    """What the songs' next samples make due."""
    told: dict[str, SongCrowds] = {}
    for n in range(2 * 64, 4 * 64):
        for message in stage.handle(_samples(songs, n)):
            if isinstance(message, Message) and isinstance(message.value, SongCrowds):
                told[message.value.song_id] = message.value
        if len(told) == len(songs):
            break
    return iter(told.values())


def _songs(count: int) -> Songs:
    songs = Songs(ARTIFACT, DIMENSION, 1)
    rows = _unit(np.random.default_rng(7).normal(size=(count, DIMENSION)))
    for n in range(count):
        name = f"s{n:07d}"
        embedded = SongEmbedded(
            song_id=name,
            artifact=ARTIFACT,
            content=f"{n:032x}",
            embedding=rows[n].tobytes(),
            published_ms=START_MS,
            released_ms=START_MS,
            title=f"Title of song {n}",
            artist_ids=(f"artist-{n // 10}",),
        )
        songs.apply(0, n + 1, name, embedded)
    assert (songs.keys[:2] == keys_of(["s0000000", "s0000001"])).all()
    return songs


def _unit(rows: NDArray[np.float64]) -> NDArray[np.float32]:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), "<f4")


def _settings() -> Settings:
    return load_settings(environment={})


def _resident() -> int:
    return int(psutil.Process().memory_info().rss)


def _bytes_of(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


if __name__ == "__main__":
    phase, count, folder = sys.argv[1:]
    measured = {
        "write_listeners": write_listeners,
        "read_listeners": read_listeners,
        "write_songs": write_songs,
        "read_songs": read_songs,
    }[phase](int(count), Path(folder))
    print(json.dumps(measured))
