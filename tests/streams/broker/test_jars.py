"""Only locked jars are started, and a network without a jar repository ends in advice."""

import hashlib
import os
import re
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from streams.broker.jars import ENDPOINTS, Jar, class_path, jars_of_distribution, locked_jars, read_lock
from streams.errors import BrokerUnavailable

NOWHERE = "http://127.0.0.1:9/repository"


def test_the_lock_holds_kafka_its_reasons_and_nothing_twice() -> None:
    jars = read_lock()
    assert set(ENDPOINTS) <= {jar.coordinate for jar in jars}
    assert len({(jar.group, jar.artifact) for jar in jars}) == len(jars)
    assert {jar.version for jar in jars if jar.group == "org.apache.kafka"} == {"4.3.1"}
    assert all(re.fullmatch("[0-9a-f]{64}", jar.sha256) for jar in jars)


def test_kept_jars_are_used_as_they_are(tmp_path: Path) -> None:
    lock = a_lock(tmp_path, one=b"one", two=b"two")
    assert locked_jars(tmp_path, lock) == [tmp_path / "jars" / "one-1.jar", tmp_path / "jars" / "two-1.jar"]


def test_a_tampered_jar_is_refused_by_name(tmp_path: Path) -> None:
    lock = a_lock(tmp_path, one=b"one", two=b"two")
    (tmp_path / "jars" / "two-1.jar").write_bytes(b"two!")
    with pytest.raises(BrokerUnavailable, match=r"two-1\.jar is not the jar that was locked: found sha256 \w+, wanted"):
        locked_jars(tmp_path, lock)


def test_a_jar_of_the_local_repository_is_taken_if_it_is_the_locked_one(tmp_path: Path, repository: Path) -> None:
    lock = a_lock(tmp_path, one=b"one")
    move_to(repository, tmp_path / "jars" / "one-1.jar")
    assert locked_jars(tmp_path, lock)[0].read_bytes() == b"one"


def test_a_jar_of_a_mirror_that_is_not_the_locked_one_is_refused_and_not_kept(
    tmp_path: Path, repository: Path, mirror: Path
) -> None:
    lock = a_lock(tmp_path, one=b"one")
    move_to(mirror, tmp_path / "jars" / "one-1.jar").write_bytes(b"else")
    with pytest.raises(BrokerUnavailable, match=r"one-1\.jar is not the jar that was locked"):
        locked_jars(tmp_path, lock)
    assert list((tmp_path / "jars").iterdir()) == []


def test_a_mirror_in_jgos_settings_is_used(tmp_path: Path, repository: Path, mirror: Path) -> None:
    lock, seen = a_lock(tmp_path, one=b"one", two=b"two"), []
    move_to(mirror, tmp_path / "jars" / "two-1.jar")
    paths = locked_jars(tmp_path, lock, progress=lambda there, of: seen.append((there, of)))
    assert [path.read_bytes() for path in paths] == [b"one", b"two"]
    assert seen == [(2, 2)]


def test_a_network_without_the_repository_gets_three_ways_out(
    tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings_of_jgo(tmp_path, monkeypatch, NOWHERE)
    lock = a_lock(tmp_path, one=b"one")
    (tmp_path / "jars" / "one-1.jar").unlink()
    with pytest.raises(BrokerUnavailable) as refused:
        locked_jars(tmp_path, lock)
    for words in ("test:one:1", "--kafka-home", "BCL_KAFKA_HOME", "[repositories]", "--brokers HOST:PORT"):
        assert words in str(refused.value)


def test_a_distribution_is_used_where_one_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "libs").mkdir()
    (tmp_path / "libs" / "kafka_2.13-4.1.0.jar").touch()
    monkeypatch.setenv("BCL_KAFKA_HOME", str(tmp_path))
    assert class_path() == str(tmp_path / "libs" / "kafka_2.13-4.1.0.jar")


@pytest.mark.parametrize(
    ("jar", "reason"),
    [("readme.txt", "is no Kafka distribution"), ("kafka_2.13-3.9.1.jar", "wanted is Kafka 4 or newer")],
)
def test_another_folder_or_an_old_kafka_is_refused(tmp_path: Path, jar: str, reason: str) -> None:
    (tmp_path / "libs").mkdir()
    (tmp_path / "libs" / jar).touch()
    with pytest.raises(BrokerUnavailable, match=reason):
        jars_of_distribution(tmp_path)


@pytest.mark.skipif(os.pathsep != ":", reason="another separator here")
def test_a_folder_at_which_java_would_split_its_class_path_is_refused(tmp_path: Path) -> None:
    home = tmp_path / "a:b"
    (home / "libs").mkdir(parents=True)
    (home / "libs" / "kafka_2.13-4.3.1.jar").touch()
    with pytest.raises(BrokerUnavailable, match="Java splits its class path at ':'"):
        class_path(home)


def a_lock(cache: Path, **contents: bytes) -> Path:
    """A lock of these jars, version 1 of group `test`, which are in the cache."""
    jars = [Jar("test", name, "1", hashlib.sha256(content).hexdigest()) for name, content in contents.items()]
    (cache / "jars").mkdir()
    for jar in jars:
        (cache / "jars" / jar.name).write_bytes(contents[jar.artifact])
    lock = cache / "test.lock"
    lock.write_text("# a comment\n" + "".join(f"{jar.sha256} {jar.coordinate}\n" for jar in jars))
    return lock


def move_to(repository: Path, jar: Path) -> Path:
    name = jar.name.removesuffix("-1.jar")
    there = repository / "test" / name / "1" / jar.name
    there.parent.mkdir(parents=True, exist_ok=True)
    return jar.rename(there)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty local Maven repository."""
    monkeypatch.setenv("M2_REPO", str(tmp_path / "m2"))
    monkeypatch.setenv("JGO_CONFIG_FILE", str(tmp_path / "no-settings.conf"))
    return tmp_path / "m2"


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, served: tuple[Path, str]) -> Path:
    """A folder that is served as the only remote repository."""
    folder, url = served
    settings_of_jgo(tmp_path, monkeypatch, url)
    return folder


def settings_of_jgo(folder: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    (folder / "jgo.conf").write_text(f"[repositories]\ncentral = {url}\n")
    monkeypatch.setenv("JGO_CONFIG_FILE", str(folder / "jgo.conf"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    folder = tmp_path / "served"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass
