"""What tests share: which of them run, one real Kafka for the whole run, and topics of their own."""

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from streams.broker.embedded import EmbeddedKafka
from streams.broker.topics import create, drop
from streams.contracts.topics import LISTENER_SETTINGS, PLAYS, SONG_RELEASES
from streams.settings import KafkaSettings, TopicSettings
from streams.world.world import World
from tests.builders.kafka import kafka_settings, topic_settings
from tests.harness.live import Live
from tests.harness.scene import artifact_of, catalogue_records, play_records, small_world

BROKER_FIXTURES = {"kafka", "kafka_settings", "topics", "make_topics", "make_cluster", "three_brokers", "make_live"}

TAKES_MINUTES = ("chaos", "slow")

# However slow the machine is, an example takes the time that it takes.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")

PLAYS_BEFORE = 15_000

# Small numbers, so that a small world meets every rule: caps, thinned samples, a hold-out that is seen.
SETTINGS = {
    "BCL__LISTENING__SAMPLED_PLAYS": "30",
    "BCL__CROWDS__WARM_AT_LISTENERS": "8",
    "BCL__ADMISSION__ROLLING_CAP": "2",
    "BCL__ADMISSION__HOLD_OUT_SHARE": "0.1",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all", action="store_true", help="also what takes minutes: the markers chaos and slow")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Who asks for a broker carries the marker `broker`; what takes minutes runs where it is asked for."""
    for item in items:
        if BROKER_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.broker)
    if not is_narrowed(config):
        config.hook.pytest_deselected(items=[item for item in items if takes_minutes(item)])
        items[:] = [item for item in items if not takes_minutes(item)]


def takes_minutes(item: pytest.Item) -> bool:
    return any(map(item.get_closest_marker, TAKES_MINUTES))


def pytest_report_collectionfinish(config: pytest.Config) -> str | None:
    return None if is_narrowed(config) else f"what takes minutes ({', '.join(TAKES_MINUTES)}) runs with --all"


def is_narrowed(config: pytest.Config) -> bool:
    """Whether somebody says which tests to run: all, or those of a file, a folder, a marker or a name."""
    options, root = config.option, config.rootpath
    named = {(config.invocation_params.dir / one.split("::")[0]).resolve() for one in config.args}
    return bool(options.all or options.markexpr or options.keyword or not named <= {root, root / "tests"})


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


@pytest.fixture
def make_live(
    kafka_settings: KafkaSettings,
    make_topics: Callable[..., TopicSettings],
    world: World,
    artifact: Path,
    tmp_path: Path,
) -> Iterator[Callable[..., Live]]:
    """make_live(BCL__SECTION__KEY=value, ...) -> a run without workers; its catalogue and its history are in Kafka."""
    runs: list[Live] = []

    def make(**changes: str) -> Live:
        run = Live(kafka_settings, make_topics(), tmp_path, artifact, {**SETTINGS, **changes})
        runs.append(run)
        run.produce(SONG_RELEASES, catalogue_records(world))
        said = [(one.listener_id, one, one.changed_ms) for one in world.listener_settings()]
        run.produce(LISTENER_SETTINGS, said)
        run.produce(PLAYS, play_records(world, PLAYS_BEFORE))
        return run

    yield make
    for run in runs:
        run.end()


@pytest.fixture
def live(make_live: Callable[..., Live]) -> Live:
    return make_live()
