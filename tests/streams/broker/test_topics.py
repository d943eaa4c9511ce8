"""Topics are made as planned, and a difference is named, never accepted."""

import dataclasses
import re
import time
from collections.abc import Callable
from contextlib import closing

import pytest
from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType

from streams.broker.security import kafka_python_arguments
from streams.broker.topics import check, create, drop, plans
from streams.contracts.topics import AUDIO_RELEASES, PLAYS, READ_BY_STAGES, SONG_EMBEDDINGS, TOPICS, Shard
from streams.errors import BrokerUnavailable, TopicMismatch
from streams.settings import KafkaSettings, TopicSettings
from streams.wiring import AGENTS_OF
from tests.builders import kafka
from tests.builders.kafka import topic_settings


def test_every_topic_is_planned_and_each_that_a_stage_reads_has_dead_letters() -> None:
    assert set(READ_BY_STAGES) == {topic for agents in AGENTS_OF.values() for topic in agents} | {AUDIO_RELEASES}
    planned = {plan.name for plan in plans(topic_settings())}
    assert planned == set(TOPICS) | {topic.dead_letters for topic in READ_BY_STAGES}


def test_topics_of_one_side_have_equal_partition_counts_and_dead_letters_have_one() -> None:
    counts = {plan.name: plan.partitions for plan in plans(topic_settings(listener_partitions=8, song_partitions=3))}
    assert {counts[t.name] for t in TOPICS.values() if t.shard is Shard.LISTENER} == {8}
    assert {counts[t.name] for t in TOPICS.values() if t.shard is Shard.SONG} == {3}
    assert {counts[t.dead_letters] for t in READ_BY_STAGES} == {1}


def test_views_are_compacted_and_plays_are_kept_for_their_time() -> None:
    configs = {plan.name: plan.configs for plan in plans(topic_settings(min_insync=2, replication=3))}
    assert configs[SONG_EMBEDDINGS.name]["cleanup.policy"] == "compact"
    assert configs[PLAYS.name]["retention.ms"] == str(PLAYS.keep_ms)
    assert {config["min.insync.replicas"] for config in configs.values()} == {"2"}


def test_creating_twice_makes_nothing_the_second_time(kafka_settings: KafkaSettings, topics: TopicSettings) -> None:
    assert create(kafka_settings, topics) == []
    assert sorted(check(kafka_settings, topics)) == sorted(plan.name for plan in plans(topics))


def test_missing_topics_are_named(kafka_settings: KafkaSettings) -> None:
    with pytest.raises(TopicMismatch, match=r"nowhere-plays: found none, wanted 4 partitions; run `bcl topics create`"):
        check(kafka_settings, topic_settings(prefix="nowhere-"))


def test_another_partition_count_is_refused_by_check_and_by_create(
    kafka_settings: KafkaSettings, topics: TopicSettings
) -> None:
    other = dataclasses.replace(topics, listener_partitions=8)
    for verb in (check, create):
        with pytest.raises(TopicMismatch, match=rf"{topics.prefix}plays: found 4 partitions, wanted 8"):
            verb(kafka_settings, other)


def test_another_config_is_named_and_mended_on_request(kafka_settings: KafkaSettings, topics: TopicSettings) -> None:
    name = topics.prefix + PLAYS.name
    with closing(KafkaAdminClient(**kafka_python_arguments(kafka_settings))) as admin:
        plays = ConfigResource(ConfigResourceType.TOPIC, name)
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, configs={"retention.ms": "1000000"})])
        while admin.describe_configs([plays])["topic"][name]["retention.ms"]["value"] != "1000000":
            time.sleep(0.05)  # until the broker has heard of it from the controller
    wanted = re.escape(f"{name}: found retention.ms = 1000000, wanted {PLAYS.keep_ms}; run `bcl topics create --alter`")
    with pytest.raises(TopicMismatch, match=wanted):
        check(kafka_settings, topics)
    create(kafka_settings, topics, alter=True)
    assert name in check(kafka_settings, topics)


def test_two_prefixes_do_not_see_each_other(
    kafka_settings: KafkaSettings, make_topics: Callable[..., TopicSettings]
) -> None:
    one, other = make_topics(), make_topics(listener_partitions=2)
    drop(kafka_settings, one)
    assert check(kafka_settings, other)


def test_more_copies_than_brokers_are_refused(kafka_settings: KafkaSettings) -> None:
    with pytest.raises(TopicMismatch, match="too-many-copies-plays: InvalidReplicationFactor"):
        create(kafka_settings, topic_settings(prefix="too-many-copies-", replication=9))


def test_no_kafka_at_the_address_is_said() -> None:
    with pytest.raises(BrokerUnavailable, match=r"127\.0\.0\.1:1: refused: nothing listens there"):
        check(kafka.kafka_settings("127.0.0.1:1"), topic_settings())
