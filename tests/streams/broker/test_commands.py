"""`bcl broker` and `bcl topics`, as a person or a script would use them."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest

from streams.broker.topics import plans
from tests.builders.kafka import topic_settings

BCL = [sys.executable, "-m", "streams.cli"]

pytestmark = pytest.mark.broker


@pytest.fixture
def started() -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen([*BCL, "broker", "--json", "--scram", "ann"], stdout=subprocess.PIPE, text=True) as broker:
        yield broker
        broker.kill()


def test_a_broker_says_what_its_clients_need_and_ends_cleanly_when_told(started: "subprocess.Popen[str]") -> None:
    assert started.stdout is not None
    said = json.loads(started.stdout.readline())
    for words, code in ((["create"], 0), (["check"], 0), (["check", "--set", "topics.song_partitions=3"], 1)):
        done = bcl("topics", *words, "--json", environment=said["environment"])
        assert done.returncode == code, done.stderr
    assert "song-releases: found 4 partitions, wanted 3" in done.stderr
    started.send_signal(signal.SIGTERM)
    assert started.wait(timeout=60) == 0
    assert not any(psutil.pid_exists(pid) for pid in said["pids"].values())


def test_topics_are_listed_for_people(kafka: str) -> None:
    done = bcl("topics", "create", "--brokers", kafka, "--set", "topics.prefix=for-people-")
    assert done.returncode == 0
    assert all(plan.name in done.stdout for plan in plans(topic_settings(prefix="for-people-")))


def bcl(*words: str, environment: dict[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*BCL, *words], env=os.environ | (environment or {}), capture_output=True, text=True, check=False
    )
