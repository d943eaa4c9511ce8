"""A worker never sits alive and idle: if a partition does not move, it ends and says which."""

from collections.abc import Callable

import pytest
from kafka import KafkaAdminClient

from streams.broker.security import kafka_python_arguments
from streams.contracts.topics import PUSH_TARGETS, SONG_RELEASES
from streams.world.world import World
from tests.harness.live import COMES_WITHIN_S, Live

pytestmark = pytest.mark.chaos


def test_a_worker_whose_partition_does_not_move_ends_with_the_reason(
    make_live: Callable[..., Live], world: World
) -> None:
    live = make_live(BCL__WORKER__PROGRESS_WITHIN_S="12")
    live.begin("one")
    remove(live, PUSH_TARGETS.name)  # what is to be written there is tried again and again
    live.produce(SONG_RELEASES, [(one.song_id, one, world.settings.start_ms) for one in world.new_releases(2)])
    assert live.workers["one"].process.wait(COMES_WITHIN_S) == 1
    said = live.workers["one"].said()
    assert "NoProgress" in said and "target-candidates" in said and "has not moved for 12 s" in said


def remove(live: Live, topic: str) -> None:
    admin = KafkaAdminClient(**kafka_python_arguments(live.kafka))
    try:
        admin.delete_topics([live.topics.prefix + topic])
    finally:
        admin.close()
