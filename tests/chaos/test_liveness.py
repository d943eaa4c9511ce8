"""A worker never sits alive and idle: if a partition does not move, it ends and says which."""

from collections.abc import Callable

import pytest
from kafka import KafkaAdminClient
from kafka.admin import ConfigResource

from streams.broker.security import kafka_python_arguments
from streams.contracts.topics import PUSH_TARGETS, SONG_RELEASES
from streams.world.world import World
from tests.harness.live import Live
from tests.twin.check import check

pytestmark = pytest.mark.chaos


def test_a_worker_whose_partition_does_not_move_ends_with_the_reason(
    make_live: Callable[..., Live], world: World
) -> None:
    live = make_live(BCL__WORKER__PROGRESS_WITHIN_S="6")
    live.start("one")
    live.drained()
    ask_for_copies(live, 2)  # there is one broker: the topic takes nothing now, as if its replicas were down
    live.produce(SONG_RELEASES, [(one.song_id, one, world.settings.start_ms) for one in world.new_releases(2)])
    assert live.workers["one"].process.wait(60) == 1
    said = live.workers["one"].said()
    assert "NoProgress" in said and "target-candidates" in said and "has not moved for 6 s" in said

    ask_for_copies(live, 1)
    live.start("one")
    live.drained()
    assert live.stop_all() == {"one": 0}
    check(live)


def ask_for_copies(live: Live, count: int) -> None:
    admin = KafkaAdminClient(**kafka_python_arguments(live.kafka))
    try:
        name = live.topics.prefix + PUSH_TARGETS.name
        admin.alter_configs([ConfigResource("TOPIC", name, {"min.insync.replicas": str(count)})])
    finally:
        admin.close()
