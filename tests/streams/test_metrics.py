"""Every moment that a worker reports is found again in what Prometheus reads."""

import re

import pytest

from streams.contracts.messages import Message
from streams.contracts.targets import Arm, Reason
from streams.contracts.topics import PUSH_SUPPRESSIONS, PUSH_TARGETS
from streams.metrics import QUERIES_REMEMBERED, Metrics
from tests.builders.contracts import NOW, suppression, target


class Clock:
    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock():
    return Clock(NOW / 1000)


@pytest.fixture
def metrics(clock):
    return Metrics(clock)


def published(metrics: Metrics, *contracts) -> None:
    for one in contracts:
        topic = PUSH_SUPPRESSIONS if hasattr(one, "reason") else PUSH_TARGETS
        metrics.published([Message(topic, one.listener_id, one, NOW)])


def test_records_are_counted_by_topic(metrics):
    metrics.consumed("plays", 500)
    metrics.consumed("plays", 20)
    metrics.dead_letter("plays")
    assert metrics.value("bcl_consumed_records_total", topic="plays") == 520
    assert metrics.value("bcl_dead_letters_total", topic="plays") == 1
    assert metrics.value("bcl_dead_letters_total", topic="song-releases") == 0


def test_targets_are_counted_by_arm_and_suppressions_by_reason(metrics):
    published(metrics, target("ann"), target("bob", arm=Arm.EXPLORATION), suppression("eve", reason=Reason.DAY_CAP))
    assert metrics.value("bcl_targets_total", arm="target") == 1
    assert metrics.value("bcl_targets_total", arm="exploration") == 1
    assert metrics.value("bcl_suppressed_total", reason="day-cap") == 1
    assert metrics.value("bcl_published_records_total", topic="push-targets") == 2


def test_only_the_first_target_of_a_release_is_timed(metrics, clock):
    clock.seconds += 0.4
    published(metrics, target("ann"))
    clock.seconds += 50
    published(metrics, target("bob"))
    assert metrics.value("bcl_release_to_first_target_seconds_count") == 1
    assert metrics.value("bcl_release_to_first_target_seconds_sum") == pytest.approx(0.4)


def test_what_is_remembered_of_releases_is_bounded(metrics):
    for n in range(QUERIES_REMEMBERED + 10):
        published(metrics, target("ann", query_id=f"q{n}"))
    assert len(metrics._seen_queries) == QUERIES_REMEMBERED


def test_ages_grow_with_the_clock_and_end_with_the_ownership(metrics, clock):
    metrics.moved("plays", 3)
    metrics.lag("plays", 3, 12)
    metrics.checkpointed("listener-3")
    clock.seconds += 30
    assert metrics.value("bcl_commit_age_seconds", topic="plays", partition="3") == 30
    assert metrics.value("bcl_checkpoint_age_seconds", shard="listener-3") == 30
    metrics.moved("plays", 3)
    assert metrics.value("bcl_commit_age_seconds", topic="plays", partition="3") == 0
    metrics.revoked("plays", 3)
    assert b'partition="3"' not in metrics.exposition()


def test_a_partition_that_was_never_owned_can_be_revoked(metrics):
    metrics.revoked("plays", 9)
    assert b"plays" not in metrics.exposition()


def test_freshness_is_the_time_from_the_record_to_its_effect(metrics, clock):
    clock.seconds += 2
    metrics.fresh("track-listening", NOW)
    metrics.fresh("track-listening", NOW + 60_000)  # a clock that is ahead of ours
    assert metrics.value("bcl_freshness_seconds_sum", stage="track-listening") == pytest.approx(2)


def test_every_metric_has_the_prefix_a_base_unit_and_a_line_of_help(metrics):
    metrics.model("a1", 64)
    metrics.index(songs=10, tombstones=1)
    metrics.known(12)
    text = metrics.exposition().decode()
    names = re.findall(r"^# TYPE (\w+) \w+$", text, re.M)
    assert all(name.startswith("bcl_") for name in names)
    assert len(re.findall(r"^# HELP \w+ .+$", text, re.M)) == len(names)
    assert 'bcl_model_info{artifact="a1",dimension="64"} 1.0' in text
    assert not re.search(r"_(ms|minutes|percent)\b", text)


def test_two_workers_in_one_process_do_not_share_their_numbers():
    one, other = Metrics(), Metrics()
    one.consumed("plays", 5)
    assert other.value("bcl_consumed_records_total", topic="plays") == 0
