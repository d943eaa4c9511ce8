"""The worker: a Faust app whose agents read the channels of two feeds, with the views and the HTTP pages beside them.

feed "songs"     song-releases ─► embed-songs             feed "listeners"  plays ─► track-listening, notice-reactions
                 song-embeddings ─► match-songs                             listener-settings ─► follow-settings
                 audience-samples ─► refresh-crowds                         listener-erasures ─► erase-listeners
                 audience-answers ─► select-targets                         audience-queries ─► score-listeners
                 target-reactions ─► measure-outcomes                       target-candidates ─► admit-targets
"""

import asyncio
import logging
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import faust
from faust import Service
from faust.app.base import BootStrategy

from streams.agents.door import Door
from streams.agents.feed import Feed, Owned
from streams.agents.lease import Lease
from streams.agents.precedence import Precedence
from streams.agents.publisher import Publisher
from streams.agents.restore import Restore
from streams.agents.views import ViewReader
from streams.broker.security import aiokafka_arguments, reachable
from streams.contracts.topics import Shard as Side
from streams.contracts.topics import Topic
from streams.errors import StoreUnavailable
from streams.metrics import Metrics
from streams.settings import Settings
from streams.shard import Shard
from streams.web.health import HealthServer
from streams.wiring import AGENTS_OF, Wiring

log = logging.getLogger("bcl.worker")

LEASE_SHARE = 0.8  # of the session: the broker counts from when it received a heartbeat, we from before we sent it


class _WithoutFaustsConsumer(BootStrategy):
    """Faust's own consumer loses records in rebalances; our agents read channels that the feeds fill."""

    enable_kafka = False
    enable_kafka_consumer = False
    enable_kafka_producer = False
    enable_web = False


class _App(faust.App):
    BootStrategy = _WithoutFaustsConsumer


def die(error: BaseException) -> None:
    """Crash-only: state is whole after every commit, so the shortest way out is the safest."""
    log.critical("worker ends: %s: %s", type(error).__name__, error, exc_info=error)
    logging.shutdown()
    sys.stderr.flush()
    os._exit(1)


def create_app(settings: Settings, metrics: Metrics | None = None) -> faust.App:
    app = bare_app("bcl", settings)
    app.service(Worker(app, settings, metrics or Metrics()))  # type: ignore[arg-type]  # Faust takes a service as well as a class
    return app


def bare_app(name: str, settings: Settings) -> faust.App:
    """Faust's channels, agents and services, and nothing of it that talks to Kafka."""
    return _App(
        f"{settings.topics.prefix}{name}",
        broker=f"kafka://{settings.kafka.brokers}",  # Faust wants a name; it never connects
        store="memory://",
        web_enabled=False,
        stream_wait_empty=False,
        datadir=str(Path(settings.worker.data) / "faust"),
    )


