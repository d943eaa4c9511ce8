"""What every song index promises: one body, each implementation."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.catalogue.exact_index import ExactIndex
from streams.catalogue.faiss_index import FaissIndex
from streams.catalogue.snapshots import MANIFEST, SnapshotRefused
from streams.catalogue.song_index import SongIndex

D = 8
Make = Callable[..., SongIndex]

# Small enough that every test crosses base, delta and rebuilds; at 64 songs FAISS turns from flat to lists.
MAKES: dict[str, Make] = {
    "exact": ExactIndex,
    "faiss, never built": FaissIndex,
    "faiss, flat": lambda dimension: FaissIndex(dimension, rebuild_from=8, rebuild_share=0.1),
    "faiss, lists": lambda dimension: FaissIndex(
        dimension, exact_below_songs=64, rebuild_from=8, rebuild_share=0.1, recall_sample_share=1.0
    ),
}


@pytest.fixture(params=MAKES)
def make(request: pytest.FixtureRequest) -> Make:
    return MAKES[request.param]


def unit_rows(n: int, seed: int = 1, dimension: int = D) -> np.ndarray[Any, np.dtype[np.float32]]:
    rows = np.random.default_rng(seed).normal(size=(n, dimension))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def array(*numbers: float) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.array(numbers, dtype=np.float32)


def rows_of(near: list[Any]) -> list[int]:
    return [row for row, _ in near]


def filled(make: Make, n: int = 300, seed: int = 1) -> SongIndex:
    """In batches, so that there is a base and a delta."""
    index, embeddings = make(D), unit_rows(n, seed)
    for first in range(0, n, 50):
        index.upsert(np.arange(first, min(first + 50, n)), embeddings[first : first + 50])
    index.close()
    return index


def test_the_nearest_come_first_and_ties_by_row(make: Make) -> None:
    index = make(2)
    index.upsert(np.array([9, 4, 7, 1]), np.stack([array(1, 0), array(1, 0), array(0, 1), array(-1, 0)]))
    near = index.nearest(array(1, 0), 3)
    assert rows_of(near) == [4, 9, 7]
    assert [similarity for _, similarity in near] == pytest.approx([1, 1, 0], abs=1e-7)


def test_an_empty_song_index_has_no_neighbours(make: Make) -> None:
    assert make(2).nearest(array(0, 1), 3) == []
    assert len(make(2)) == 0 and make(2).rows().tolist() == []


def test_an_index_that_became_empty_has_none_either(make: Make) -> None:
    index = filled(make, 100)
    index.remove(np.arange(100))
    index.close()
    assert len(index) == 0 and index.nearest(unit_rows(1)[0], 5) == []


def test_one_asks_for_none_or_for_more_than_there_are(make: Make) -> None:
    index = filled(make, 70)
    assert index.nearest(unit_rows(1)[0], 0) == []
    assert sorted(rows_of(index.nearest(unit_rows(1)[0], 1_000))) == list(range(70))


def test_the_last_embedding_of_a_song_wins_also_inside_one_batch(make: Make) -> None:
    index = make(2)
    index.upsert(np.array([7]), np.array([[1, 1]], "float32"))
    index.upsert(np.array([7, 7]), np.array([[1, 0], [0, 2]], "float32"))
    assert index.nearest(array(0, 1), 3) == [(7, 1.0)]
    assert len(index) == 1


@pytest.mark.parametrize("kind", [np.int32, np.int64])
def test_rows_of_either_kind_are_taken(make: Make, kind: Any) -> None:
    index = make(2)
    index.upsert(np.array([3, 5], dtype=kind), np.array([[1, 0], [0, 1]], "float32"))
    index.remove(np.array([3], dtype=kind))
    assert index.nearest(array(1, 0), 3) == [(5, 0.0)]


def test_a_removal_is_complete_and_what_is_not_there_is_not_missed(make: Make) -> None:
    index = filled(make)
    index.remove(np.array([0, 5, 5, 299, 10_000]))
    index.remove(np.array([0]))
    index.close()
    assert len(index) == 297
    assert not {0, 5, 299, 10_000} & set(index.rows().tolist())
    assert not {0, 5, 299} & set(rows_of(index.nearest(unit_rows(1)[0], 297)))


def test_a_removed_song_can_come_back(make: Make) -> None:
    index = filled(make)
    index.remove(np.array([5]))
    index.upsert(np.array([5]), unit_rows(300)[5:6])
    assert index.nearest(unit_rows(300)[5], 1)[0].row == 5
    assert len(index) == 300


def test_nothing_that_is_handed_over_is_changed_or_kept(make: Make) -> None:
    index, rows, embeddings, query = make(2), np.array([2, 2, 1]), np.ones((3, 2), "float32") * 3, array(5, 5)
    index.upsert(rows, embeddings)
    before = index.nearest(query, 5)
    assert (rows == [2, 2, 1]).all() and (embeddings == 3).all() and (query == 5).all()
    rows[:], embeddings[:] = 9, array(-1, 0)
    assert index.nearest(query, 5) == before == [(1, pytest.approx(1)), (2, pytest.approx(1))]


@pytest.mark.parametrize("bad", [array(0, 0), array(np.nan, 1), array(np.inf, 0)])
def test_what_has_no_direction_is_refused_and_the_rest_stays(make: Make, bad: Any) -> None:
    index = make(2)
    index.upsert(np.array([1]), np.array([[1, 0]], "float32"))
    with pytest.raises(ValueError, match="zero or not finite"):
        index.upsert(np.array([2]), bad[None])
    with pytest.raises(ValueError, match="zero or not finite"):
        index.nearest(bad, 1)
    assert index.nearest(array(1, 0), 5) == [(1, 1.0)]


def test_wrong_shapes_and_negative_rows_are_refused_by_name(make: Make) -> None:
    index = make(2)
    with pytest.raises(ValueError, match=r"wanted \(n,\) and \(n, 2\)"):
        index.upsert(np.array([1, 2]), np.ones((2, 3), "float32"))
    with pytest.raises(ValueError, match="row -1 is negative"):
        index.upsert(np.array([-1]), np.ones((1, 2), "float32"))
    with pytest.raises(ValueError, match=r"wanted \(2,\)"):
        index.nearest(np.ones((1, 2), "float32"), 1)


def test_answers_are_finite_and_within_bounds(make: Make) -> None:
    similarities = [similarity for _, similarity in filled(make).nearest(unit_rows(1, 9)[0], 300)]
    assert np.isfinite(similarities).all() and max(map(abs, similarities)) <= 1 + 1e-6
    assert similarities == sorted(similarities, reverse=True)


@pytest.mark.parametrize("share", [0.5, 0.05, 0.004])
def test_a_filter_leaves_k_if_so_many_exist(make: Make, share: float) -> None:
    index, allowed_rows = filled(make, 1_000), np.random.default_rng(3).random(1_000) < share
    embeddings = unit_rows(1_000)
    for query in unit_rows(10, seed=4):
        near = index.nearest(query, 20, lambda rows: allowed_rows[rows])
        assert len(near) == min(20, allowed_rows.sum())
        assert allowed_rows[rows_of(near)].all()
        if share < 0.1:  # few are looked at one by one, by every implementation
            order = np.argsort(-(embeddings @ query), kind="stable")
            assert rows_of(near) == [row for row in order.tolist() if allowed_rows[row]][:20]


def test_a_filter_that_allows_nothing_finds_nothing(make: Make) -> None:
    assert filled(make).nearest(unit_rows(1)[0], 5, lambda rows: np.zeros(len(rows), bool)) == []


def test_equal_songs_are_answered_by_row_however_many_there_are(make: Make) -> None:
    index, same = make(D), np.repeat(unit_rows(1), 500, axis=0)
    rows = np.random.default_rng(5).permutation(500)
    for some in np.array_split(rows, 10):
        index.upsert(some, same[: len(some)])
        index.close()
    assert rows_of(index.nearest(same[0], 10)) == list(range(10))


def test_a_similarity_does_not_depend_on_the_way_a_song_came_into_the_index(make: Make) -> None:
    at_once, one_by_one, embeddings = make(D), make(D), unit_rows(200)
    at_once.upsert(np.arange(200), embeddings)
    for row in np.random.default_rng(6).permutation(200):
        one_by_one.upsert(np.array([row]), embeddings[row : row + 1])
    at_once.close(), one_by_one.close()
    reference = ExactIndex(D)
    reference.upsert(np.arange(200), embeddings)
    for query in unit_rows(5, seed=7):
        near = dict(reference.nearest(query, 200))
        for index in (at_once, one_by_one):
            assert dict(index.nearest(query, 200)) == near  # the same bits


# ---- against the exact index -------------------------------------------------------------------------------------

WRITES = st.lists(
    st.tuples(st.booleans(), st.lists(st.integers(0, 120), min_size=1, max_size=40), st.integers(0, 10_000)),
    max_size=12,
)


@pytest.mark.parametrize("kind", ["faiss, never built", "faiss, flat", "faiss, lists"])
@settings(max_examples=30)
@given(writes=WRITES, wait=st.booleans(), k=st.integers(1, 30))
def test_faiss_holds_what_the_exact_index_holds_after_any_writes(
    kind: str, writes: list[tuple[bool, list[int], int]], wait: bool, k: int
) -> None:
    exact, faiss = ExactIndex(D), MAKES[kind](D)
    for is_upsert, rows, seed in writes:
        for index in (exact, faiss):
            if is_upsert:
                index.upsert(np.array(rows), unit_rows(len(rows), seed))
            else:
                index.remove(np.array(rows))
        if wait:
            faiss.close()
    faiss.close()
    assert len(faiss) == len(exact)
    assert faiss.rows().tolist() == exact.rows().tolist()
    query = unit_rows(1, seed=99)[0]
    assert faiss.nearest(query, 200) == exact.nearest(query, 200)
    if kind != "faiss, lists":
        assert faiss.nearest(query, k) == exact.nearest(query, k)


# ---- snapshots ---------------------------------------------------------------------------------------------------

OFFSETS = {"song-embeddings": (5, 0, 7), "song-crowds": (1, 2, 3)}


@pytest.mark.parametrize("into", MAKES)
def test_a_snapshot_of_any_kind_is_restored_into_any_other(make: Make, into: str, tmp_path: Path) -> None:
    index = filled(make)
    index.remove(np.array([3, 299]))
    index.upsert(np.array([4, 400]), unit_rows(2, seed=8))
    index.frozen().save(tmp_path / "snap", artifact="a1", offsets=OFFSETS)
    restored = MAKES[into](D)
    restored.upsert(np.array([3, 77_777]), unit_rows(2, seed=9))  # is forgotten
    assert restored.restore(tmp_path / "snap", artifact="a1") == OFFSETS
    assert restored.rows().tolist() == index.rows().tolist()
    query = unit_rows(1, seed=10)[0]
    assert restored.nearest(query, 299) == index.nearest(query, 299)
    restored.upsert(np.array([3]), query[None])
    restored.remove(np.array([4]))
    restored.close()
    assert restored.nearest(query, 1)[0].row == 3 and 4 not in restored.rows()
    assert [path.name for path in tmp_path.iterdir()] == ["snap"]  # nothing is left aside


def test_what_is_frozen_does_not_move(make: Make, tmp_path: Path) -> None:
    index = filled(make)
    frozen = index.frozen()
    index.remove(np.arange(100))
    index.upsert(np.arange(200, 300), unit_rows(100, seed=12))
    frozen.save(tmp_path / "snap", artifact="a1", offsets={})
    restored = make(D)
    restored.restore(tmp_path / "snap", artifact="a1")
    query = unit_rows(1, seed=10)[0]
    assert restored.nearest(query, 300) == filled(make).nearest(query, 300)


def test_an_empty_index_is_saved_and_restored(make: Make, tmp_path: Path) -> None:
    make(D).frozen().save(tmp_path / "snap", artifact="a1", offsets=OFFSETS)
    restored = filled(make)
    assert restored.restore(tmp_path / "snap", artifact="a1") == OFFSETS
    assert len(restored) == 0 and restored.nearest(unit_rows(1)[0], 3) == []


def test_a_newer_snapshot_takes_the_place_of_an_older_one(make: Make, tmp_path: Path) -> None:
    filled(make, 50).frozen().save(tmp_path / "snap", artifact="a1", offsets={})
    filled(make, 60).frozen().save(tmp_path / "snap", artifact="a1", offsets=OFFSETS)
    restored = make(D)
    assert restored.restore(tmp_path / "snap", artifact="a1") == OFFSETS and len(restored) == 60


@pytest.mark.parametrize("kind", MAKES)
def test_every_damaged_byte_and_missing_file_is_found_and_named(kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "snap"
    filled(MAKES[kind]).frozen().save(folder, artifact="a1", offsets=OFFSETS)
    index = filled(MAKES[kind], 20)
    for path in sorted(folder.iterdir()):
        whole = path.read_bytes()
        for damaged in (
            whole[: len(whole) // 2],
            whole[:-1] + bytes([whole[-1] ^ 1]),
            b"",
            whole.replace(b"5", b"6", 1),
        ):
            if damaged == whole:
                continue
            path.write_bytes(damaged)
            with pytest.raises(SnapshotRefused, match=path.name):
                index.restore(folder, artifact="a1")
        path.unlink()
        with pytest.raises(SnapshotRefused, match=path.name):
            index.restore(folder, artifact="a1")
        path.write_bytes(whole)
    assert index.rows().tolist() == list(range(20))  # a refusal changes nothing
    assert index.restore(folder, artifact="a1") == OFFSETS


def test_vectors_of_another_model_are_refused(make: Make, tmp_path: Path) -> None:
    filled(make).frozen().save(tmp_path / "snap", artifact="a1", offsets={})
    with pytest.raises(SnapshotRefused, match=r"artifact a1 .* wanted a2"):
        make(D).restore(tmp_path / "snap", artifact="a2")
    with pytest.raises(SnapshotRefused, match="have 8 numbers, wanted a1 and 9"):
        make(D + 1).restore(tmp_path / "snap", artifact="a1")
    with pytest.raises(SnapshotRefused, match=f"{MANIFEST} cannot be read"):
        make(D).restore(tmp_path / "none", artifact="a1")


# ---- beside a writer ---------------------------------------------------------------------------------------------


def test_searches_beside_a_writer_see_it_as_after_some_write(make: Make) -> None:
    """Row r holds direction r or, written again, the same: it must never be missing, doubled or torn."""
    index, stay, come_and_go = make(64), 200, 40
    embeddings = unit_rows(stay + come_and_go, dimension=64)
    index.upsert(np.arange(stay), embeddings[:stay])
    done, wrong = threading.Event(), list[str]()

    def search(seed: int) -> None:
        draw = np.random.default_rng(seed)
        while not done.is_set():
            row = int(draw.integers(stay))
            near = index.nearest(embeddings[row], 300)
            found = rows_of(near)
            if near[0].row != row or abs(near[0].similarity - 1) > 1e-5:
                wrong.append(f"row {row} is answered with {near[0]}")
            if len(set(found)) != len(found) or not set(range(stay)) <= set(found):
                wrong.append(f"{len(found)} found, {len(set(found))} different ones")

    readers = [threading.Thread(target=search, args=(seed,)) for seed in range(3)]
    for reader in readers:
        reader.start()
    draw = np.random.default_rng(0)
    for turn in range(150):
        again = draw.choice(stay, 20, replace=False)
        index.upsert(again, embeddings[again])
        index.upsert(np.arange(stay, stay + come_and_go), embeddings[stay:])
        index.remove(np.arange(stay, stay + come_and_go))
        if turn % 50 == 49:
            index.close()
    done.set()
    for reader in readers:
        reader.join()
    index.close()
    assert wrong == []
    assert index.rows().tolist() == list(range(stay))
