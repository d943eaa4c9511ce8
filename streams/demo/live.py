"""What happens while the workers run: the catalogue and the history go in, then songs come out while plays go on.

Simulated time is the clock's. Only reactions are hurried: what a pushed listener would do within hours they do within
seconds. Who has quiet hours now is told later, and does not react here.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from heapq import heappop, heappush
from typing import Any, TypeAlias

import msgspec
import numpy as np

from streams.contracts.codec import decode_value
from streams.contracts.partitions import partition_of
from streams.contracts.plays import Play
from streams.contracts.queries import AudienceQuery, TargetCandidates
from streams.contracts.releases import Release
from streams.contracts.targets import Suppression, Target
from streams.contracts.topics import (
    LISTENER_SETTINGS,
    PLAYS,
    PUSH_SUPPRESSIONS,
    PUSH_TARGETS,
    SONG_DECISIONS,
    SONG_RELEASES,
    TARGET_CANDIDATES,
)
from streams.demo.options import Options
from streams.demo.report import Measured
from streams.demo.screen import Now, Screen
from streams.demo.traffic import Keyed, Seen, Traffic
from streams.world.plays import Playing, Plays, played_after_push, records
from streams.world.world import World, listener_id

TICK_S = 0.05  # between two batches of plays
REACT_EVERY_S = 0.5
LOOK_EVERY_S = 0.5  # at the workers, and at how far they are behind
QUIET_S = 1.0  # for so long nothing may be left to do: what follows from the last record has been said too
DECIDED_WITHIN_S = 30.0  # after the live phase
HASTE = 1_000  # so many times sooner a reaction comes: within 22 s, not within six hours
WATCHED = (SONG_DECISIONS, TARGET_CANDIDATES, PUSH_TARGETS, PUSH_SUPPRESSIONS)

Start: TypeAlias = Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"]


class Live:
    def __init__(
        self,
        options: Options,
        world: World,
        traffic: Traffic,
        *,
        partitions: int,
        measured: Measured,
        screen: Screen,
        now: Now,
        look: Callable[[], None],
    ) -> None:
        self._options, self._world, self._traffic = options, world, traffic
        self._measured, self._timing = measured, measured.timing
        self._screen, self._now = screen, now
        self._look = look  # raises if a worker or Kafka has ended
        ids = [listener_id(number).encode() for number in range(world.settings.listeners)]
        self._partition_of = np.array([partition_of(one, partitions) for one in ids])
        self._is_out = np.arange(len(world.catalogue)) < world.settings.songs  # the songs that listeners can meet
        self._told: list[Target] = []  # who have not been asked yet how they react
        self._to_come: list[tuple[int, str, Play]] = []  # reactions: a heap by time

    # Before

    async def publish_catalogue(self) -> None:
        """Songs of the past, whose push is over: they are embedded, not matched. And what listeners have asked for."""
        start_ms = self._world.settings.start_ms
        songs = (msgspec.structs.replace(song, expires_ms=start_ms) for song in self._world.songs())
        await self._traffic.say_all(SONG_RELEASES, ((one.song_id, _json(one), start_ms) for one in songs))
        wishes = self._world.listener_settings()
        await self._traffic.say_all(
            LISTENER_SETTINGS, ((one.listener_id, _json(one), one.changed_ms) for one in wishes)
        )
        await self.until_folded()

    async def publish_history(self, blocks: Sequence[Plays]) -> None:
        for block in blocks:
            self._now.plays += await self._publish(block)
            await self._looked()
        await self.until_folded()

    async def until_folded(self) -> None:
        """Everything that was said has been folded, and nothing follows from it any more."""
        quiet_since: float | None = None
        while quiet_since is None or time.monotonic() - quiet_since < QUIET_S:
            await self._looked()
            quiet_since = (quiet_since or time.monotonic()) if self._now.lag == 0 else None
            await asyncio.sleep(LOOK_EVERY_S / 2)

    # Releases, while plays go on

    async def release(self, songs: Sequence[Release]) -> None:
        """Returns when the plays are over, and every release is decided or has had its time."""
        plays = self._plays_to_come([self._world.row_of(song.song_id) for song in songs])
        self._now.plays = 0
        async with self._traffic.watched(WATCHED) as coming, _background() as start:
            began_s = time.monotonic()
            start(self._watch(coming))
            start(self._look_now_and_then())
            playing = [start(self._play(plays)), start(self._react())]
            await self._release_all(songs, began_s)
            await asyncio.sleep(began_s + self._options.seconds - time.monotonic())
            for task in playing:
                task.cancel()
            self._measured.plays = self._now.plays
            self._measured.plays_per_second = self._now.plays / (time.monotonic() - began_s)
            await self._until_decided()
        await self.until_folded()
        self._measured.lag = self._now.lag

    def _plays_to_come(self, new_rows: Sequence[int]) -> Plays:
        """Drawn beforehand, so that drawing them is not in the way of what is measured. Times count from 0."""
        per_second, from_ms = self._options.plays_per_second, now_ms()
        count = round(per_second * self._options.seconds)
        drawn = Plays.joined(list(Playing(self._world, np.array(new_rows)).plays(from_ms, count, per_second)))
        return replace(drawn, played_ms=drawn.played_ms - from_ms)

    async def _release_all(self, songs: Sequence[Release], began_s: float) -> None:
        for n, song in enumerate(songs):
            await asyncio.sleep(began_s + (n + 0.5) * self._options.release_every_s - time.monotonic())
            self._timing.announced(song.song_id, song.title)
            at_ms = now_ms()
            released = msgspec.structs.replace(song, released_ms=at_ms)
            await self._traffic.say(SONG_RELEASES, song.song_id, _json(released), at_ms)
            self._timing.acknowledged(song.song_id, time.perf_counter())
            self._is_out[self._world.row_of(song.song_id)] = True

    async def _play(self, plays: Plays) -> None:
        """Each play when its time has come; nobody plays a song that is not out."""
        plays = replace(plays, played_ms=plays.played_ms + now_ms())
        published = 0
        while published < len(plays):
            await asyncio.sleep(TICK_S)
            due = int(np.searchsorted(plays.played_ms, now_ms(), side="right"))
            some = replace(plays.take(slice(published, due)), first=published)
            published = due
            self._now.plays += await self._publish(some.take(self._is_out[some.songs]))

    async def _publish(self, plays: Plays) -> int:
        """Partition by partition, each in the order of time."""
        if not len(plays):
            return 0
        partitions = self._partition_of[plays.listeners]
        order = np.argsort(partitions, kind="stable")
        ordered = plays.take(order)
        keys, values = records(ordered, self._world.catalogue.ids)
        keyed: list[Keyed] = list(zip(ordered.played_ms.tolist(), keys, values, strict=True))
        found, starts = np.unique(partitions[order], return_index=True)
        ends = [*starts[1:].tolist(), len(keyed)]
        return await self._traffic.say_in_batches(
            PLAYS,
            {int(p): keyed[start:end] for p, start, end in zip(found, starts.tolist(), ends, strict=True)},
        )

    async def _watch(self, coming: AsyncIterator[Seen]) -> None:
        async for at_s, topic, value in coming:
            match decode_value(topic, value):
                case AudienceQuery() as query:
                    self._timing.queried(query.song_id, len(query.because), len(query.masses) // 4)
                case TargetCandidates() as candidates:
                    self._timing.chosen(candidates.song_id, candidates.listener_ids)
                case Target() as target:
                    if self._timing.targeted(target.song_id, target.listener_id, at_s):
                        self._told.append(target)
                case Suppression() as suppression:
                    self._timing.suppressed(suppression.song_id, suppression.listener_id, suppression.reason, at_s)

    async def _react(self) -> None:
        while True:
            await asyncio.sleep(REACT_EVERY_S)
            told, self._told = self._told, []
            at_ms = now_ms()
            awake = [target for target in told if target.not_before_ms <= at_ms]
            due = {target.target_id: target.not_before_ms for target in awake}
            for play in played_after_push(self._world, awake):
                after_ms = (play.played_ms - due[play.target_id or ""]) // HASTE
                heappush(self._to_come, (at_ms + after_ms, play.play_id, play))
            while self._to_come and self._to_come[0][0] <= at_ms:
                _, _, play = heappop(self._to_come)
                played = msgspec.structs.replace(play, played_ms=at_ms)
                await self._traffic.say_all(PLAYS, [(play.listener_id, _json(played), at_ms)])
                self._measured.reactions += 1
                self._now.plays += 1

    async def _until_decided(self) -> None:
        until = time.monotonic() + DECIDED_WITHIN_S
        while not self._timing.all_decided and time.monotonic() < until:
            await asyncio.sleep(TICK_S)

    async def _look_now_and_then(self) -> None:
        while True:
            await self._looked()
            await asyncio.sleep(LOOK_EVERY_S)

    async def _looked(self) -> None:
        self._look()
        self._now.lag = await self._traffic.lag()
        self._screen.refresh()


@asynccontextmanager
async def _background() -> AsyncIterator[Start]:
    """Starts tasks that end with the block; the first error of any of them ends the block, as itself."""
    tasks: list[asyncio.Task[None]] = []
    try:
        async with asyncio.TaskGroup() as group:

            def start(work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
                tasks.append(group.create_task(work))
                return tasks[-1]

            yield start
            for task in tasks:
                task.cancel()
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None


def now_ms() -> int:
    return int(time.time() * 1_000)


def _json(contract: msgspec.Struct) -> bytes:
    return msgspec.json.encode(contract)
