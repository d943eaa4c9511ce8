import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest

from streams.errors import BadSettings, StoreUnavailable
from streams.state.checkpoints import MANIFEST, Checkpoints
from streams.state.memory_store import MemoryStore
from streams.state.rocksdict_store import RocksdictStore

H = 3_600_000
NOW = 1_750_000_000_000


@pytest.fixture(params=["folder", "object store"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "checkpoints") if request.param == "folder" else f"memory://{tmp_path.name}/checkpoints"


@pytest.fixture
def checkpoints(url: str, tmp_path: Path) -> Checkpoints:
    return Checkpoints(url, keep=3, keep_h=24, scratch=tmp_path / "scratch")


def store_at(offset: int) -> MemoryStore:
    store = MemoryStore()
    store.put(b"La", b"%d" % offset)
    store.commit({"plays": offset})
    return store


def restored(checkpoints: Checkpoints, into: Path) -> tuple[dict[bytes, bytes], dict[str, int]]:
    found = checkpoints.restore("listeners-3", into)
    assert found is not None
    store = MemoryStore(into)
    assert store.offsets() == found.offsets
    return dict(store.items(b"")), found.offsets


def damage(url: str, name: str, how: Callable[[bytes], bytes | None], file: str = "state.msgpack") -> None:
    files, root = fsspec.core.url_to_fs(url)
    path = f"{root}/listeners-3/{name}/{file}"
    changed = how(files.cat_file(path))
    if changed is None:
        files.rm_file(path)
    else:
        files.pipe_file(path, changed)


def test_a_rocksdict_store_comes_back_on_another_disk_as_it_was_committed(url: str, tmp_path: Path) -> None:
    store = RocksdictStore(tmp_path / "data" / "listeners-3")
    for n in range(500):
        store.put(b"L%04d" % n, os.urandom(300))
    store.commit({"plays": 41, "listener-settings": 7})
    before = dict(store.items(b""))
    store.put(b"L0000", b"not committed")
    here = Checkpoints(url, keep=3, keep_h=24, scratch=tmp_path / "data" / ".checkpoints")
    name = here.take(store, "listeners-3", "artifact-1", NOW)
    assert list((tmp_path / "data" / ".checkpoints").iterdir()) == []
    store.close()

    there = Checkpoints(url, keep=3, keep_h=24, scratch=tmp_path / "other" / ".checkpoints")
    found = there.restore("listeners-3", tmp_path / "other" / "listeners-3")
    assert found is not None
    assert (found.name, found.artifact, found.taken_ms) == (name, "artifact-1", NOW)
    again = RocksdictStore(tmp_path / "other" / "listeners-3")
    assert dict(again.items(b"")) == before
    assert again.offsets() == found.offsets == {"plays": 41, "listener-settings": 7}
    assert sorted(path.name for path in (tmp_path / "other").iterdir()) == ["listeners-3"]
    again.close()


def test_the_newest_is_restored_and_shards_do_not_meet(checkpoints: Checkpoints, tmp_path: Path) -> None:
    for n in range(3):
        checkpoints.take(store_at(n), "listeners-3", "m1", NOW + n)
    checkpoints.take(store_at(99), "songs-3", "m1", NOW + 99)
    checkpoints.take(store_at(98), "listeners-30", "m1", NOW + 98)
    assert [manifest.taken_ms - NOW for manifest in checkpoints.newest("listeners-3")] == [2, 1, 0]
    assert restored(checkpoints, tmp_path / "into") == ({b"La": b"2"}, {"plays": 2})


def test_with_no_checkpoint_there_is_nothing_to_restore(checkpoints: Checkpoints, tmp_path: Path) -> None:
    assert checkpoints.restore("listeners-3", tmp_path / "into") is None
    assert checkpoints.newest("listeners-3") == []
    assert checkpoints.prune(NOW) == []
    assert not (tmp_path / "into").exists()


def flipped(raw: bytes) -> bytes:
    return raw[:-1] + bytes([raw[-1] ^ 1])


@pytest.mark.parametrize(("how", "reason"), [
    (flipped, "state.msgpack has"), (lambda raw: raw[:-1], "state.msgpack has"), (lambda raw: raw + b"x", "has"),
    (lambda raw: b"", "has 0 bytes"), (lambda raw: None, "state.msgpack is missing"),
])  # fmt: skip
def test_a_damaged_file_is_reported_and_the_checkpoint_before_is_taken(
    checkpoints: Checkpoints, url: str, tmp_path: Path, how: Callable[[bytes], bytes | None], reason: str
) -> None:
    checkpoints.take(store_at(1), "listeners-3", "m1", NOW)
    newest = checkpoints.take(store_at(2), "listeners-3", "m1", NOW + 1)
    damage(url, newest, how)
    assert restored(checkpoints, tmp_path / "into") == ({b"La": b"1"}, {"plays": 1})
    [refused] = checkpoints.refused
    assert (refused.shard, refused.name) == ("listeners-3", newest)
    assert reason in refused.reason


def offset_changed(raw: bytes) -> bytes:
    assert b'"plays":2' in raw
    return raw.replace(b'"plays":2', b'"plays":9')


@pytest.mark.parametrize(("how", "reason"), [
    (offset_changed, "checksum"), (lambda raw: raw[: len(raw) // 2], "cannot be read"), (lambda raw: b"", "cannot"),
    (lambda raw: b"\xff" * 40, "cannot be read"), (lambda raw: json.dumps({"sha256": "0", "manifest": 1}).encode(), ""),
])  # fmt: skip
def test_a_damaged_manifest_is_reported_and_the_checkpoint_before_is_taken(
    checkpoints: Checkpoints, url: str, tmp_path: Path, how: Callable[[bytes], bytes | None], reason: str
) -> None:
    checkpoints.take(store_at(1), "listeners-3", "m1", NOW)
    newest = checkpoints.take(store_at(2), "listeners-3", "m1", NOW + 1)
    damage(url, newest, how, MANIFEST)
    assert [manifest.taken_ms for manifest in checkpoints.newest("listeners-3")] == [NOW]
    assert restored(checkpoints, tmp_path / "into") == ({b"La": b"1"}, {"plays": 1})
    [refused] = checkpoints.refused
    assert refused.name == newest and reason in refused.reason


def test_a_manifest_in_the_wrong_place_is_refused(checkpoints: Checkpoints, url: str, tmp_path: Path) -> None:
    name = checkpoints.take(store_at(1), "listeners-3", "m1", NOW)
    files, root = fsspec.core.url_to_fs(url)
    files.copy(f"{root}/listeners-3/{name}", f"{root}/listeners-4/{name}", recursive=True)
    assert checkpoints.restore("listeners-4", tmp_path / "into") is None
    assert [refused.reason for refused in checkpoints.refused] == [f"its manifest is that of listeners-3/{name}"]


def test_with_all_damaged_nothing_is_restored_and_each_is_reported(
    checkpoints: Checkpoints, url: str, tmp_path: Path
) -> None:
    for n in range(2):
        damage(url, checkpoints.take(store_at(n), "listeners-3", "m1", NOW + n), flipped)
    assert checkpoints.restore("listeners-3", tmp_path / "into") is None
    assert len(checkpoints.refused) == 2
    assert [path.name for path in tmp_path.iterdir() if "into" in path.name] == []


def test_a_crash_between_files_and_manifest_leaves_no_checkpoint(tmp_path: Path) -> None:
    url = str(tmp_path / "checkpoints")
    checkpoints = Checkpoints(url, keep=3, keep_h=24, scratch=tmp_path / "scratch")
    checkpoints.take(store_at(1), "listeners-3", "m1", NOW)
    crash = textwrap.dedent("""
        import sys
        from pathlib import Path
        from streams.state.checkpoints import Checkpoints
        from streams.state.memory_store import MemoryStore

        store = MemoryStore()
        store.put(b"La", b"from the crashed one")
        store.commit({"plays": 2})
        checkpoints = Checkpoints(sys.argv[1], keep=3, keep_h=24, scratch=Path(sys.argv[2]))
        for n in range(3):
            checkpoints.take(store, "listeners-3", "m1", int(sys.argv[3]) + n)
            print(n, flush=True)
    """)
    arguments = [sys.executable, "-c", crash, url, str(tmp_path / "its"), str(NOW + 1)]
    ended = subprocess.run(
        arguments, env={**os.environ, "BCL_CRASH_AT": "in-checkpoint:2"}, capture_output=True, text=True
    )
    assert (ended.returncode, ended.stdout) == (137, "0\n")
    assert len(list((tmp_path / "checkpoints" / "listeners-3").iterdir())) == 3
    assert [manifest.taken_ms for manifest in checkpoints.newest("listeners-3")] == [NOW + 1, NOW]
    assert restored(checkpoints, tmp_path / "into")[1] == {"plays": 2}
    assert checkpoints.refused == []
    assert list((tmp_path / "its").iterdir()) != []  # the snapshot of the crashed process
    Checkpoints(url, keep=3, keep_h=24, scratch=tmp_path / "its")
    assert not (tmp_path / "its").exists()
    assert len(checkpoints.prune(NOW + 2 * H)) == 1  # the half-written one
    assert len(list((tmp_path / "checkpoints" / "listeners-3").iterdir())) == 2


def test_what_a_broken_restore_left_is_never_taken(checkpoints: Checkpoints, tmp_path: Path) -> None:
    checkpoints.take(store_at(1), "listeners-3", "m1", NOW)
    (tmp_path / ".into.restoring").mkdir()
    (tmp_path / ".into.restoring" / "half").write_text("a file")
    restored(checkpoints, tmp_path / "into")
    assert [path.name for path in (tmp_path / "into").iterdir()] == ["state.msgpack"]


def test_a_folder_that_is_in_use_is_not_restored_into(checkpoints: Checkpoints, tmp_path: Path) -> None:
    checkpoints.take(store_at(1), "listeners-3", "m1", NOW)
    (tmp_path / "into").mkdir()
    with pytest.raises(StoreUnavailable, match="into exists"):
        checkpoints.restore("listeners-3", tmp_path / "into")


def test_pruning_keeps_the_newest_and_removes_every_byte_of_what_is_too_old(url: str, tmp_path: Path) -> None:
    checkpoints = Checkpoints(url, keep=2, keep_h=24, scratch=tmp_path / "scratch")
    names = [checkpoints.take(store_at(n), "listeners-3", "m1", NOW + n * H) for n in range(4)]
    old = checkpoints.take(store_at(9), "songs-1", "m1", NOW)
    assert sorted(checkpoints.prune(NOW + 3 * H)) == [f"listeners-3/{name}" for name in names[:2]]
    assert [manifest.name for manifest in checkpoints.newest("listeners-3")] == [names[3], names[2]]
    assert checkpoints.prune(NOW + 24 * H + 1) == [f"songs-1/{old}"]  # the only one of its shard, and too old
    assert checkpoints.newest("songs-1") == []
    assert len(checkpoints.prune(NOW + 30 * H)) == 2
    files, root = fsspec.core.url_to_fs(url)
    assert files.find(root) == []


def test_what_is_not_ours_is_left_alone(checkpoints: Checkpoints, url: str) -> None:
    checkpoints.take(store_at(1), "listeners-3", "m1", NOW)
    files, root = fsspec.core.url_to_fs(url)
    files.pipe_file(f"{root}/notes.txt", b"of a person")
    files.pipe_file(f"{root}/listeners-3/README", b"of a person")
    checkpoints.prune(NOW + 1000 * H)
    assert len(files.find(root)) == 2
    assert checkpoints.newest("listeners-3") == []


def test_a_store_that_cannot_be_reached_is_no_reason_to_start_from_nothing(tmp_path: Path) -> None:
    class Unreachable(type(fsspec.filesystem("memory"))):  # type: ignore[misc]
        protocol = "unreachable"
        cachable = False

        def ls(self, path: str, detail: bool = True, **others: object) -> list[str]:
            raise TimeoutError("no answer from the object store")

    fsspec.register_implementation("unreachable", Unreachable, clobber=True)
    checkpoints = Checkpoints("unreachable://bucket", keep=3, keep_h=24, scratch=tmp_path / "scratch")
    for call in (lambda: checkpoints.restore("listeners-3", tmp_path / "into"), lambda: checkpoints.prune(NOW)):
        with pytest.raises(StoreUnavailable, match="no answer from the object store"):
            call()


def test_a_failed_upload_leaves_no_copy_behind(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").write_text("a file where the folder should be")
    checkpoints = Checkpoints(str(tmp_path / "checkpoints"), keep=3, keep_h=24, scratch=tmp_path / "scratch")
    with pytest.raises(StoreUnavailable, match="cannot be used now"):
        checkpoints.take(store_at(1), "listeners-3", "m1", NOW)
    assert list((tmp_path / "scratch").iterdir()) == []


def test_an_unknown_kind_of_url_is_a_bad_setting(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match=r"checkpoints.store is 'what://is/this'"):
        Checkpoints("what://is/this", keep=3, keep_h=24)
