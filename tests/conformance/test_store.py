"""What every store promises, whatever it is made of."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams.errors import StoreUnavailable
from streams.state.memory_store import MemoryStore
from streams.state.rocksdict_store import RocksdictStore
from streams.state.store import Store

Opened = Callable[[Path], Store]
FROM_CHECKPOINT: dict[str, Opened] = {"memory": MemoryStore, "rocksdict": RocksdictStore}


@pytest.fixture(params=list(FROM_CHECKPOINT))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def store(kind: str, tmp_path: Path):
    opened: Store = MemoryStore() if kind == "memory" else RocksdictStore(tmp_path / "store")
    yield opened
    opened.close()


def test_an_empty_store_has_nothing(store: Store) -> None:
    assert store.get(b"La") is None
    assert list(store.items(b"")) == []
    assert store.offsets() == {}


def test_what_was_put_is_seen_before_the_commit_and_after_it(store: Store) -> None:
    store.put(b"La", b"1")
    assert (store.get(b"La"), list(store.items(b"L"))) == (b"1", [(b"La", b"1")])
    store.commit({})
    assert (store.get(b"La"), list(store.items(b"L"))) == (b"1", [(b"La", b"1")])


def test_the_last_write_wins_in_a_commit_and_over_commits(store: Store) -> None:
    store.put(b"La", b"1")
    store.put(b"La", b"2")
    store.commit({})
    assert store.get(b"La") == b"2"
    store.delete(b"La")
    store.put(b"La", b"3")
    store.commit({})
    assert store.get(b"La") == b"3"
    store.put(b"La", b"4")
    store.delete(b"La")
    store.commit({})
    assert store.get(b"La") is None


def test_what_was_deleted_is_gone_at_once_and_from_the_items(store: Store) -> None:
    for name in (b"La", b"Lb", b"Lc"):
        store.put(name, name)
    store.commit({})
    store.delete(b"Lb")
    store.delete(b"Lnever")
    assert store.get(b"Lb") is None
    assert [key for key, _ in store.items(b"L")] == [b"La", b"Lc"]


def test_items_come_in_the_order_of_the_keys_with_uncommitted_ones_between(store: Store) -> None:
    for key in (b"Lb", b"Ld", b"Lf", b"M", b"K"):
        store.put(key, b"old")
    store.commit({"plays": 1})
    for key in (b"La", b"Ld", b"Le", b"Lz\xff\xff", b"L"):
        store.put(key, b"new")
    store.delete(b"Lf")
    old_and_new = [(b"L", b"new"), (b"La", b"new"), (b"Lb", b"old"), (b"Ld", b"new"), (b"Le", b"new")]
    assert list(store.items(b"L")) == [*old_and_new, (b"Lz\xff\xff", b"new")]
    assert [key for key, _ in store.items(b"")] == [b"K", b"L", b"La", b"Lb", b"Ld", b"Le", b"Lz\xff\xff", b"M"]


def test_items_are_as_they_were_when_asked_for(store: Store) -> None:
    for n in range(3000):  # more than a store reads at once
        store.put(b"L%04d" % n, b"old")
    store.commit({})
    items = store.items(b"L")
    assert next(items) == (b"L0000", b"old")
    store.put(b"L0001", b"new")
    store.delete(b"L0002")
    store.commit({})
    store.purge([b"L2999"])
    store.commit({})
    assert list(items) == [(b"L%04d" % n, b"old") for n in range(1, 3000)]


def test_empty_and_large_values_and_any_bytes_come_back_as_they_were(store: Store) -> None:
    values = {b"Lempty": b"", b"Lzero\x00\x00": b"\x00" * 7, b"Lbig": bytes(range(256)) * 8192, b"L\xff": b"\xff"}
    for key, value in values.items():
        store.put(key, value)
    store.commit({})
    assert dict(store.items(b"L")) == values
    assert {key: store.get(key) for key in values} == values


def test_offsets_are_those_of_the_last_commit_and_topics_keep_theirs(store: Store) -> None:
    store.commit({"plays": 5, "listener-settings": 2**40})
    store.put(b"La", b"1")
    assert store.offsets() == {"plays": 5, "listener-settings": 2**40}
    store.commit({"plays": 9})
    assert store.offsets() == {"plays": 9, "listener-settings": 2**40}
    assert list(store.items(b"")) == [(b"La", b"1")]


def test_purged_keys_are_gone_at_once_and_may_hold_a_new_value(store: Store) -> None:
    for key in (b"La", b"Lb", b"Lc"):
        store.put(key, b"old")
    store.commit({"plays": 1})
    store.purge([b"La", b"Lb", b"Lnever"])
    store.put(b"Lb", b"new")
    assert (store.get(b"La"), store.get(b"Lb"), store.get(b"Lc")) == (None, b"new", b"old")
    store.commit({"plays": 2})
    assert dict(store.items(b"L")) == {b"Lb": b"new", b"Lc": b"old"}
    assert store.offsets() == {"plays": 2}


def test_a_purge_of_what_was_overwritten_leaves_what_is_there(store: Store) -> None:
    for value in (b"older", b"old"):
        for key in (b"C1", b"C2", b"D1"):
            store.put(key, value)
        store.commit({"plays": 1})
    store.purge([b"C1"], overwritten=b"C")
    assert dict(store.items(b"")) == {b"C2": b"old", b"D1": b"old"}
    store.commit({"plays": 2})
    assert dict(store.items(b"")) == {b"C2": b"old", b"D1": b"old"}
    store.purge([], overwritten=b"X")
    store.commit({"plays": 3})
    assert (dict(store.items(b"")), store.offsets()) == ({b"C2": b"old", b"D1": b"old"}, {"plays": 3})


def test_a_checkpoint_holds_the_last_commit_and_nothing_later(kind: str, store: Store, tmp_path: Path) -> None:
    store.put(b"La", b"1")
    store.commit({"plays": 7})
    store.put(b"La", b"2")
    store.put(b"Lb", b"3")
    store.checkpoint(tmp_path / "below" / "copy")
    store.commit({"plays": 8})
    copy = FROM_CHECKPOINT[kind](tmp_path / "below" / "copy")
    assert (dict(copy.items(b"")), copy.offsets()) == ({b"La": b"1"}, {"plays": 7})
    copy.put(b"La", b"from the copy")
    copy.commit({})
    copy.close()
    assert (dict(store.items(b"")), store.offsets()) == ({b"La": b"2", b"Lb": b"3"}, {"plays": 8})


def test_a_checkpoint_of_an_empty_store_opens(kind: str, store: Store, tmp_path: Path) -> None:
    store.checkpoint(tmp_path / "copy")
    copy = FROM_CHECKPOINT[kind](tmp_path / "copy")
    assert (list(copy.items(b"")), copy.offsets()) == ([], {})
    copy.close()


def test_a_folder_that_exists_takes_no_checkpoint(store: Store, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    with pytest.raises((OSError, StoreUnavailable)):
        store.checkpoint(tmp_path / "copy")


def test_a_closed_store_says_so_and_so_do_its_iterators(store: Store) -> None:
    for n in range(3000):
        store.put(b"L%04d" % n, b"1")
    store.commit({})
    items = store.items(b"L")
    next(items)
    store.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        list(items)
    with pytest.raises(StoreUnavailable, match="closed"):
        store.get(b"La")
    with pytest.raises(StoreUnavailable, match="closed"):
        store.get_many([b"La", b"Lb"])
    with pytest.raises(StoreUnavailable, match="closed"):
        store.commit({})
    store.close()


KEYS = st.sampled_from([b"L", b"La", b"Lab", b"Lb", b"S", b"Sa", b"S\xff"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), KEYS, st.binary(max_size=4)),
        st.tuples(st.just("delete"), KEYS),
        st.tuples(st.just("purge"), st.lists(KEYS, max_size=3)),
        st.tuples(st.just("commit"), st.dictionaries(st.sampled_from(["plays", "settings"]), st.integers(0, 99))),
    ),
    max_size=12,
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_a_store_is_a_sorted_map_with_commits(kind: str, tmp_path_factory: pytest.TempPathFactory, steps: list) -> None:
    folder = tmp_path_factory.mktemp("store")
    store: Store = MemoryStore() if kind == "memory" else RocksdictStore(folder / "store")
    now: dict[bytes, bytes] = {}
    committed, offsets = dict(now), dict[str, int]()
    for step in steps:
        match step:
            case ("put", key, value):
                store.put(key, value)
                now[key] = value
            case ("delete", key):
                store.delete(key)
                now.pop(key, None)
            case ("purge", keys):
                store.purge(keys)
                now = {key: value for key, value in now.items() if key not in keys}
            case ("commit", changed):
                store.commit(changed)
                offsets.update(changed)
                committed = dict(now)
        assert store.offsets() == offsets
        asked = [b"La", b"Lnever", *now, b"La"]
        assert store.get_many(asked) == [now.get(key) for key in asked]
        for prefix in (b"", b"L", b"La", b"S\xff", b"T"):
            expected = sorted((key, value) for key, value in now.items() if key.startswith(prefix))
            assert list(store.items(prefix)) == expected
    assert {key: store.get(key) for key in now} == now
    store.checkpoint(folder / "copy")
    store.close()
    copy = FROM_CHECKPOINT[kind](folder / "copy")
    assert (dict(copy.items(b"")), copy.offsets()) == (committed, offsets)
    copy.close()
