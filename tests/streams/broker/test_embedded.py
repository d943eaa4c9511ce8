"""A real Kafka: started, killed, restarted, secured, and gone when it should be."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from streams.broker.embedded import EmbeddedKafka
from streams.broker.java import java
from streams.broker.topics import check, create
from streams.errors import BrokerUnavailable
from tests.builders.kafka import kafka_settings, read, send, topic_settings

pytestmark = pytest.mark.broker

PLAYS = [(b"ann", b"one"), (b"bob", b"two"), (b"ann", b"three")]


def test_what_was_acknowledged_survives_a_power_cut_and_the_ports_stay(
    make_cluster: Callable[..., EmbeddedKafka],
) -> None:
    cluster = make_cluster()
    before, kafka = cluster.bootstrap, kafka_settings(cluster.bootstrap)
    create(kafka, topic_settings())
    send(kafka, "plays", PLAYS)
    dead = cluster.pids[1]
    cluster.kill(1)
    assert not psutil.pid_exists(dead)
    assert cluster.pids == {}
    cluster.restart(1)
    assert cluster.bootstrap == before
    assert cluster.pids[1] != dead
    assert sorted((record.key, record.value) for record in read(kafka, "plays", at_least=3)) == sorted(PLAYS)


def test_data_in_a_folder_is_there_at_the_next_start_whatever_the_folder_is_called(tmp_path: Path) -> None:
    folder = tmp_path / "Björk's plays = 50 % #1 \\ ★"
    with EmbeddedKafka(data=folder) as cluster:
        create(kafka_settings(cluster.bootstrap), topic_settings())
        send(kafka_settings(cluster.bootstrap), "plays", PLAYS)
    with EmbeddedKafka(data=folder) as cluster:
        assert check(kafka_settings(cluster.bootstrap), topic_settings())
        assert len(read(kafka_settings(cluster.bootstrap), "plays", at_least=3)) == 3


@pytest.mark.chaos
def test_three_nodes_lose_nothing_while_each_is_killed_in_turn(three_brokers: EmbeddedKafka) -> None:
    kafka, topics = kafka_settings(three_brokers.bootstrap), topic_settings(replication=3, min_insync=2)
    create(kafka, topics)
    for node in (1, 2, 3):
        three_brokers.kill(node)
        send(kafka, "plays", [(b"%d" % node, b"while it was away")])
        three_brokers.restart(node)
        three_brokers.wait_until_in_sync()
    assert sorted(record.key for record in read(kafka, "plays", at_least=3)) == [b"1", b"2", b"3"]
    assert sorted(three_brokers.pids) == [1, 2, 3]


def test_stopping_leaves_neither_process_nor_folder() -> None:
    with EmbeddedKafka() as cluster:
        java_pid, folder = cluster.pids[1], cluster.folder
        assert folder.exists()
    assert not psutil.pid_exists(java_pid)
    assert not folder.exists()


@pytest.mark.parametrize("how", ["the parent is killed", "the watchdog is killed too"])
def test_no_java_is_left_when_the_parent_is_killed(how: str, parent: "subprocess.Popen[str]") -> None:
    assert parent.stdout is not None
    java_pid, folder = parent.stdout.readline().split(maxsplit=1)
    one = psutil.Process(int(java_pid))
    watchdog = one.parent()
    assert watchdog is not None
    parent.kill()
    if how == "the watchdog is killed too":
        watchdog.kill()
        assert sys.platform == "linux" or pytest.skip("what ends Java without its watchdog is there on Linux only")
    one.wait(timeout=60)
    if how == "the parent is killed":
        wait_until(lambda: not Path(folder.strip()).exists())


def test_ctrl_c_reaches_only_the_parent() -> None:
    with EmbeddedKafka() as cluster:
        assert os.getpgid(cluster.pids[1]) != os.getpgid(0)


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(BrokerUnavailable, match=f"port {port} is taken"):
            EmbeddedKafka(port=port, data=tmp_path).start()


def test_why_kafka_does_not_start_is_said_in_its_own_words(tmp_path: Path) -> None:
    with EmbeddedKafka(data=tmp_path):
        pass
    meta = tmp_path / "node-1" / "log" / "meta.properties"
    meta.write_text(meta.read_text().replace("node.id=1", "node.id=7"))
    cluster = EmbeddedKafka(data=tmp_path)
    with pytest.raises(BrokerUnavailable, match=r"(?s)node 1 ended with code 1.*Stored node id 7 doesn't match"):
        cluster.start()
    assert cluster.pids == {}


@pytest.mark.skipif(sys.platform != "linux", reason="a port can be kept by two sockets on Linux only")
def test_nobody_takes_the_ports_of_a_node_that_is_down(make_cluster: Callable[..., EmbeddedKafka]) -> None:
    cluster = make_cluster()
    host, port = cluster.bootstrap.split(":")
    cluster.kill(1)
    with socket.socket() as thief, pytest.raises(OSError, match="in use"):
        thief.bind((host, int(port)))
    cluster.restart(1)


def test_a_folder_in_use_is_refused_and_whoever_uses_it_is_not_disturbed(tmp_path: Path) -> None:
    with EmbeddedKafka(data=tmp_path) as first:
        with pytest.raises(BrokerUnavailable, match="another Kafka uses"):
            EmbeddedKafka(data=tmp_path).start()
        first.restart(1)


def test_a_folder_with_other_things_or_another_number_of_nodes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cluster.json").write_text('{"cluster": "x", "nodes": 3}')
    with pytest.raises(BrokerUnavailable, match="has the data of a cluster of 3; start it with --nodes 3"):
        EmbeddedKafka(data=tmp_path).start()
    (tmp_path / "cluster.json").rename(tmp_path / "something else")
    with pytest.raises(BrokerUnavailable, match="neither empty nor the data of this broker"):
        EmbeddedKafka(data=tmp_path).start()


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BrokerUnavailable, match="cannot keep its data in"):
        EmbeddedKafka(data=tmp_path / "file" / "folder").start()


def test_an_old_java_home_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "java").touch()
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    for release, is_used in (
        ('JAVA_VERSION="1.8.0_412"', False),
        ('JAVA_VERSION="11.0.2"', False),
        ('JAVA_VERSION="21.0.1"', True),
    ):
        (tmp_path / "release").write_text(release)
        assert java().is_relative_to(tmp_path) is is_used


@pytest.fixture
def parent(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process with a cluster; says Java's process id and the data folder."""
    environment = os.environ | {"TMPDIR": str(tmp_path)}  # where nobody may be left to remove the folder
    program = """
        import time
        from streams.broker.embedded import EmbeddedKafka
        with EmbeddedKafka() as cluster:
            print(cluster.pids[1], cluster.folder, flush=True)
            time.sleep(600)
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as one:
        yield one
        one.send_signal(signal.SIGTERM)


def wait_until(is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.05)
