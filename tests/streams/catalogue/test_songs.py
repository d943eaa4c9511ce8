"""The view of all songs, against a plain dict and at its edges."""

import threading
from dataclasses import dataclass, field

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.catalogue import songs as songs_module
from streams.catalogue.songs import Songs
from streams.contracts.embeddings import SongEmbedded
from streams.contracts.ids import key_of, keys_of
from streams.errors import Stop
from tests.builders.contracts import embedded

NAMES = [f"s{n}" for n in range(6)]


@dataclass
class Log:
    """Appends to one view, with the next offset of the partition each time."""

    songs: Songs = field(default_factory=lambda: Songs("a1", 2, 2))
    offsets: list[int] = field(default_factory=lambda: [0, 0])

    def add(self, song: SongEmbedded | str, partition: int = 0) -> Songs:
        self.offsets[partition] += 1
        song_id, value = (song, None) if isinstance(song, str) else (song.song_id, song)
        self.songs.apply(partition, self.offsets[partition], song_id, value)
        return self.songs


def test_a_song_is_found_by_name_key_and_row() -> None:
    log = Log()
    log.add(embedded("s1", 1, 0))
    songs = log.add(embedded("s2", 3, 4, markets=("DE",)), partition=1)
    assert songs.rows(["s2", "s9", "s1"]).tolist() == [1, -1, 0]
    assert songs.rows_of_keys(keys_of(("s1", "s9", "s2"))).tolist() == [0, -1, 1]
    assert songs.embeddings[1] == pytest.approx([0.6, 0.8])
    assert songs.keys[1] == key_of("s2") and songs.song_ids == ["s1", "s2"]
    assert songs.facts(1).markets == ("DE",)
    assert (len(songs), songs.offsets, songs.embeddings.shape) == (2, (1, 1), (2, 2))


def test_a_withdrawn_song_is_found_neither_by_name_nor_by_key_and_its_embedding_is_zero() -> None:
    log = Log()
    log.add(embedded("s1", 1, 0))
    log.add(embedded("s2", 0, 1))
    songs = log.add("s1")
    assert songs.rows(["s1", "s2"]).tolist() == [-1, 1]
    assert songs.rows_of_keys(np.array([[key_of("s1")], [key_of("s2")]], dtype=np.uint64)).tolist() == [[-1], [1]]
    assert songs.embeddings.tolist() == [[0, 0], [0, 1]] and songs.song_ids == [None, "s2"]
    assert songs.known.tolist() == [False, True] and len(songs) == 1
    with pytest.raises(KeyError, match="row 0 has been withdrawn"):
        songs.facts(0)


def test_a_row_belongs_to_one_song_also_when_it_was_withdrawn_and_comes_back() -> None:
    log = Log()
    log.add(embedded("s1", 1, 0))
    log.add("s1")
    log.add(embedded("s2", 0, 1))
    songs = log.add(embedded("s1", 0, -1))
    assert songs.rows(["s1", "s2"]).tolist() == [0, 1]
    assert songs.rows_of_keys(keys_of(("s1", "s2"))).tolist() == [0, 1]
    assert songs.embeddings[0].tolist() == [0, -1]


def test_withdrawing_an_unknown_song_is_no_change() -> None:
    songs = Log().add("s1")
    assert (songs.changes, len(songs), songs.offsets) == (0, 0, (1, 0))


def test_another_artifacts_record_is_counted_and_left_out() -> None:
    log = Log()
    log.add(embedded("s1", 1, 0))
    songs = log.add(embedded("s1", 0, 1, artifact="a2"))
    assert songs.of_other_artifacts == 1 and songs.embeddings.tolist() == [[1, 0]]
    assert songs.offsets == (2, 0)


def test_what_was_read_before_changes_nothing() -> None:
    songs = Songs("a1", 2, 2)
    songs.apply(0, 7, "s1", embedded("s1", 0, 1))
    songs.apply(0, 7, "s1", embedded("s1", 1, 0))
    songs.apply(0, 3, "s1", None)
    assert songs.embeddings.tolist() == [[0, 1]] and songs.offsets == (7, 0) and songs.changes == 1
    songs.read_up_to(0, 9)
    songs.read_up_to(0, 8)
    assert songs.offsets == (9, 0)


@pytest.mark.parametrize(
    "damaged", [b"", b"\0" * 8, embedded("s1", 1, 0, 0).embedding, np.full(2, np.nan, "<f4").tobytes(), b"123"]
)
def test_an_embedding_that_cannot_be_one_stops_the_worker_and_names_the_song(damaged: bytes) -> None:
    with pytest.raises(Stop, match=r"song 's1' in song-embeddings has .* wanted a unit vector of 2 .* artifact a1"):
        Log().add(msgspec.structs.replace(embedded("s1"), embedding=damaged))


def test_two_songs_of_one_key_stop_the_worker_with_both_names() -> None:
    for withdrawn in (False, True):
        for asked_between in (False, True):
            log = Log(Songs("a1", 2, 1, keyed_by=lambda song_id: 17 if song_id in ("one", "two") else key_of(song_id)))
            log.add(embedded("zero"))
            log.add(embedded("one"))
            if asked_between:
                assert log.songs.rows_of_keys(np.array([17], np.uint64)).tolist() == [1]
            if withdrawn:
                log.add("one")
            log.add(embedded("two"))
            with pytest.raises(Stop, match=r"'one' and 'two' have the same 64-bit key 17"):
                log.songs.rows_of_keys(keys_of(("zero",)))


