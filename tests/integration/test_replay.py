"""Live and replay: the stages driven from the recorded log of a live run say what they said live, byte for byte."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bcl_model.inference import SongEncoder
from streams.contracts.targets import Reason
from streams.contracts.topics import (
    LISTENER_ERASURES,
    PLAYS,
    PUSH_SUPPRESSIONS,
    PUSH_TARGETS,
    SONG_RELEASES,
    Topic,
)
from streams.recording.log import Log, recorded
from streams.replay.driver import PROMISED, exact, replay
from streams.settings import KafkaSettings, TopicSettings
from streams.world.world import World
from tests.builders.kafka import SHORTEST_SESSION_MS
from tests.harness.live import Live
from tests.harness.scene import catalogue_records, play_records
from tests.harness.stream import Story, Stream, told


def values(log: Log, topic: Topic) -> list[object]:
    return [value for partition in log.partitions(topic) for _, value in log.contracts(topic, partition)]


@pytest.mark.parametrize(
    "is_killed",
    [
        pytest.param(False, id="two-workers", marks=pytest.mark.slow),  # the other one is this, and more
        pytest.param(True, id="one-is-killed-and-comes-back"),
    ],
)
def test_a_replay_of_what_was_recorded_live_says_the_same_bytes(
    kafka_settings: KafkaSettings,
    make_topics: Callable[..., TopicSettings],
    world: World,
    artifact: Path,
    tmp_path: Path,
    is_killed: bool,
) -> None:
    if is_killed:
        kafka_settings = replace(kafka_settings, session_timeout_ms=SHORTEST_SESSION_MS)
    live = Live(kafka_settings, make_topics(), tmp_path, artifact)
    live.keeps_all()
    try:
        live.start("w0")
        live.start("w1")
        live.produce(SONG_RELEASES, catalogue_records(world))
        live.produce(PLAYS, play_records(world, 30_000))
        live.owning("w0", "w1")
        live.drained()
        stream = Stream(live, told(world, Story(releases=10), seed=11), lasts_s=15)
        if is_killed:
            stream.reaches(0.4)
            live.workers["w1"].kill()
            stream.reaches(0.7)
            live.start("w1")
        stream.joined()
        live.owning("w0", "w1")
        live.drained()
        assert live.stop_all() == {"w0": 0, "w1": 0}
        log = recorded(live.settings())
    finally:
        live.end()

    replayed = replay(log, exact(live.settings(), SongEncoder.load(artifact)))

    assert replayed.differences(log) == []
    assert all(any(replayed.said[topic.name].values()) for topic in PROMISED)
    assert (
        len(values(log, PUSH_TARGETS)) > 500 and values(log, LISTENER_ERASURES) and None in values(log, SONG_RELEASES)
    )
    reasons = Counter(suppression.reason for suppression in values(log, PUSH_SUPPRESSIONS))
    assert all(reasons[reason] for reason in (Reason.HELD_OUT, Reason.COOLING_DOWN)), reasons
