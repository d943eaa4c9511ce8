"""What chaos tests share: a world and its artifact, and live runs whose history lies in Kafka when the test begins."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streams.contracts.topics import LISTENER_SETTINGS, PLAYS, SONG_RELEASES
from streams.settings import KafkaSettings, TopicSettings
from streams.world.world import World
from tests.harness.live import Live
from tests.harness.scene import artifact_of, catalogue_records, play_records, small_world

PLAYS_BEFORE = 15_000

# Small numbers, so that a small world meets every rule: caps, thinned samples, a hold-out that is seen.
SETTINGS = {
    "BCL__LISTENING__SAMPLED_PLAYS": "30",
    "BCL__CROWDS__WARM_AT_LISTENERS": "8",
    "BCL__ADMISSION__ROLLING_CAP": "2",
    "BCL__ADMISSION__HOLD_OUT_SHARE": "0.1",
}


@pytest.fixture(scope="session")
def world() -> World:
    return small_world()


@pytest.fixture(scope="session")
def artifact(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return artifact_of(world, 30_000, tmp_path_factory.mktemp("models"))


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