class Worker(Service):
    """What one process runs; its parts start in the order in which they depend on each other."""

    def __init__(self, app: faust.App, settings: Settings, metrics: Metrics) -> None:
        super().__init__()
        self.app, self.settings, self.metrics = app, settings, metrics
        self.kafka = aiokafka_arguments(settings.kafka)
        self.wiring = Wiring.load(settings, stage_took=metrics.stage_took, on_recall=metrics.searched_exactly)
        self.restore = Restore(self.wiring, self.kafka, settings, metrics)
        self.views = ViewReader(self.wiring.views, self.kafka, settings.topics, settings.contracts, fatal=die)
        self.precedence = Precedence()
        self.halves = [self._half(Side.SONG), self._half(Side.LISTENER)]
        self.health = HealthServer(
            settings.worker.http_port, metrics=metrics, is_live=self.is_live, is_ready=self.is_ready, status=self.status
        )

    def _half(self, side: Side) -> "_Half":
        channels: dict[Topic, Any] = {topic: self.app.channel(maxsize=1) for topic in AGENTS_OF[side]}
        lease = Lease(self.settings.kafka.session_timeout_ms / 1000 * LEASE_SHARE)
        publisher = Publisher(self.kafka, self.settings.topics, lease, self.settings.kafka.compression, fatal=die)
        feed = Feed(
            side.value,
            channels,
            kafka=self.kafka,
            group=f"{self.settings.topics.prefix}bcl-{side.value}s",
            settings=(self.settings.kafka, self.settings.topics, self.settings.worker),
            lease=lease,
            open_shard=partial(self.restore.shard, side),
            fatal=die,
        )
        door = Door(feed, publisher, self.metrics, die, self.precedence)
        for topic, channel in channels.items():
            self.app.agent(channel, name=AGENTS_OF[side][topic])(through(door))
        return _Half(feed, publisher, door)

    async def on_start(self) -> None:
        try:
            self.app.flow_control.resume()  # Faust does so after its own recovery, which does not run here
            await self.health.start()
            await reachable(self.settings.kafka)
            await self.add_runtime_dependency(self.views)
            await self.views.caught_up.wait()
            for half in self.halves:
                await half.publisher.start()
                await self.add_runtime_dependency(half.feed)
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            die(error)

    async def on_stop(self) -> None:
        for half in self.halves:
            await half.feed.stop()  # what is under way is published first
            await half.publisher.stop()
        await self.health.stop()
        self.wiring.close()

    @Service.task
    async def decide_what_waited_long_enough(self) -> None:
        while not self.should_stop:
            await self.sleep(self.settings.worker.deadline_tick_s)
            for half in self.halves:
                await half.door.expire()

    @Service.task
    async def take_checkpoints(self) -> None:
        """One shard after the other, spread over the interval; only the snapshot stands between two batches."""
        while not self.should_stop:
            shards = [(half.feed, owned) for half in self.halves for _, owned in sorted(half.feed.owned.items())]
            for feed, owned in shards:
                await self.sleep(self.settings.checkpoints.every_s / len(shards))
                # Without a lease its state may be old, and must not stand before what a successor has saved.
                if feed.lease.holds() and owned.shard in self.shards() and self.restore.takes_checkpoints:
                    await self._checkpoint(owned)
            if shards:
                await asyncio.to_thread(self.wiring.save_views)
                await asyncio.to_thread(self.restore.forget_strangers, {shard.name for shard in self.shards()})
            else:
                await self.sleep(1.0)

    async def _checkpoint(self, owned: Owned) -> None:
        try:
            async with owned.lock:
                snapshot = self.restore.snapshot(owned.shard)
            await self.restore.upload(snapshot)
            self.metrics.checkpointed(owned.shard.name)
        except StoreUnavailable as error:  # the checkpoint store's trouble is not the stream's: the next one is tried
            log.error("no checkpoint of %s was taken: %s", owned.shard.name, error)

    @Service.task
    async def measure(self) -> None:
        metrics, warm = self.metrics, self.wiring.views.warm
        metrics.model(self.wiring.encoder.artifact, self.wiring.encoder.dimension)
        while not self.should_stop:
            await self.sleep(1.0)
            for half in self.halves:
                metrics.owns(half.feed.side, len(half.feed.owned))
                for at, lag in half.feed.lags().items():
                    topic = at.topic.removeprefix(self.settings.topics.prefix)
                    metrics.lag(topic, at.partition, lag)
                    if lag == 0:
                        metrics.moved(topic, at.partition)
            for shard in self.shards():
                if shard.audience is not None:
                    metrics.listeners(shard.partition, len(shard.audience))
            metrics.known(len(warm.songs))
            metrics.index(len(warm))

    def shards(self) -> list[Shard]:
        return [owned.shard for half in self.halves for owned in half.feed.owned.values()]

    def is_live(self) -> bool:
        return not self.should_stop

    def is_ready(self) -> bool:
        return self.views.caught_up.is_set() and all(half.feed.is_caught_up() for half in self.halves)

    def status(self) -> dict[str, Any]:
        views = self.wiring.views
        return {
            "artifact": views.songs.artifact,
            "songs": len(views.songs),
            "warm_songs": len(views.warm),
            "listeners": sum(len(shard.audience) for shard in self.shards() if shard.audience is not None),
            "lag": {f"{at.topic}[{at.partition}]": lag for half in self.halves for at, lag in half.feed.lags().items()},
            "partitions": {half.feed.side: sorted(half.feed.owned) for half in self.halves},
        }


@dataclass(frozen=True)
class _Half:
    feed: Feed
    publisher: Publisher
    door: Door


def through(door: Door) -> Callable[[Any], Awaitable[None]]:
    """The one agent there is."""

    async def agent(batches: Any) -> None:
        async for fetched in batches:
            await door.let_through(fetched)

    return agent