def test_a_collision_is_found_though_nobody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(songs_module, "UNINDEXED", 8)
    log = Log(Songs("a1", 2, 1, keyed_by=lambda song_id: int(song_id) % 10))
    with pytest.raises(Stop, match="'0' and '10'"):
        for n in range(30):
            log.add(embedded(str(n)))


def test_changes_are_told_in_part_however_long_ago(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(songs_module, "RECENT", 3)
    log = Log()
    for name in NAMES:
        log.add(embedded(name))
    songs, before = log.songs, log.songs.changes
    assert songs.changed_since(before).tolist() == []
    log.add(embedded("s4"))
    log.add("s1")
    log.add(embedded("s4", 0, 1))
    assert songs.changed_since(before).tolist() == [1, 4]
    log.add(embedded("s0"))
    assert songs.changed_since(before).tolist() == [0, 1, 4]  # beyond what is kept as recent
    assert songs.changed_since(0).tolist() == list(range(6))


def test_who_holds_the_arrays_is_not_disturbed_by_growth() -> None:
    log = Log()
    log.add(embedded("s0", 0, 1))
    before = log.songs.embeddings
    for n in range(1, 3_000):
        log.add(embedded(f"s{n}", 1, n))
    assert before.tolist() == [[0, 1]]
    assert len(log.songs.embeddings) == 3_000
    assert (log.songs.rows_of_keys(log.songs.keys) == np.arange(3_000)).all()
    assert log.songs.embeddings[2_999] @ log.songs.embeddings[2_999] == pytest.approx(1)


def test_markets_are_shared_by_name_and_no_market_is_every_market() -> None:
    log = Log()
    for name, markets in {"s0": ("DE", "AT"), "s1": (), "s2": ("US",), "s3": ("FR", "DE")}.items():
        log.add(embedded(name, markets=markets))
    rows = np.arange(4)
    in_germany = log.songs.sold_in(("DE", "JP"))
    assert in_germany is not None and in_germany(rows).tolist() == [True, True, False, True]
    assert in_germany(rows[2:]).tolist() == [False, True]
    nowhere = log.songs.sold_in(("BR",))
    assert nowhere is not None and nowhere(rows).tolist() == [False, True, False, False]
    assert log.songs.sold_in(()) is None
    assert log.songs.sold_in(("DE", "US")) is None  # all of them


def test_a_saved_view_is_as_it_was() -> None:
    log = Log()
    for name in NAMES:
        log.add(embedded(name, 1, int(name[1])), partition=int(name[1]) % 2)
    log.add("s2")
    log.add("s5", partition=1)
    restored = Songs("a1", 2, 2)
    restored.restore(log.songs.by_row(), log.songs.offsets)
    assert restored.rows(NAMES).tolist() == log.songs.rows(NAMES).tolist()
    assert restored.rows_of_keys(keys_of(NAMES)).tolist() == log.songs.rows_of_keys(keys_of(NAMES)).tolist()
    assert restored.embeddings.tolist() == log.songs.embeddings.tolist()
    assert (restored.offsets, restored.by_row()) == (log.songs.offsets, log.songs.by_row())
    restored.apply(0, 9, "s2", embedded("s2", 0, 1))
    assert restored.rows(["s2"]).tolist() == [2]


RECORDS = st.lists(
    st.tuples(st.sampled_from(NAMES), st.one_of(st.none(), st.integers(1, 5)), st.booleans()), max_size=40
)


@given(RECORDS)
def test_the_view_is_the_fold_of_its_log(records: list[tuple[str, int | None, bool]]) -> None:
    log, truth, rows = Log(), dict[str, int](), dict[str, int]()
    for name, number, ask in records:
        before = log.songs.changes
        log.add(name if number is None else embedded(name, 1, number))
        if number is None:
            truth.pop(name, None)
        else:
            truth[name] = number
            rows.setdefault(name, len(rows))
        if log.songs.changes != before:
            assert log.songs.changed_since(before).tolist() == [rows[name]]
        if ask:
            assert log.songs.rows_of_keys(keys_of(NAMES)).tolist() == log.songs.rows(NAMES).tolist()
    assert log.songs.row_of == {name: rows[name] for name in truth}
    assert log.songs.rows_of_keys(keys_of(NAMES)).tolist() == [rows[n] if n in truth else -1 for n in NAMES]
    for name, number in truth.items():
        assert log.songs.embeddings[rows[name]] == pytest.approx(np.array([1, number]) / np.hypot(1, number))
    assert log.songs.keys.tolist() == [key_of(name) for name in sorted(rows, key=lambda name: rows[name])]


def test_readers_beside_the_writer_find_every_song_that_was_known_when_they_asked() -> None:
    log, done, wrong = Log(), threading.Event(), list[str]()
    names = [f"s{n}" for n in range(5_000)]
    keys, in_order = keys_of(names), np.arange(5_000)

    def read() -> None:
        while not done.is_set():
            known = len(log.songs)
            rows = log.songs.rows_of_keys(keys)
            if not ((rows == in_order) | ((rows == -1) & (in_order >= known))).all():
                wrong.append(f"{known} known, {(rows[:known] != in_order[:known]).sum()} of them not found")

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for name in names:
        log.add(embedded(name))
    done.set()
    for reader in readers:
        reader.join()
    assert wrong == [] and (log.songs.rows_of_keys(keys) == in_order).all()
