"""What cannot be read or used becomes one dead letter each, and the stream goes on as if it had not been there."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import NamedTuple

import msgspec
from kafka import KafkaProducer

from streams.broker.security import kafka_python_arguments
from streams.contracts.codec import read_dead_letter
from streams.contracts.dead_letters import DeadLetter
from streams.contracts.listeners import ListenerSettings
from streams.contracts.topics import (
    AUDIO_RELEASES,
    LISTENER_SETTINGS,
    PLAYS,
    READ_BY_STAGES,
    SONG_RELEASES,
    Topic,
)
from streams.settings import KafkaSettings, TopicSettings
from streams.state import layout
from streams.world.world import World
from tests.builders.malformed import KINDS, malformed
from tests.harness.live import Live
from tests.harness.scene import catalogue_records, play_records
from tests.harness.stream import Event, Story, event, told
from tests.twin.check import check
from tests.twin.log import last_state

MALFORMED, OF_WRONG_SIZE = 1_300, 40  # 1,042 of them on topics that a worker reads
MAX_RECORD_BYTES = 50_000


class Bad(NamedTuple):
    event: Event
    reason: str  # how it begins
    kind: str


def unusable(world: World, live: Live, seed: int) -> list[Bad]:
    """What the door refuses, and releases that only the model can tell are wrong: their vectors have another size."""
    now_ms = int(time.time() * 1000)
    limits = live.settings().contracts
    bad = [
        # Kafka itself takes no record without a key into a compacted topic
        Bad(Event(one.topic, one.key or (b"" if one.topic.compacted else None), one.value, now_ms), one.field, one.kind)
        for one in malformed(MALFORMED, seed=seed, at_ms=now_ms, limits=limits)
        if one.topic is not AUDIO_RELEASES  # which no worker reads; tests/integration/test_featurize.py does
    ]
    for n, song in enumerate(list(world.songs())[:OF_WRONG_SIZE]):
        audio = song.vectors["audio"]
        vectors = {**song.vectors, "audio": (*audio, 0.5) if n % 2 else audio[:-1]}
        song = msgspec.structs.replace(song, song_id=f"odd-{n}", vectors=vectors)
        bad.append(Bad(event(SONG_RELEASES, song.song_id, song, now_ms), "field 'audio'", "vector-of-another-size"))
    return bad


def good(world: World, seed: int) -> list[Event]:
    catalogue = [event(SONG_RELEASES, *record) for record in catalogue_records(world)]
    history = [Event(PLAYS, *record) for record in play_records(world, 12_000)]
    return [*catalogue, *history, *told(world, Story(plays=2_000), seed)]


def mixed(good: Sequence[Event], bad: Sequence[Bad], seed: int) -> list[Event | Bad]:
    """Each keeps its own order."""
    random = Random(seed)
    places = sorted(random.uniform(0, len(good)) for _ in bad)
    found: list[tuple[float, Event | Bad]] = [*enumerate(good), *zip(places, bad, strict=True)]
    return [one for _, one in sorted(found, key=lambda place: place[0])]


def sent(live: Live, records: Sequence[Event | Bad]) -> dict[tuple[str, int, int], Bad]:
    """Where the bad ones lie: topic, partition, offset."""
    producer = KafkaProducer(**kafka_python_arguments(live.kafka), acks="all", linger_ms=5)
    try:
        futures = []
        for one in records:
            topic, key, value, time_ms = one.event if isinstance(one, Bad) else one
            name = live.topics.prefix + topic.name
            futures.append(producer.send(name, key=key, value=value, timestamp_ms=time_ms))
        producer.flush(timeout=120)
        places = [(one, future.get(timeout=60)) for one, future in zip(records, futures, strict=True)]
        return {(one.event.topic.name, at.partition, at.offset): one for one, at in places if isinstance(one, Bad)}
    finally:
        producer.close()


def letters(live: Live, topics: Sequence[Topic] = READ_BY_STAGES) -> list[DeadLetter]:
    records = [record for topic in topics for record in live.records(topic.dead_letters).get(0, [])]
    return [read_dead_letter(record.key, record.value, record.headers) for record in records]


def bcl(live: Live, *words: str) -> str:
    environment = {**os.environ, **live.environment("reader")}
    done = subprocess.run(
        [sys.executable, "-m", "streams.cli", *words], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_a_thousand_malformed_records_become_dead_letters_and_nothing_else_changes(
    kafka_settings: KafkaSettings,
    make_topics: Callable[..., TopicSettings],
    world: World,
    artifact: Path,
    tmp_path: Path,
) -> None:
    changes = {"BCL__CONTRACTS__MAX_RECORD_BYTES": str(MAX_RECORD_BYTES)}
    live = Live(kafka_settings, make_topics(), tmp_path, artifact, changes)
    bad = unusable(world, live, seed=3)
    assert len(KINDS) == 20 and {one.kind for one in bad} > KINDS.keys()
    try:
        worker = live.start("w0")
        wanted = sent(live, mixed(good(world, seed=4), bad, seed=5))
        live.drained()
        assert worker.process.poll() is None, "the worker ended"
        assert live.stop_all() == {"w0": 0}

        found = letters(live)
        assert sorted((one.topic, one.partition, one.offset) for one in found) == sorted(wanted)
        for letter in found:
            event, reason, kind = wanted[letter.topic, letter.partition, letter.offset]
            assert letter.reason.startswith(reason), (kind, letter)
            assert letter.is_cut == (kind == "oversized-record"), (kind, letter)
            if not letter.is_cut:
                assert (letter.key, letter.value, letter.time_ms) == (event.key, event.value, event.time_ms)
        check(live)

        listed = [json.loads(line) for line in bcl(live, "dead-letters", "list", "--json").splitlines()]
        assert sorted((one["topic"], one["partition"], one["offset"]) for one in listed) == sorted(wanted)
    finally:
        live.end()


def test_what_is_no_longer_refused_is_replayed_and_folded(
    kafka_settings: KafkaSettings,
    make_topics: Callable[..., TopicSettings],
    artifact: Path,
    tmp_path: Path,
) -> None:
    """A phone whose clock is a day ahead: settings of the far future are believed once the limit is raised."""
    live = Live(kafka_settings, make_topics(), tmp_path, artifact)
    now_ms = int(time.time() * 1000)
    said = [ListenerSettings(f"l{n}", False, now_ms + 86_400_000, None, None) for n in range(50)]
    try:
        live.start("w0")
        live.produce(LISTENER_SETTINGS, [(one.listener_id, one, now_ms) for one in said])
        live.produce(LISTENER_SETTINGS, [("l1", b"{oops", now_ms)])
        live.drained()
        assert live.stop_all() == {"w0": 0} and len(letters(live)) == 51

        live.changes = {"BCL__CONTRACTS__MAX_AHEAD_H": "48"}
        live.start("w0")
        told = json.loads(bcl(live, "dead-letters", "replay", "--topic", LISTENER_SETTINGS.name, "--json"))
        assert told["replayed"] == 50 and len(told["still_refused"]) == 1
        live.drained()
        assert live.stop_all() == {"w0": 0} and len(letters(live)) == 51
        kept = {
            name.decode()
            for partition in range(live.topics.listener_partitions)
            for name in last_state(live, "listener", partition).of(layout.SETTINGS)
        }
        assert kept == {one.listener_id for one in said}
    finally:
        live.end()
