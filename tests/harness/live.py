"""A live run for tests: real workers as processes of their own, on a real Kafka; what goes in, what comes out."""

import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from http.client import HTTPException
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.consumer.fetcher import ConsumerRecord
from kafka.errors import CoordinatorLoadInProgressError, CoordinatorNotAvailableError, NotCoordinatorError

from streams.broker.security import kafka_python_arguments
from streams.broker.topics import _admin, _alter, plans
from streams.config import load_settings
from streams.contracts.codec import decode
from streams.contracts.topics import TOPICS, Shard, Topic
from streams.settings import KafkaSettings, Settings, TopicSettings

# Nobody has used a group so far, or a broker that has just started still reads its groups.
NOBODY_KNOWS_YET = (CoordinatorNotAvailableError, NotCoordinatorError, CoordinatorLoadInProgressError)
COMES_WITHIN_S = 180.0  # whatever is waited for; a limit for what hangs, not for what is slow
ENDS_WITHIN_S = 120.0
STAGE_INPUTS = {
    "songs": ("song-releases", "song-embeddings", "audience-samples", "audience-answers", "target-reactions"),
    "listeners": ("plays", "listener-settings", "listener-erasures", "audience-queries", "target-candidates"),
}
FEATURIZER_INPUTS = {"featurize": ("audio-releases",)}


