"""Three brokers: one is killed and comes back under load, then each is restarted; nothing is lost, nobody is idle."""

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient

from streams.broker.embedded import EmbeddedKafka
from streams.broker.security import kafka_python_arguments
from streams.broker.topics import create
from streams.contracts.topics import PLAYS, PUSH_TARGETS, SONG_RELEASES, Shard, group_of
from streams.world.world import World
from tests.builders.kafka import SHORTEST_SESSION_MS, kafka_settings, topic_settings
from tests.harness.live import Live
from tests.harness.scene import catalogue_records, play_records
from tests.harness.stream import Story, Stream, told
from tests.twin.check import settled

pytestmark = pytest.mark.chaos

WORKERS = ("w0", "w1")
SETTINGS = {"BCL__CROWDS__WARM_AT_LISTENERS": "8", "BCL__ADMISSION__HOLD_OUT_SHARE": "0.1"}


def asked(live: Live) -> Any:
    return closing(KafkaAdminClient(**kafka_python_arguments(live.kafka)))


def leaders_of(live: Live, topic: str) -> set[int]:
    with asked(live) as admin:
        [found] = admin.describe_topics([live.topics.prefix + topic])
    return {one["leader_id"] for one in found["partitions"]}


def coordinator_of(live: Live, side: Shard) -> int:
    with asked(live) as admin:
        return int(admin._manager.run(admin._find_coordinator_id, group_of(side, live.topics.prefix)))


def shares(live: Live, side: Shard) -> list[int]:
    """Of each member of the group, how many topic partitions it has."""
    group = group_of(side, live.topics.prefix)
    with asked(live) as admin:
        members = admin.describe_groups([group])[group]["members"]
    return [
        sum(len(topic["partitions"]) for topic in one["member_assignment"]["assigned_partitions"]) for one in members
    ]


def test_brokers_die_and_are_restarted_under_load_and_nothing_is_lost(
    three_brokers: EmbeddedKafka, world: World, artifact: Path, tmp_path: Path
) -> None:
    kafka = kafka_settings(three_brokers.bootstrap, session_timeout_ms=SHORTEST_SESSION_MS)
    topics = topic_settings(replication=3, min_insync=2)
    create(kafka, topics)
    live = Live(kafka, topics, tmp_path, artifact, SETTINGS)
    try:
        for name in WORKERS:
            live.start(name)
        live.produce(SONG_RELEASES, catalogue_records(world))
        live.produce(PLAYS, play_records(world, 15_000))
        live.drained()

        stream = Stream(live, told(world, Story(plays=5_000, releases=8), seed=21), lasts_s=30)
        stream.reaches(0.2)
        busiest = coordinator_of(live, Shard.LISTENER)
        assert busiest in leaders_of(live, PLAYS.name)
        three_brokers.kill(busiest)
        stream.reaches(0.6)
        three_brokers.restart(busiest)
        stream.joined()
        three_brokers.wait_until_in_sync()
        live.drained()

        stream = Stream(live, told(world, Story(plays=5_000, releases=8, first=8), seed=22), lasts_s=40)
        for node in (1, 2, 3):
            three_brokers.restart(node)
            three_brokers.wait_until_in_sync()
        stream.joined()
        live.drained()

        Stream(live, told(world, Story(plays=1_000, releases=2, first=16), seed=23), lasts_s=3).joined()
        live.drained()
        live.owning(*WORKERS)
        assert shares(live, Shard.SONG) == [5, 5]  # topics: each worker has one of the two partitions
        assert shares(live, Shard.LISTENER) == [10, 10]
        settled(live)
        assert len(live.contracts(PUSH_TARGETS)) > 1_000
    finally:
        live.end()
