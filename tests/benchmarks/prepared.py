"""What every run begins with: a Kafka with a world's catalogue and history, and a worker's state that has folded it.

Made once and copied for each run, so that all runs begin from the same bytes.
"""

import asyncio
import json
import shutil
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from aiokafka import AIOKafkaProducer

from streams.broker.embedded import EmbeddedKafka
from streams.broker.security import aiokafka_arguments
from streams.broker.topics import create
from streams.contracts.partitions import partition_of
from streams.contracts.topics import PLAYS, SONG_EMBEDDINGS, SONG_RELEASES
from streams.settings import KafkaSettings
from streams.world.plays import Playing, Plays, history, records
from streams.world.world import World, WorldSettings
from tests.builders.kafka import kafka_settings, topic_settings
from tests.harness.live import Live
from tests.harness.scene import artifact_of, catalogue_records

HOUR_MS = 3_600_000
PLAYS_SPAN_H = 20  # of the plays that follow the history
BATCH_BYTES = 64 * 1024  # as a player backend under load would send them

Record = tuple[int, bytes, bytes]  # time, key, value


@dataclass(frozen=True)
class Sizes:
    listeners: int
    songs: int
    history: int  # plays folded before anything is measured
    plays: int  # that follow, in the topic as well, and read by nobody yet
    flow: int = 0  # that follow them, and are played while something else is measured
    listener_partitions: int = 8
    song_partitions: int = 4
    new_songs: int = 100
    seed: int = 7
    training_plays: int = 200_000
    training_steps: int = 60


@dataclass(frozen=True)
class Prepared:
    folder: Path
    sizes: Sizes
    world: World
    artifact: Path

    @property
    def embeddings(self) -> Path:
        """Of all songs, for rivals."""
        return self.folder / "embeddings.npz"

    @classmethod
    def read(cls, folder: Path) -> "Prepared":
        found = json.loads((folder / "prepared.json").read_text())
        sizes = Sizes(**found["sizes"])
        return cls(folder, sizes, _world(sizes, found["start_ms"]), Path(found["artifact"]))

    @contextmanager
    def copy(self, name: str, changes: Mapping[str, str] | None = None) -> Iterator[Live]:
        """A Kafka of its own and a worker that can be started; nothing is left of either."""
        folder = self.folder / name
        folder.mkdir()
        try:
            for part in ("kafka", "w"):
                subprocess.run(["cp", "-a", "--sparse=always", str(self.folder / part), str(folder / part)], check=True)
            with EmbeddedKafka(data=folder / "kafka", heap_mb=1024) as kafka:
                live = self._live(kafka_settings(kafka.bootstrap), folder, changes or {})
                try:
                    yield live
                finally:
                    live.end()
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _live(self, kafka: KafkaSettings, folder: Path, changes: Mapping[str, str]) -> Live:
        sizes = self.sizes
        topics = topic_settings(
            listener_partitions=sizes.listener_partitions, song_partitions=sizes.song_partitions, prefix="bench-"
        )
        usual = {
            "BCL__KAFKA__SESSION_TIMEOUT_MS": "30000",
            "BCL__WORKER__COMMIT_EVERY_S": "0.5",
            "BCL__CHECKPOINTS__EVERY_S": "300",
        }
        return Live(kafka, topics, folder, self.artifact, {**usual, **changes})


def prepare(folder: Path, sizes: Sizes) -> Prepared:
    """A folder that was prepared before, for the same sizes, is taken as it is."""
    facts = folder / "prepared.json"
    if facts.exists():
        prepared = Prepared.read(folder)
        if prepared.sizes != sizes:
            raise SystemExit(f"{folder} was prepared for {prepared.sizes}; name another folder")
        return prepared
    world = _world(sizes, (int(time.time() * 1000) // HOUR_MS - 24) * HOUR_MS)
    artifact = artifact_of(world, min(sizes.training_plays, sizes.history), folder / "models", sizes.training_steps)
    prepared = Prepared(folder, sizes, world, artifact)
    with EmbeddedKafka(data=folder / "kafka", heap_mb=1024) as kafka:
        live = prepared._live(kafka_settings(kafka.bootstrap), folder, {})
        create(live.kafka, live.topics)
        live.produce(SONG_RELEASES, catalogue_records(world))
        live.start("w")
        try:
            live.drained(within_s=600)
            publish(live, history(world, sizes.history), world)
            live.drained(within_s=1_800)
            codes = live.stop_all()
            assert codes == {"w": 0}, f"the worker that folds the history ended with {codes}"
        finally:
            live.end()
        embeddings = {
            value.song_id: np.frombuffer(value.embedding, "<f4")
            for _, _, value in live.contracts(SONG_EMBEDDINGS)
            if value is not None
        }
        np.savez(prepared.embeddings, ids=np.array(list(embeddings)), rows=np.stack(list(embeddings.values())))
        publish(live, plays_after(world, sizes, 0, sizes.plays), world)
    made = {"sizes": asdict(sizes), "start_ms": world.settings.start_ms, "artifact": str(artifact)}
    facts.write_text(json.dumps(made))
    return prepared


def _world(sizes: Sizes, start_ms: int) -> World:
    return World(
        WorldSettings(
            listeners=sizes.listeners,
            songs=sizes.songs,
            new_songs=sizes.new_songs,
            seed=sizes.seed,
            start_ms=start_ms,
        )
    )


def plays_after(world: World, sizes: Sizes, first: int, count: int) -> Iterator[Plays]:
    """Some of the plays after the history; which ones depends on the sizes alone."""
    per_second = (sizes.plays + sizes.flow) / (PLAYS_SPAN_H * 3_600)
    at = 0
    for block in Playing(world).plays(world.settings.start_ms, first + count, per_second):
        if at + len(block) > first:
            yield block.take(slice(max(0, first - at), None))
        at += len(block)


def publish(live: Live, blocks: Iterable[Plays], world: World) -> int:
    return asyncio.run(_publish(live, blocks, world))


async def _publish(live: Live, blocks: Iterable[Plays], world: World) -> int:
    producer = producer_of(live.kafka)
    await producer.start()
    try:
        sent = 0
        for block in blocks:
            by_partition = partitioned(block, world, live.topics.listener_partitions)
            await asyncio.gather(
                *(send(producer, live.topics.prefix + PLAYS.name, p, found) for p, found in by_partition.items())
            )
            sent += len(block)
        return sent
    finally:
        await producer.stop()


def producer_of(kafka: KafkaSettings) -> AIOKafkaProducer:
    return AIOKafkaProducer(**aiokafka_arguments(kafka), acks="all", max_batch_size=BATCH_BYTES, linger_ms=0)


def partitioned(block: Plays, world: World, partitions: int) -> dict[int, list[Record]]:
    found: dict[int, list[Record]] = defaultdict(list)
    keys, values = records(block, world.catalogue.ids)
    for key, value, at_ms in zip(keys, values, block.played_ms.tolist(), strict=True):
        found[partition_of(key, partitions)].append((at_ms, key, value))
    return found


async def send(producer: AIOKafkaProducer, topic: str, partition: int, found: list[Record]) -> None:
    """Returns when all is acknowledged."""
    sent = []
    batch = producer.create_batch()
    for at_ms, key, value in found:
        while batch.append(timestamp=at_ms, key=key, value=value) is None:
            sent.append(await producer.send_batch(batch, topic, partition=partition))
            batch = producer.create_batch()
    if batch.record_count():
        sent.append(await producer.send_batch(batch, topic, partition=partition))
    await asyncio.gather(*sent)
