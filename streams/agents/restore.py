"""Where a shard's state comes from when a worker gets it: its own disk, a checkpoint or the topic; then the decisions.

own disk ─┐ whichever has read further        what the shard's stages have published beyond that state
checkpoint┘ (neither: from the topic)  ─► shard ◄─ is adopted: it stands, whoever decided it
"""

import asyncio
import logging
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from streams.contracts.codec import decode
from streams.contracts.topics import TOPICS
from streams.contracts.topics import Shard as Side
from streams.errors import StoreDamaged
from streams.metrics import Metrics
from streams.settings import Settings
from streams.shard import Shard
from streams.state.checkpoints import Checkpoints, Snapshot
from streams.state.rocksdict_store import RocksdictStore
from streams.wiring import Wiring

log = logging.getLogger("bcl.restore")


class Restore:
    def __init__(self, wiring: Wiring, kafka: Mapping[str, Any], settings: Settings, metrics: Metrics) -> None:
        self._wiring, self._kafka, self._settings, self._metrics = wiring, kafka, settings, metrics
        self._folder = Path(settings.worker.data) / "state"
        self._on_disk = Lock()  # no folder is removed while it is being opened
        self._checkpoints: Checkpoints | None = None
        if settings.checkpoints.store:
            self._checkpoints = Checkpoints(
                settings.checkpoints.store,
                settings.checkpoints.keep,
                settings.checkpoints.keep_h,
                scratch=Path(settings.worker.data) / "checkpoint-scratch",
            )

    # -- opening

    async def shard(self, side: Side, partition: int) -> Shard:
        shard = await asyncio.to_thread(self._open, side, partition)
        await self._adopt(shard)
        return shard

    def _open(self, side: Side, partition: int) -> Shard:
        with self._on_disk:
            store = self._store(f"{side.value}-{partition}")
        return self._wiring.shard(side, partition, store)

    def _store(self, name: str) -> RocksdictStore:
        folder = self._folder / name
        own = self._own(folder)
        newest = next(iter(self._checkpoints.newest(name)), None) if self._checkpoints else None
        if own is not None and (newest is None or not _is_behind(own.offsets(), newest.offsets)):
            self._metrics.restored("disk")
            return own
        if own is not None:
            own.close()
        self._from_checkpoint(name, folder)
        return RocksdictStore(folder)

    def _from_checkpoint(self, name: str, folder: Path) -> None:
        """Into `folder`, from the newest that is whole; where none is, what was there before stays."""
        aside = folder.with_name(f".{name}.behind")
        shutil.rmtree(aside, ignore_errors=True)
        if folder.exists():
            folder.rename(aside)
        restored = None
        if self._checkpoints is not None:
            restored = self._checkpoints.restore(name, folder)
            for refused in self._checkpoints.refused:
                log.warning("checkpoint %s of %s is refused: %s", refused.name, refused.shard, refused.reason)
            self._checkpoints.refused.clear()
        if restored is not None:
            self._metrics.restored("checkpoint")
            log.info("%s: restored from checkpoint %s, offsets %s", name, restored.name, restored.offsets)
        elif aside.exists():
            self._metrics.restored("disk")
            aside.rename(folder)
        else:
            self._metrics.restored("topic")
            log.info("%s: no checkpoint, rebuilt from the topics", name)
        shutil.rmtree(aside, ignore_errors=True)

    def _own(self, folder: Path) -> RocksdictStore | None:
        if not folder.exists():
            return None
        try:
            return RocksdictStore(folder)
        except StoreDamaged as error:
            log.error("%s cannot be read and is left aside: %s", folder, error)
            shutil.rmtree(folder)
            return None

    async def _adopt(self, shard: Shard) -> None:
        """Reads the shard's own partition of its decision topics from where its state ends to their present end."""
        prefix = self._settings.topics.prefix
        topic_of = {TopicPartition(prefix + topic, shard.partition): topic for topic in shard.decisions}
        consumer = AIOKafkaConsumer(**self._kafka, group_id=None, enable_auto_commit=False, fetch_max_wait_ms=20)
        await consumer.start()
        try:
            inputs = {TopicPartition(prefix + topic, shard.partition): topic for topic in shard.stages}
            shard.adopts_until({inputs[at]: end for at, end in (await consumer.end_offsets(list(inputs))).items()})
            consumer.assign(list(topic_of))
            begins = await consumer.beginning_offsets(list(topic_of))
            ends = await consumer.end_offsets(list(topic_of))
            waiting = {}
            for at, topic in topic_of.items():
                start = max(shard.next_offset(topic) or 0, begins[at])
                consumer.seek(at, start)
                if start < ends[at]:
                    waiting[at] = ends[at]
            while waiting:
                fetched = await consumer.getmany(*waiting, timeout_ms=500)
                for at, records in fetched.items():
                    topic = topic_of[at]
                    for record in records:
                        if record.value is not None:
                            contract = decode(
                                TOPICS[topic], record.key, record.value, record.timestamp, self._settings.contracts
                            )
                            if contract is not None:
                                shard.adopt(topic, contract)
                waiting = {at: end for at, end in waiting.items() if await consumer.position(at) < end}
        finally:
            await consumer.stop()

    # -- checkpoints

    @property
    def takes_checkpoints(self) -> bool:
        return self._checkpoints is not None

    def snapshot(self, shard: Shard) -> Snapshot:
        """Called while no batch of the shard is under way."""
        assert self._checkpoints is not None
        now_ms = int(time.time() * 1000)
        return self._checkpoints.snapshot(shard.store, shard.name, self._wiring.encoder.artifact, now_ms)

    async def upload(self, snapshot: Snapshot) -> None:
        assert self._checkpoints is not None
        name = await asyncio.to_thread(self._checkpoints.upload, snapshot)
        await asyncio.to_thread(self._checkpoints.prune, snapshot.taken_ms)
        log.info("%s: checkpoint %s", snapshot.shard, name)

    def forget_strangers(self, owned: set[str]) -> None:
        """State of partitions that moved away is a cache that grows old: what was erased elsewhere must go here too."""
        oldest = time.time() - self._settings.checkpoints.keep_h * 3600
        for folder in self._folder.glob("*-*"):
            with self._on_disk, suppress(FileNotFoundError):  # restored under another name since it was listed
                if folder.name not in owned and folder.stat().st_mtime < oldest:
                    shutil.rmtree(folder, ignore_errors=True)


def _is_behind(own: Mapping[str, int], other: Mapping[str, int]) -> bool:
    """Reading on from `other` is less work: it is ahead in some topic and behind in none."""
    return (
        own != other
        and all(own.get(topic, 0) <= offset for topic, offset in other.items())
        and (set(own) <= set(other))
    )
