"""What only a store on disk can get wrong: crashes, locks, damage, and bytes that stay behind."""

import gc
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from streams.errors import StoreDamaged, StoreUnavailable
from streams.state.rocksdict_store import RocksdictStore

SECRET = b"listener-whom-nobody-may-find"
HEARD = b"the songs that were heard" * 20


def files_with(folder: Path, needle: bytes) -> list[str]:
    """RocksDB's own log writes keys in hexadecimal, so that is searched too."""
    spellings = (needle, needle.hex().encode(), needle.hex().upper().encode())
    return [
        file.name
        for file in folder.rglob("*")
        if file.is_file() and any(spelling in file.read_bytes() for spelling in spellings)
    ]


def run(code: str, *arguments: str, **popen: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *arguments], stdout=subprocess.PIPE, text=True, **popen
    )


WRITER = """
    import sys
    from pathlib import Path
    from streams.state.rocksdict_store import RocksdictStore

    store = RocksdictStore(Path(sys.argv[1]), write_buffer=1 << 18)
    n = store.offsets().get("plays", 0)
    while True:
        n += 1
        for key in range(200):
            store.put(b"L%03d" % key, b"%09d" % n * 30)
        store.put(b"N%09d" % n, b"")
        store.delete(b"N%09d" % (n - 3))
        store.commit({"plays": n, "listener-settings": 2 * n})
        print(n, flush=True)
"""