@dataclass
class WorkerProcess:
    name: str
    process: subprocess.Popen[bytes]
    log: Path
    data: Path
    port: int

    def status(self) -> dict[str, Any]:
        """What it says of itself; empty while it does not answer."""
        try:
            return dict(msgspec.json.decode(fetched(f"http://127.0.0.1:{self.port}/status")))
        except (OSError, HTTPException):
            return {}

    def partitions(self) -> dict[str, list[int]]:
        return dict(self.status().get("partitions", {}))

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self, within_s: float = ENDS_WITHIN_S) -> int:
        self.tell_to_stop()
        return self.process.wait(within_s)

    def tell_to_stop(self) -> None:
        """One that has only just begun is heard first: before that nobody takes the signal."""
        until = time.monotonic() + COMES_WITHIN_S
        while self.process.poll() is None and not self.status() and time.monotonic() < until:
            time.sleep(0.05)
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)

    def pause(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def said(self) -> str:
        return self.log.read_text(errors="replace")


@dataclass
class Live:
    kafka: KafkaSettings
    topics: TopicSettings
    folder: Path
    artifact: Path
    changes: Mapping[str, str] = field(default_factory=dict)  # BCL__SECTION__KEY
    workers: dict[str, WorkerProcess] = field(default_factory=dict)

    # -- workers

    def environment(self, name: str) -> dict[str, str]:
        return {
            "BCL__KAFKA__BROKERS": self.kafka.brokers,
            "BCL__KAFKA__SESSION_TIMEOUT_MS": str(self.kafka.session_timeout_ms),
            "BCL__KAFKA__HEARTBEAT_MS": str(self.kafka.heartbeat_ms),
            "BCL__TOPICS__PREFIX": self.topics.prefix,
            "BCL__TOPICS__LISTENER_PARTITIONS": str(self.topics.listener_partitions),
            "BCL__TOPICS__SONG_PARTITIONS": str(self.topics.song_partitions),
            "BCL__TOPICS__REPLICATION": str(self.topics.replication),
            "BCL__TOPICS__MIN_INSYNC": str(self.topics.min_insync),
            "BCL__WORKER__NAME": "",
            "BCL__WORKER__DATA": str(self.folder / name),
            "BCL__WORKER__HTTP_PORT": "0",
            "BCL__WORKER__COMMIT_EVERY_S": "0.2",
            "BCL__WORKER__DRAIN_WITHIN_S": str(ENDS_WITHIN_S),
            "BCL__CHECKPOINTS__STORE": str(self.folder / "checkpoints"),
            "BCL__CHECKPOINTS__EVERY_S": "2",
            "BCL__MODEL__ARTIFACT": str(self.artifact),
            **self.changes,
        }

    def settings(self, name: str = "reader") -> Settings:
        return load_settings(environment=self.environment(name))

    def start(
        self, name: str, *, command: Sequence[str] = ("-m", "streams.cli", "worker"), **extra: str
    ) -> WorkerProcess:
        data = self.folder / name
        data.mkdir(parents=True, exist_ok=True)
        log = self.folder / f"{name}-{len(list(self.folder.glob(f'{name}-*.log')))}.log"
        port = free_port()
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, *command],
                env={
                    **os.environ,
                    **self.environment(name),
                    "OMP_NUM_THREADS": "1",
                    "BCL__WORKER__HTTP_PORT": str(port),
                    **extra,
                },
                stdout=out,
                stderr=out,
            )
        self.workers[name] = WorkerProcess(name, process, log, data, port)
        return self.workers[name]

    def begin(self, *names: str) -> None:
        """They share all partitions and have folded what was there."""
        for name in names:
            self.start(name)
        self.owning(*names)
        self.drained()

    def stop_all(self) -> dict[str, int]:
        """All at once: nobody takes over what another one leaves."""
        for worker in self.workers.values():
            worker.tell_to_stop()
        return {name: worker.process.wait(ENDS_WITHIN_S) for name, worker in self.workers.items()}

    def end(self) -> None:
        for worker in self.workers.values():
            with suppress(ProcessLookupError):
                worker.go_on()
            if worker.process.poll() is None:
                worker.kill()

    # -- records

    def keeps_all(self) -> None:
        """A log is whole only until compaction or age takes from it."""
        self.alters(TOPICS.values(), {"cleanup.policy": "delete", "retention.ms": "-1"})

    def alters(self, topics: Iterable[Topic], configs: Mapping[str, str]) -> None:
        """Beside what else was planned for them."""
        names = {self.topics.prefix + topic.name for topic in topics}
        wanted = [replace(one, configs={**one.configs, **configs}) for one in plans(self.topics) if one.name in names]
        with _admin(self.kafka) as admin:
            _alter(admin, wanted)

    def produce(self, topic: Topic, records: Iterable[tuple[str | bytes | None, object, int | None]]) -> int:
        """(key, value, time); values are contracts, bytes as they are, or None. Returns when all are acknowledged."""
        producer = KafkaProducer(**kafka_python_arguments(self.kafka), acks="all", linger_ms=5)
        try:
            sent = []
            for key, value, time_ms in records:
                raw = value if value is None or isinstance(value, bytes) else msgspec.json.encode(value)
                raw_key = key.encode() if isinstance(key, str) else key
                sent.append(
                    producer.send(self.topics.prefix + topic.name, key=raw_key, value=raw, timestamp_ms=time_ms)
                )
            producer.flush(timeout=60)
            for one in sent:
                one.get(timeout=60)
            return len(sent)
        finally:
            producer.close()

    def records(self, topic: Topic | str) -> dict[int, list[ConsumerRecord]]:
        """All there is now, by partition."""
        name = self.topics.prefix + (topic if isinstance(topic, str) else topic.name)
        consumer = KafkaConsumer(**kafka_python_arguments(self.kafka), enable_auto_commit=False)
        try:
            partitions = [TopicPartition(name, number) for number in sorted(consumer.partitions_for_topic(name) or ())]
            consumer.assign(partitions)
            consumer.seek_to_beginning(*partitions)
            ends = consumer.end_offsets(partitions)
            found: dict[int, list[ConsumerRecord]] = {at.partition: [] for at in partitions}
            while any(consumer.position(at) < ends[at] for at in partitions):
                for at, records in consumer.poll(timeout_ms=200).items():
                    found[at.partition] += records
            return found
        finally:
            consumer.close()

    def contracts(self, topic: Topic) -> list[tuple[int, int, Any]]:
        """(partition, offset, contract or None), in the order of the log within each partition."""
        settings = self.settings().contracts
        return [
            (partition, one.offset, decode(topic, one.key, one.value, one.timestamp, settings))
            for partition, records in self.records(topic).items()
            for one in records
        ]

    # -- waiting

    def lag(self) -> int:
        """Records that nobody has acknowledged, over all inputs of all stages."""
        admin = KafkaAdminClient(**kafka_python_arguments(self.kafka))
        consumer = KafkaConsumer(**kafka_python_arguments(self.kafka), enable_auto_commit=False)
        try:
            lag = 0
            for side, names in {**STAGE_INPUTS, **FEATURIZER_INPUTS}.items():
                group = f"{self.topics.prefix}bcl-{side}"
                done = committed(admin, group)
                partitions = [
                    TopicPartition(self.topics.prefix + name, number)
                    for name in names
                    for number in range(partition_count(self.topics, TOPICS[name]))
                ]
                ends = consumer.end_offsets(partitions)
                lag += sum(ends[at] - done.get((at.topic, at.partition), 0) for at in partitions)
            return lag
        finally:
            consumer.close()
            admin.close()

    def is_folded(self) -> bool:
        """As its owners say of each partition; what one acknowledged and took along when it died is read again."""
        behind: dict[str, int] = {}
        for worker in self.workers.values():
            for at, lag in worker.status().get("lag", {}).items():
                behind[at] = max(lag, behind.get(at, 0))
        wanted = {
            f"{self.topics.prefix}{name}[{number}]"
            for name in chain(*STAGE_INPUTS.values())
            for number in range(partition_count(self.topics, TOPICS[name]))
        }
        return wanted <= behind.keys() and not any(behind.values())

    def drained(self, within_s: float = COMES_WITHIN_S, quiet_s: float = 1.0) -> None:
        """Everything that was said has been folded, and nothing follows from it any more."""
        until, quiet_since = time.monotonic() + within_s, None
        lag = -1
        while time.monotonic() < until:
            dead = {name: worker.process.poll() for name, worker in self.workers.items()}
            lag = self.lag()
            if lag == 0 and self.is_folded():
                quiet_since = quiet_since or time.monotonic()
                if time.monotonic() - quiet_since >= quiet_s:
                    return
            else:
                quiet_since = None
            if all(code is not None for code in dead.values()):
                break
            time.sleep(0.2)
        logs = "\n".join(
            f"--- {name} ({worker.process.poll()})\n{worker.said()[-3000:]}" for name, worker in self.workers.items()
        )
        raise AssertionError(f"{lag} records are not folded after {within_s} s\n{logs}")

    def owning(self, *names: str, within_s: float = COMES_WITHIN_S) -> None:
        """These workers, and no others, share all partitions of both sides, as many of them as can have one."""
        until = time.monotonic() + within_s
        while not self.is_shared_by(*names):
            if time.monotonic() > until or any(self.workers[name].process.poll() is not None for name in names):
                logs = "\n".join(f"--- {name}\n{self.workers[name].said()[-3000:]}" for name in names)
                held = {name: self.workers[name].partitions() for name in names}
                raise AssertionError(f"nobody else comes, and the partitions are held so: {held}\n{logs}")
            time.sleep(0.1)

    def is_shared_by(self, *names: str) -> bool:
        counts = {"song": self.topics.song_partitions, "listener": self.topics.listener_partitions}
        held = [self.workers[name].partitions() for name in names]
        return all(_is_shared([each.get(side, []) for each in held], count) for side, count in counts.items())

    def until(self, said: str, worker: str, within_s: float = COMES_WITHIN_S, times: int = 1) -> None:
        end = time.monotonic() + within_s
        while self.workers[worker].said().count(said) < times:
            if time.monotonic() > end:
                log = self.workers[worker].said()[-3000:]
                raise AssertionError(f"{worker} did not say {said!r} {times} times within {within_s} s:\n{log}")
            time.sleep(0.1)


def _is_shared(held: Sequence[Sequence[int]], count: int) -> bool:
    return sorted(chain(*held)) == list(range(count)) and sum(map(bool, held)) == min(len(held), count)


def committed(admin: KafkaAdminClient, group: str) -> dict[tuple[str, int], int]:
    try:
        found = admin.list_group_offsets({group: None})
    except NOBODY_KNOWS_YET:
        return {}
    return {(at.topic, at.partition): meta.offset for at, meta in found[group].items()}


def partition_count(topics: TopicSettings, topic: Topic) -> int:
    return topics.song_partitions if topic.shard is Shard.SONG else topics.listener_partitions


def fetched(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return bytes(answer.read())


def free_port() -> int:
    """None of those that the system lends to clients: one of them could have it by the time that the worker listens."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as one, suppress(OSError):
            one.bind(("127.0.0.1", port))
            return port
