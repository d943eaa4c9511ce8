"""`bcl replay` straight from the topics says what it says of the same records in files; --until ends it earlier."""

import json
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from kafka import KafkaProducer

from bcl_model.artifact import write_artifact
from streams.broker.security import kafka_python_arguments
from streams.catalogue.content import content_of
from streams.cli import main
from streams.contracts.topics import HOUR_MS
from streams.settings import KafkaSettings, TopicSettings
from streams.world.world import World, WorldSettings
from tests.builders.catalogue import untrained_artifact
from tests.builders.told import log_of, quick_past_of

RELEASES = 8


def test_topics_replay_as_their_recording_does(
    kafka_settings: KafkaSettings,
    make_topics: Callable[..., TopicSettings],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    start_ms = int(time.time() * 1_000) // HOUR_MS * HOUR_MS - 48 * HOUR_MS  # what is older the broker would remove
    world = World(WorldSettings(listeners=400, songs=100, new_songs=RELEASES, start_ms=start_ms, base_rate=0.08))
    topics = make_topics()
    with closing(KafkaProducer(**kafka_python_arguments(kafka_settings), acks="all", linger_ms=5)) as producer:
        for one in log_of(world, quick_past_of(world, 3_000, days=30), releases=RELEASES, budget=40):
            producer.send(topics.prefix + one.topic.name, key=one.key, value=one.value, timestamp_ms=one.time_ms)
        producer.flush(timeout=60)
    artifact = write_artifact(tmp_path / "models", untrained_artifact(*map(content_of, world.songs()), dimension=16))
    said = {
        "topics.prefix": topics.prefix,
        "topics.listener_partitions": topics.listener_partitions,
        "topics.song_partitions": topics.song_partitions,
        "model.artifact": artifact,
    }
    sets = [word for name, value in said.items() for word in ("--set", f"{name}={value}")]
    broker = ["--brokers", kafka_settings.brokers, *sets]

    def report(*words: str) -> dict:
        assert main(["replay", "--json", "--horizon-h", "24", *words]) == 0
        return json.loads(capsys.readouterr().out)["report"]

    assert main(["record", "--out", str(tmp_path / "log"), *broker]) == 0
    capsys.readouterr()
    recorded, live = report("--data", str(tmp_path / "log"), *sets), report(*broker)

    assert recorded["releases"] == RELEASES
    assert {**recorded, "run": None} == {**live, "run": None}
    earlier = report(*broker, "--until", f"ts={(start_ms + 27 * HOUR_MS) // 1_000}")
    assert 0 < earlier["releases"] < RELEASES
    assert earlier["per_release"] == [
        {**one, "popularity": cut["popularity"]}
        for cut, one in zip(earlier["per_release"], recorded["per_release"], strict=False)
    ]
