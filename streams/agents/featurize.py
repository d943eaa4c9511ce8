"""The featurizer: a Faust app of its own, so that slow sounds and a large model never stand before a release or a play.

    feed "featurize"   audio-releases ─► featurize-songs ─► song-releases

Its only state is the offset that its group has committed: it needs no folder, and runs wherever the model does.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import faust
from aiokafka import TopicPartition
from faust import Service

from streams.agents.app import LEASE_SHARE, bare_app, die, through
from streams.agents.feed import Feed
from streams.agents.lease import Lease
from streams.agents.patient_door import PatientDoor
from streams.agents.publisher import Publisher
from streams.broker.security import aiokafka_arguments, reachable
from streams.catalogue.featurize_songs import FeaturizeSongs
from streams.contracts.topics import AUDIO_RELEASES, featurize_group
from streams.contracts.topics import Shard as Side
from streams.metrics import Metrics
from streams.settings import Settings
from streams.shard import Shard
from streams.sounds.download import Downloads
from streams.sounds.encoders import encoder_of
from streams.state.memory_store import MemoryStore
from streams.web.health import HealthServer

SIDE = "featurize"


def create_featurizer(settings: Settings, metrics: Metrics | None = None) -> faust.App:
    app = bare_app(f"bcl-{SIDE}", settings)
    app.service(Featurizer(app, settings, metrics or Metrics()))  # type: ignore[arg-type]  # Faust takes a service as well as a class
    return app


class Featurizer(Service):
    def __init__(self, app: faust.App, settings: Settings, metrics: Metrics) -> None:
        super().__init__()
        self.app, self.settings, self.metrics = app, settings, metrics
        self.encoder = encoder_of(settings.featurize)
        self.downloads = Downloads(settings.featurize)
        self.fetching = ThreadPoolExecutor(settings.featurize.fetches_at_once, "fetching")
        self.deciding = ThreadPoolExecutor(settings.topics.song_partitions, "deciding")
        kafka = aiokafka_arguments(settings.kafka)
        lease = Lease(settings.kafka.session_timeout_ms / 1000 * LEASE_SHARE)
        self.publisher = Publisher(kafka, settings.topics, lease, settings.kafka.compression, fatal=die)
        channel = app.channel(maxsize=1)
        self.feed = Feed(
            SIDE,
            {AUDIO_RELEASES: channel},
            kafka=kafka,
            group=featurize_group(settings.topics.prefix),
            settings=(
                settings.kafka,
                settings.topics,
                replace(settings.worker, records_per_batch=settings.featurize.songs_per_batch),
            ),
            lease=lease,
            open_shard=self._shard,
            fatal=die,
        )
        self.door = PatientDoor(self.feed, self.publisher, metrics, die, self.deciding)
        app.agent(channel, name="featurize-songs")(through(self.door))
        self.health = HealthServer(
            settings.worker.http_port,
            metrics=metrics,
            is_live=lambda: not self.should_stop,
            is_ready=self.feed.is_caught_up,
            status=self.status,
        )

    async def _shard(self, partition: int) -> Shard:
        at = TopicPartition(self.settings.topics.prefix + AUDIO_RELEASES.name, partition)
        store = MemoryStore()
        store.commit({AUDIO_RELEASES.name: await self.feed.consumer.committed(at) or 0})
        return Shard(
            Side.SONG,
            partition,
            store,
            stages={
                AUDIO_RELEASES.name: [
                    FeaturizeSongs(self.downloads, self.encoder, self.settings.featurize, self.fetching)
                ]
            },
            decisions={},
            deciders=[],
            contracts=self.settings.contracts,
            stage_took=self.metrics.stage_took,
        )

    async def on_start(self) -> None:
        try:
            self.app.flow_control.resume()  # Faust does so after its own recovery, which does not run here
            await self.health.start()
            await reachable(self.settings.kafka)
            await self.publisher.start()
            await self.add_runtime_dependency(self.feed)
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            die(error)

    async def on_stop(self) -> None:
        await self.feed.stop()  # what is under way is published first
        await self.publisher.stop()
        await self.health.stop()
        for threads in (self.deciding, self.fetching):
            threads.shutdown()
        await asyncio.to_thread(self.downloads.close)
        self.encoder.close()

    @Service.task
    async def measure(self) -> None:
        self.metrics.model(self.encoder.name, self.encoder.size)
        while not self.should_stop:
            await self.sleep(1.0)
            self.metrics.owns(SIDE, len(self.feed.owned))
            for at, lag in self.feed.lags().items():
                self.metrics.lag(AUDIO_RELEASES.name, at.partition, lag)
                if lag == 0:
                    self.metrics.moved(AUDIO_RELEASES.name, at.partition)

    def status(self) -> dict[str, Any]:
        return {
            "encoder": self.encoder.name,
            "lag": {f"{at.topic}[{at.partition}]": lag for at, lag in self.feed.lags().items()},
            "partitions": {SIDE: sorted(self.feed.owned)},
        }
