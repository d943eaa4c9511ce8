"""A log in which the truth is known: releases of a simulated world, each played by all who would like it."""

from collections.abc import Iterator
from typing import NamedTuple

import msgspec
import numpy as np

from streams.contracts.plays import Play
from streams.contracts.topics import HOUR_MS, PLAYS, SONG_RELEASES, Topic
from streams.world.plays import history, records
from streams.world.world import World, listener_id

DAY_MS = 24 * HOUR_MS


class Told(NamedTuple):
    topic: Topic
    key: bytes
    value: bytes | None
    time_ms: int


def past_of(world: World, plays: int) -> list[Told]:
    """A history as the world tells it: sessions day by day."""
    return [
        Told(PLAYS, key, value, at_ms)
        for block in history(world, plays)
        for key, value, at_ms in zip(*records(block, world.catalogue.ids), block.played_ms.tolist(), strict=True)
    ]


def quick_past_of(world: World, plays: int, days: int = 90) -> list[Told]:
    """Plays of songs that their listeners like, at any time of the last days: made in no time."""
    rng = np.random.default_rng([world.settings.seed, 90])
    tries = int(plays / world.settings.base_rate)
    numbers, rows = rng.integers(world.settings.listeners, size=tries), rng.integers(world.settings.songs, size=tries)
    liked = np.flatnonzero(world.would_like(rows, world.listeners(numbers)))
    at_ms = world.settings.start_ms - rng.integers(1, days * DAY_MS, len(liked))
    return [
        _play(listener_id(number), world.catalogue.ids[row], at)
        for number, row, at in zip(numbers[liked].tolist(), rows[liked].tolist(), at_ms.tolist(), strict=True)
    ]


def log_of(
    world: World, past: list[Told], *, releases: int, budget: int, every_ms: int = HOUR_MS, horizon_ms: int = DAY_MS
) -> list[Told]:
    """In the order of time: the catalogue, the past, then releases and who plays them within the horizon."""
    start_ms = world.settings.start_ms
    first_ms = min(one.time_ms for one in past) - 1
    long_ago_ms = first_ms - 365 * DAY_MS
    songs = [
        Told(SONG_RELEASES, old.song_id.encode(), msgspec.json.encode(old), first_ms)
        for song in world.songs()
        for old in [msgspec.structs.replace(song, released_ms=min(song.released_ms, long_ago_ms))]
    ]
    future = [
        told
        for n, song in enumerate(world.new_releases(releases))
        for told in _released(world, song, start_ms + n * every_ms, budget, horizon_ms)
    ]
    over_ms = start_ms + (releases - 1) * every_ms + horizon_ms
    return sorted([*songs, *past, *future, _last_play(world, over_ms)], key=lambda one: one.time_ms)


def _released(world: World, song: msgspec.Struct, at_ms: int, budget: int, horizon_ms: int) -> Iterator[Told]:
    release = msgspec.structs.replace(song, released_ms=at_ms, budget=budget)
    song_id = release.song_id  # type: ignore[attr-defined]
    yield Told(SONG_RELEASES, song_id.encode(), msgspec.json.encode(release), at_ms)
    row = world.row_of(song_id)
    delays = np.random.default_rng([world.settings.seed, row]).integers(1, horizon_ms, world.settings.listeners)
    for fan in np.flatnonzero(world.truth_of(row, world.listeners()).would_like).tolist():
        yield _play(listener_id(fan), song_id, at_ms + int(delays[fan]))


def _last_play(world: World, at_ms: int) -> Told:
    """So that the last horizon is over."""
    return _play(listener_id(0), world.catalogue.ids[0], at_ms)


def _play(who: str, song_id: str, at_ms: int) -> Told:
    play = Play(f"{song_id}-{who}-{at_ms}", who, song_id, at_ms, listened_ms=180_000, song_ms=200_000)
    return Told(PLAYS, who.encode(), msgspec.json.encode(play), at_ms)
