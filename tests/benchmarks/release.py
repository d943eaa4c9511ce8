"""From a release to its targets while plays flow at half the rate that the worker can take: first, last, and each hop.

Seen from outside; nothing of it is the worker's own word. When a target is there to be read, Kafka's clock says, which
stamps what arrives. A consumer of all the topics on the way, on the core that the broker and the player have, sees it
later.
"""

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from streams.agents.bare_records import hand_over_bare_records
from streams.broker.security import aiokafka_arguments
from streams.contracts.releases import Release
from streams.contracts.topics import (
    AUDIENCE_ANSWERS,
    AUDIENCE_QUERIES,
    PUSH_SUPPRESSIONS,
    PUSH_TARGETS,
    SONG_EMBEDDINGS,
    SONG_RELEASES,
    TARGET_CANDIDATES,
    Topic,
)
from tests.benchmarks.ingest import ROOT, run_to_end, start_worker, stop_worker
from tests.benchmarks.machine import Cores
from tests.benchmarks.prepared import Prepared
from tests.harness.live import Live, partition_count

HOPS = (SONG_EMBEDDINGS, AUDIENCE_QUERIES, AUDIENCE_ANSWERS, TARGET_CANDIDATES)
PUSHED = (PUSH_TARGETS, PUSH_SUPPRESSIONS)
UNCAPPED = {  # so that who is chosen is told: caps would make suppressions of most decisions
    "BCL__ADMISSION__COOLDOWN_H": "0",
    "BCL__ADMISSION__DAY_CAP": "100",
    "BCL__ADMISSION__ROLLING_CAP": "100",
    "BCL__ADMISSION__KEEP_PUSHES": "100",
}
STAMPED = {"message.timestamp.type": "LogAppendTime"}
WARM_UP = 10  # releases that are not counted: the broker's Java compiles what it runs often
QUIET_S = 3.0  # after which nothing follows any more
PATIENCE_S = 60.0


@dataclass
class Seen:
    """Of one release, in milliseconds since the epoch."""

    sent_ms: float = 0.0
    hops: dict[str, float] = field(default_factory=dict)  # topic -> when its last record was seen
    first_ms: int = 0  # target or suppression, as Kafka stamped it
    last_ms: int = 0
    last_seen_ms: float = 0.0
    decided: int = 0
    targets: int = 0


