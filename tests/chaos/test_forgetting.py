"""What is withdrawn or erased is gone: from all answers, and from every disk within the stated limit."""

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec
import pytest

from streams.contracts.ids import key_of
from streams.contracts.listeners import Erasure
from streams.contracts.queries import AudienceQuery
from streams.contracts.releases import Release
from streams.contracts.topics import DAY_MS, LISTENER_ERASURES, PUSH_TARGETS, SONG_DECISIONS, SONG_RELEASES
from streams.state.layout import ERASED, keyed
from streams.world.world import World
from tests.harness.live import COMES_WITHIN_S, Live
from tests.twin.check import check
from tests.twin.log import read_state

pytestmark = pytest.mark.chaos


def test_a_withdrawn_song_leaves_the_answers_of_all_workers(live: Live, world: World) -> None:
    live.begin("one", "two")
    [new] = world.new_releases(1)
    release(live, world, msgspec.structs.replace(new, song_id="first"))
    live.drained()
    nearest = [one.song_id for one in asked(live, "first").because[:3]]
    for n, song_id in enumerate(nearest):
        songs = {name: worker.status()["songs"] for name, worker in live.workers.items()}
        live.produce(SONG_RELEASES, [(song_id, None, world.settings.start_ms)])
        until = time.monotonic() + COMES_WITHIN_S  # `python -m tests.benchmarks withdrawal` tells how long it takes
        while any(worker.status()["songs"] >= songs[name] for name, worker in live.workers.items()):
            assert time.monotonic() < until, f"{song_id} is still there"
            time.sleep(0.01)
        release(live, world, msgspec.structs.replace(new, song_id=f"next-{n}"))
        live.drained()
    for n in range(3):
        because = {one.song_id for one in asked(live, f"next-{n}").because}
        assert because and not because & set(nearest[: n + 1])
    live.stop_all()
    check(live)


def test_an_erased_listener_gets_no_target_and_leaves_no_byte_behind(
    make_live: Callable[..., Live], world: World
) -> None:
    live = make_live(BCL__CHECKPOINTS__KEEP_H="0.003")
    live.begin("one")
    live.start("two")  # half of the partitions move, and "one" keeps their state, which grows old
    live.owning("one", "two")
    release(live, world, *world.new_releases(2), before_ms=DAY_MS)
    live.drained()
    told = sorted({one.listener_id for _, _, one in live.contracts(PUSH_TARGETS)})
    # RocksDB parts its tables by keys that nobody may have: one that somebody has, with its last character counted up.
    erased = [name for name in told if name.endswith("0")][::5][:5]
    folders = [live.folder / name for name in ("one", "two", "checkpoints")]
    assert files_with(folders, erased), "they were there before"
    listeners = sum(worker.status()["listeners"] for worker in live.workers.values())

    asked_ms = world.settings.start_ms + 1
    live.produce(LISTENER_ERASURES, [(name, Erasure(asked_ms=asked_ms), asked_ms) for name in erased])
    live.drained()
    known = {one.target_id for _, _, one in live.contracts(PUSH_TARGETS)}
    release(live, world, *world.new_releases(2, first=2))
    live.drained()
    later = {one.listener_id for _, _, one in live.contracts(PUSH_TARGETS) if one.target_id not in known}
    assert later and not later & set(erased)
    assert sum(worker.status()["listeners"] for worker in live.workers.values()) == listeners - len(erased)

    until = time.monotonic() + COMES_WITHIN_S
    while found := files_with(folders, erased):
        assert time.monotonic() < until, found
        time.sleep(0.5)
    live.stop_all()
    keys = [key_of(name).to_bytes(8, "little") for name in erased]
    for folder in live.folder.glob("*/state/*-*"):
        rows = read_state(folder).rows
        markers = {keyed(ERASED, key_of(name)) for name in erased}
        assert not [row for row in rows if row not in markers and any(key in row + rows[row] for key in keys)]
    check(live)


def release(live: Live, world: World, *songs: Release, before_ms: int = 0) -> None:
    at_ms = world.settings.start_ms - before_ms
    new = [msgspec.structs.replace(song, released_ms=at_ms, budget=250) for song in songs]
    live.produce(SONG_RELEASES, [(song.song_id, song, at_ms) for song in new])


def asked(live: Live, song_id: str) -> AudienceQuery:
    decisions = [one for _, _, one in live.contracts(SONG_DECISIONS)]
    return next(one for one in decisions if isinstance(one, AudienceQuery) and one.song_id == song_id)


def files_with(folders: Iterable[Path], names: Iterable[str]) -> list[str]:
    """Which files hold one of these names; and of files of song shards, which have no markers, one of their keys."""
    wanted = [name.encode() for name in names]
    keys = [key_of(name).to_bytes(8, "little") for name in names]
    found = []
    for file in (Path(at, name) for folder in folders for at, _, files in os.walk(folder) for name in files):
        try:
            raw = file.read_bytes()
        except FileNotFoundError:
            continue  # a checkpoint is pruned, a table compacted away
        if any(one in raw for one in (*wanted, *keys) if "song-" in str(file) or one in wanted):
            found.append(str(file))
    return found
