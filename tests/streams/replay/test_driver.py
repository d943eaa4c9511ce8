"""Whatever came first, however often a shard went back: a replay says what was said, and knows when it does not."""

from collections.abc import Callable
from functools import cache
from random import Random

import pytest

from streams.contracts.queries import TargetsSelected
from streams.contracts.topics import (
    LISTENER_ERASURES,
    LISTENER_SETTINGS,
    PLAYS,
    SONG_CROWDS,
    SONG_DECISIONS,
    SONG_EMBEDDINGS,
    SONG_RELEASES,
    TOPICS,
    Topic,
)
from streams.contracts.topics import Shard as Side
from streams.recording.log import Log
from streams.replay.driver import PROMISED, exact, replay
from streams.wiring import Wiring
from tests.builders.bus import Bus, Living
from tests.builders.contracts import settings
from tests.builders.small_world import encoder, world
from tests.harness.scene import catalogue_records, play_records
from tests.harness.stream import Event, Story, event, told

SMALL = settings(
    topics={"listener_partitions": 2, "song_partitions": 2},
    crowds={"warm_at_listeners": 4},
    selection={"candidates_per_message": 20},
)


def wiring() -> Callable[[], Wiring]:
    return exact(SMALL, encoder())


@cache
def lived(seed: int, crashes: float = 0.0) -> Log:
    random, bus = Random(seed), Bus(2, 2)
    shards = [Living(bus, side, partition, wiring(), random) for side in Side for partition in range(2)]
    for events in (history(), told(world(), Story(plays=800, releases=6, settings=40, erasures=4, budget=60), seed)):
        while events:
            chunk = random.randrange(1, 120)
            for one in events[:chunk]:
                bus.write(*one)
            events = events[chunk:]
            for _ in range(random.randrange(8)):
                random.choice(shards).step(crashes=crashes)
    quiet = 0
    while quiet < 30:
        busy = [shard.step(crashes=crashes / 3) for shard in shards]
        quiet = 0 if any(busy) else quiet + 1
    return Log(bus.topics, SMALL.contracts)


def history() -> list[Event]:
    songs = [event(SONG_RELEASES, *record) for record in catalogue_records(world())]
    return songs + [Event(PLAYS, *record) for record in play_records(world(), 3_000)]


CRASHES = (0.0, 0.1, 0.3)  # of the batches


@pytest.mark.parametrize("crashes", CRASHES)
@pytest.mark.parametrize("seed", range(2))
def test_whatever_was_read_first_a_replay_says_the_same_bytes(seed: int, crashes: float) -> None:
    log = lived(seed, crashes)
    replayed = replay(log, wiring())
    assert replayed.differences(log) == []
    assert all(any(replayed.said[topic.name].values()) for topic in PROMISED)


def test_what_the_lives_above_have_met() -> None:
    """Decisions at the deadline, and shards that went back."""
    logs = [lived(seed, crashes) for seed in range(2) for crashes in CRASHES]
    coverage = {one.coverage for log in logs for one in decisions(log) if isinstance(one, TargetsSelected)}
    assert coverage == {0.5, 1.0}
    assert max(lives for log in logs for lives in replay(log, wiring()).lives.values()) > 2


def test_a_replay_repeats_itself() -> None:
    log = lived(0, 0.3)
    assert replay(log, wiring()).said == replay(log, wiring()).said


@pytest.mark.parametrize("topic", [PLAYS, LISTENER_SETTINGS, LISTENER_ERASURES, SONG_EMBEDDINGS, SONG_CROWDS])
def test_a_log_that_lacks_what_was_known_is_found_out(topic: Topic) -> None:
    log = lived(0)
    lacking = {
        one.name: {partition: [] if one is topic else log.records(one, partition) for partition in log.partitions(one)}
        for one in TOPICS.values()
    }
    assert replay(Log(lacking, SMALL.contracts), wiring()).differences(log)


def decisions(log: Log) -> list[object]:
    return [one for partition in log.partitions(SONG_DECISIONS) for _, one in log.contracts(SONG_DECISIONS, partition)]