def measure(
    prepared: Prepared,
    cores: Cores,
    *,
    releases: int,
    every_s: float,
    budget: int,
    share_of_rate: float = 0.5,
    profile: Path | None = None,
    changes: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    hand_over_bare_records()
    with prepared.copy("release", {**UNCAPPED, **(changes or {})}) as live:
        live.alters(PUSHED, STAMPED)
        worker = start_worker(live, cores, profile)
        rate = run_to_end(live, prepared, worker).undisturbed_per_second()
        live.drained(within_s=300, quiet_s=0.0)
        flow = rate * share_of_rate
        lasts_s = (releases + WARM_UP) * every_s + 2 * QUIET_S
        if profile is not None:
            worker.process.send_signal(signal.SIGRTMIN)
        player = _player(live, prepared, flow, lasts_s)
        try:
            seen = asyncio.run(_releases(live, prepared, player, releases + WARM_UP, every_s, budget))
            played = json.loads(player.communicate(timeout=lasts_s + PATIENCE_S)[0].splitlines()[-1])
        finally:
            player.kill()
            player.wait()
        stop_worker(worker)
    return {
        **_summary(seen[WARM_UP:]),
        "budget": budget,
        "releases": releases,
        "ingest_plays_per_second": round(rate),
        "flow_plays_per_second": round(played["plays_per_second"]),
    }


def _player(live: Live, prepared: Prepared, per_second: float, lasts_s: float) -> "subprocess.Popen[str]":
    plays = int(per_second * lasts_s)
    if plays > prepared.sizes.flow:
        raise SystemExit(
            f"--flow is {prepared.sizes.flow}, wanted at least {plays}: the plays would end before the releases"
        )
    command = ["-m", "tests.benchmarks.player", str(prepared.folder), live.kafka.brokers, live.topics.prefix]
    player = subprocess.Popen(
        [sys.executable, *command, str(plays), str(per_second)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert player.stdout is not None
    if player.stdout.readline() != "ready\n":
        raise AssertionError("the player did not begin")
    return player


async def _releases(
    live: Live, prepared: Prepared, player: "subprocess.Popen[str]", count: int, every_s: float, budget: int
) -> list[Seen]:
    new = [msgspec.structs.replace(release, budget=budget) for release in prepared.world.new_releases(count)]
    seen = {release.song_id: Seen() for release in new}
    watching = asyncio.Event()
    observer = asyncio.create_task(_observe(live, seen, watching))
    await watching.wait()
    assert player.stdin is not None
    player.stdin.write("play\n")
    player.stdin.flush()
    producer = AIOKafkaProducer(**aiokafka_arguments(live.kafka), acks="all", linger_ms=0)
    await producer.start()
    try:
        await asyncio.sleep(QUIET_S)
        begun_s = time.perf_counter()
        for n, release in enumerate(new):
            await asyncio.sleep(max(0.0, begun_s + n * every_s - time.perf_counter()))
            seen[release.song_id].sent_ms = time.time() * 1000
            await _release(producer, live, release)
        await _until_quiet(list(seen.values()))
    finally:
        await producer.stop()
        observer.cancel()
        await asyncio.gather(observer, return_exceptions=True)
    return list(seen.values())


async def _release(producer: AIOKafkaProducer, live: Live, release: Release) -> None:
    topic = live.topics.prefix + SONG_RELEASES.name
    await producer.send_and_wait(topic, msgspec.json.encode(release), key=release.song_id.encode())


async def _until_quiet(seen: Sequence[Seen]) -> None:
    until_s = time.time() + PATIENCE_S
    while time.time() < until_s:
        last_s = max((one.last_seen_ms for one in seen), default=0.0) / 1000
        if all(one.decided for one in seen) and time.time() - last_s > QUIET_S:
            return
        await asyncio.sleep(0.1)
    missing = sum(not one.decided for one in seen)
    raise AssertionError(f"{missing} of {len(seen)} releases have no target after {PATIENCE_S:.0f} s")


async def _observe(live: Live, seen: dict[str, Seen], watching: asyncio.Event) -> None:
    consumer = AIOKafkaConsumer(
        **aiokafka_arguments(live.kafka), group_id=None, enable_auto_commit=False, fetch_max_wait_ms=10
    )
    await consumer.start()
    try:
        of: dict[TopicPartition, Topic] = {
            TopicPartition(live.topics.prefix + topic.name, partition): topic
            for topic in (*HOPS, *PUSHED)
            for partition in range(partition_count(live.topics, topic))
        }
        consumer.assign(list(of))
        await consumer.seek_to_end()
        for at in of:
            await consumer.position(at)
        watching.set()
        while True:
            fetched = await consumer.getmany(timeout_ms=500)
            now_ms = time.time() * 1000
            for at, records in fetched.items():
                _note(of[at], records, seen, now_ms)
    finally:
        await consumer.stop()


def _note(topic: Topic, records: Sequence[Any], seen: dict[str, Seen], now_ms: float) -> None:
    if topic in PUSHED:
        for record in records:
            one = seen.get(_song_of(record.value))
            if one is not None:
                one.first_ms = min(one.first_ms or record.timestamp, record.timestamp)
                one.last_ms = max(one.last_ms, record.timestamp)
                one.last_seen_ms = now_ms
                one.decided += 1
                one.targets += topic is PUSH_TARGETS
    else:
        for record in records:
            one = seen.get(record.key.decode())
            if one is not None:
                one.hops[topic.name] = now_ms


def _song_of(value: bytes) -> str:
    start = value.index(_SONG) + len(_SONG)
    return value[start : value.index(b'"', start)].decode()


_SONG = b'"song_id":"'


def _summary(seen: Sequence[Seen]) -> dict[str, Any]:
    first = [one.first_ms - one.sent_ms for one in seen]
    last = [one.last_ms - one.sent_ms for one in seen]
    last_seen = [one.last_seen_ms - one.sent_ms for one in seen]
    reached: dict[str, list[float]] = defaultdict(list)
    for one in seen:
        for topic in HOPS:
            reached[topic.name].append(one.hops[topic.name] - one.sent_ms)
    return {
        "first_target_ms": _ms(first),
        "last_target_ms": _ms(last),
        "last_target_seen_ms": _ms(last_seen),
        "hops_ms": {topic: _ms(found) for topic, found in reached.items()},  # from the sending to the last record
        "decided_per_release": round(float(np.median([one.decided for one in seen]))),
        "targets_per_release": round(float(np.median([one.targets for one in seen]))),
    }


def _ms(lasted: Sequence[float]) -> dict[str, int]:
    return {name: round(float(np.percentile(lasted, p))) for name, p in (("p50", 50), ("p99", 99))}
