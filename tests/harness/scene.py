"""A small simulated world for live tests: catalogue and plays as records, and an artifact that is really trained."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from bcl_model.settings import TrainSettings
from bcl_model.train import train_artifact
from streams.catalogue.content import content_of
from streams.contracts.releases import Release
from streams.world.plays import Playing, history, records
from streams.world.world import World, WorldSettings

Records = list[tuple[bytes, bytes, int]]  # key, value, time


def small_world(listeners: int = 2_000, songs: int = 400, seed: int = 7) -> World:
    """Its present is ours: what is old by the clock of the machine, the broker's retention would remove."""
    start_ms = int(time.time() * 1000) // 3_600_000 * 3_600_000
    return World(WorldSettings(listeners=listeners, songs=songs, new_songs=60, seed=seed, start_ms=start_ms))


def artifact_of(
    world: World, plays: int, folder: Path, steps: int = 150, songs: Sequence[Release] | None = None
) -> Path:
    """`songs`: the catalogue with other content."""
    songs = list(world.songs()) if songs is None else songs
    listeners, rows = [], []
    for block in history(world, plays):
        kept = block.take(block.effective())
        listeners.append(kept.listeners)
        rows.append(kept.songs)
    settings = TrainSettings()
    settings = replace(settings, run=replace(settings.run, steps=steps, threads=1))
    return train_artifact(
        [(song.song_id, content_of(song)) for song in songs],
        np.concatenate(listeners),
        np.concatenate(rows),
        folder,
        settings,
    )


def catalogue_records(world: World) -> Iterator[tuple[str, Release, int]]:
    """Old songs, published as they were released: embedded, not matched."""
    return ((song.song_id, song, world.settings.start_ms) for song in world.songs())


def play_records(world: World, plays: int) -> Records:
    found: Records = []
    for block in history(world, plays):
        keys, values = records(block, world.catalogue.ids)
        found += zip(keys, values, block.played_ms.tolist(), strict=True)
    return found


def later_play_records(world: World, plays: int, new_songs: int = 0) -> Records:
    playing = Playing(world, world.new_rows(new_songs) if new_songs else None)
    found: Records = []
    for block in playing.plays(world.settings.start_ms, plays, 200.0):
        keys, values = records(block, world.catalogue.ids)
        found += zip(keys, values, block.played_ms.tolist(), strict=True)
    return found
