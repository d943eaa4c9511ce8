"""What tests share: one real Kafka for the whole run, started when the first test asks, and topics of their own."""

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from streams.broker.embedded import EmbeddedKafka
from streams.broker.topics import create, drop
from streams.settings import KafkaSettings, TopicSettings
from streams.world.world import World
from tests.builders.kafka import kafka_settings, topic_settings
from tests.harness.scene import artifact_of, small_world

BROKER_FIXTURES = {"kafka", "kafka_settings", "topics", "make_topics", "make_cluster", "three_brokers"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Who asks for a broker carries the marker `broker`, without having to say so."""
    for item in items:
        if BROKER_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.broker)


@pytest.fixture(scope="session")
def kafka() -> Iterator[str]:
    """host:port of a Kafka: the one that BCL_TEST_BROKERS names, else one embedded node for the whole run."""
    if named := os.environ.get("BCL_TEST_BROKERS"):
        yield named
        return
    with EmbeddedKafka() as cluster:
        yield cluster.bootstrap


@pytest.fixture(name="kafka_settings")
def kafka_settings_of_the_run(kafka: str) -> KafkaSettings:
    return kafka_settings(kafka)


@pytest.fixture
def make_topics(kafka_settings: KafkaSettings) -> Iterator[Callable[..., TopicSettings]]:
    """make_topics(listener_partitions=2, ...) -> settings of topics that are there, under a prefix of their own."""
    with ExitStack() as stack:

        def make(**changes: object) -> TopicSettings:
            made = topic_settings(**{"prefix": f"test-{uuid.uuid4().hex[:12]}-", **changes})
            create(kafka_settings, made)
            stack.callback(drop, kafka_settings, made)
            return made

        yield make


@pytest.fixture
def topics(make_topics: Callable[..., TopicSettings]) -> TopicSettings:
    return make_topics()


@pytest.fixture
def make_cluster() -> Iterator[Callable[..., EmbeddedKafka]]:
    """make_cluster(nodes=3, ...) -> a running cluster of the test's own, to be killed and restarted as it likes."""
    with ExitStack() as stack:
        yield lambda *args, **named: stack.enter_context(EmbeddedKafka(*args, **named))


@pytest.fixture
def three_brokers(make_cluster: Callable[..., EmbeddedKafka]) -> EmbeddedKafka:
    return make_cluster(nodes=3)


@pytest.fixture(scope="session")
def world() -> World:
    """Small, and simulated; its present is ours."""
    return small_world()


@pytest.fixture(scope="session")
def artifact(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that was really trained, on plays of that world."""
    return artifact_of(world, 60_000, tmp_path_factory.mktemp("models"))