def test_after_a_kill_the_state_is_that_of_a_commit_and_no_commit_is_lost(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    before = 0
    for pause in (0.01, 0.03, 0.06, 0.1, 0.15):
        writer = run(WRITER, str(folder))
        assert writer.stdout is not None
        seen = [writer.stdout.readline()]
        time.sleep(pause)
        writer.kill()
        seen += writer.communicate()[0].split()
        store = RocksdictStore(folder)
        n = store.offsets()["plays"]
        assert n >= int([line for line in seen if line.strip()][-1]) > before
        assert store.offsets() == {"plays": n, "listener-settings": 2 * n}
        assert list(store.items(b"L")) == [(b"L%03d" % key, b"%09d" % n * 30) for key in range(200)]
        assert [key for key, _ in store.items(b"N")] == [b"N%09d" % m for m in range(max(1, n - 2), n + 1)]
        store.close()
        before = n


def test_what_was_not_committed_is_gone_after_reopening(tmp_path: Path) -> None:
    store = RocksdictStore(tmp_path)
    store.put(b"La", b"1")
    store.commit({"plays": 1})
    store.put(b"La", b"2")
    store.delete(b"La")
    store.purge([b"La"])
    store.close()
    store = RocksdictStore(tmp_path)
    assert (store.get(b"La"), store.offsets()) == (b"1", {"plays": 1})
    store.close()


def with_a_secret(folder: Path, others: int) -> RocksdictStore:
    """In several tables, on several levels, rewritten, at the edge of a table, and in the write-ahead log."""
    store = RocksdictStore(folder, write_buffer=1 << 16)
    for n in range(4):
        for other in range(others):
            store.put(b"M%05d" % other, os.urandom(300))
        for kind in (b"A", b"M00010", b"S", b"Z"):
            store.put(kind + SECRET, HEARD + b"%d" % n)
        store.commit({"plays": n})
    store.close()
    store = RocksdictStore(folder, write_buffer=1 << 16)
    store.put(b"L" + SECRET, HEARD)
    store.commit({"plays": 5})
    assert files_with(folder, SECRET)
    assert files_with(folder, HEARD)
    return store


KEYS = [kind + SECRET for kind in (b"A", b"L", b"M00010", b"S", b"Z")]


@pytest.mark.parametrize("others", [0, 2000])
@pytest.mark.parametrize("ranges", [0, 32], ids=["as one range", "key by key"])
def test_a_purge_leaves_no_byte_of_key_or_value_in_any_file(tmp_path: Path, others: int, ranges: int) -> None:
    with_a_secret(tmp_path, others).close()
    store = RocksdictStore(tmp_path, write_buffer=1 << 16, ranges_per_purge=ranges)
    store.purge(KEYS)
    store.commit({"plays": 6})
    assert files_with(tmp_path, SECRET) == []
    assert files_with(tmp_path, HEARD) == []
    assert len(list(store.items(b"M"))) == others
    assert store.offsets() == {"plays": 6}
    store.checkpoint(tmp_path / "copy")
    assert files_with(tmp_path, SECRET) == []
    store.close()


def test_a_purged_key_that_is_put_again_keeps_no_byte_of_its_old_value(tmp_path: Path) -> None:
    store = with_a_secret(tmp_path, 100)
    store.purge(KEYS)
    for key in KEYS:
        store.put(key, b"new")
    store.commit({})
    assert files_with(tmp_path, HEARD) == []
    assert [store.get(key) for key in KEYS] == [b"new"] * len(KEYS)
    store.close()


def test_a_purge_that_a_crash_cut_short_is_made_good_on_opening(tmp_path: Path) -> None:
    with_a_secret(tmp_path, 100).close()
    crash = """
        import os, sys
        from pathlib import Path
        from streams.state.rocksdict_store import RocksdictStore

        class Crashing(RocksdictStore):
            def _remove_old_bytes(self, ranges):
                os._exit(137)

        store = Crashing(Path(sys.argv[1]))
        store.purge([bytes.fromhex(key) for key in sys.argv[2:]])
        store.commit({"plays": 7})
    """
    crashed = run(crash, str(tmp_path), *[key.hex() for key in KEYS])
    crashed.communicate()
    assert crashed.returncode == 137
    assert files_with(tmp_path, HEARD)
    store = RocksdictStore(tmp_path)
    assert files_with(tmp_path, HEARD) == files_with(tmp_path, SECRET) == []
    assert store.offsets() == {"plays": 7}
    assert len(list(store.items(b"M"))) == 100
    store.close()


def test_a_folder_that_is_open_is_refused_in_this_and_in_another_process(tmp_path: Path) -> None:
    store = RocksdictStore(tmp_path / "p3")
    with pytest.raises(StoreUnavailable, match=r"p3 is open elsewhere; end the other worker"):
        RocksdictStore(tmp_path / "p3")
    other = run(
        """
        import sys
        from pathlib import Path
        from streams.errors import StoreUnavailable
        from streams.state.rocksdict_store import RocksdictStore

        try:
            RocksdictStore(Path(sys.argv[1]))
        except StoreUnavailable as error:
            print(error)
        """,
        str(tmp_path / "p3"),
    )
    assert "open elsewhere" in other.communicate()[0]
    store.close()
    RocksdictStore(tmp_path / "p3").close()


def test_no_live_iterator_keeps_the_folder_after_close(tmp_path: Path) -> None:
    store = RocksdictStore(tmp_path)
    for n in range(5000):
        store.put(b"L%04d" % n, b"1")
    store.commit({})
    store.put(b"L9999", b"2")
    unread, half_read, merged = store.items(b"L"), store.items(b""), store.items(b"L")
    next(half_read), next(merged)
    gc.disable()  # not the garbage collector frees the folder, but close
    try:
        store.close()
        RocksdictStore(tmp_path).close()
    finally:
        gc.enable()
    for items in (unread, half_read, merged):
        with pytest.raises(StoreUnavailable, match="closed while it was read"):
            list(items)


def test_a_writer_that_was_stopped_and_wakes_up_still_owns_its_folder(tmp_path: Path) -> None:
    writer = run(WRITER, str(tmp_path))
    assert writer.stdout is not None
    writer.stdout.readline()
    writer.send_signal(signal.SIGSTOP)
    with pytest.raises(StoreUnavailable, match="open elsewhere"):
        RocksdictStore(tmp_path)
    writer.send_signal(signal.SIGCONT)
    writer.kill()
    writer.communicate()
    RocksdictStore(tmp_path).close()


@pytest.mark.parametrize("file", ["MANIFEST-*", "CURRENT", "*.sst"])
def test_a_damaged_store_says_which_folder_and_what_to_do(tmp_path: Path, file: str) -> None:
    store = RocksdictStore(tmp_path, write_buffer=1 << 16)
    for n in range(2000):
        store.put(b"L%04d" % n, os.urandom(100))
    store.commit({})
    store.purge([b"L0000"])  # so that there is a table
    store.commit({})
    store.close()
    for damaged in tmp_path.glob(file):
        damaged.write_bytes(b"\xff" * max(8, damaged.stat().st_size))
    with pytest.raises(StoreDamaged, match=r"remove the folder, and the newest checkpoint"):
        list(RocksdictStore(tmp_path).items(b"L"))


def test_a_file_in_place_of_the_folder_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "p0").write_text("not a folder")
    with pytest.raises(StoreUnavailable, match="p0"):
        RocksdictStore(tmp_path / "p0")
