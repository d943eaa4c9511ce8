"""What FAISS adds to the song index: builds in the background, lists, measured recall."""

import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streams.catalogue import faiss_index
from streams.catalogue.exact_index import ExactIndex
from streams.catalogue.faiss_index import RECALL_GOAL, FaissIndex

D = 16


def songs_in_groups(n: int, seed: int = 1, groups: int = 40) -> np.ndarray[Any, np.dtype[np.float32]]:
    """As a catalogue is: songs crowd round what is fashionable."""
    draw = np.random.default_rng(seed)
    centres = np.random.default_rng(0).normal(size=(groups, D))
    rows = centres[draw.integers(groups, size=n)] + 0.5 * draw.normal(size=(n, D))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def built(n: int, **options: Any) -> FaissIndex:
    index = FaissIndex(D, **{"exact_below_songs": 1_000, "rebuild_from": 64, **options})
    index.upsert(np.arange(n), songs_in_groups(n))
    index.close()
    return index


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Builds wait until the gate is set."""
    opened, build = threading.Event(), faiss_index._Base.build

    def wait_and_build(*parts: Any, **options: Any) -> Any:
        assert opened.wait(60)
        return build(*parts, **options)

    monkeypatch.setattr(faiss_index._Base, "build", wait_and_build)
    yield opened
    opened.set()


def test_the_kind_follows_from_the_size() -> None:
    assert built(50).state().base == 0  # too few for a build: all in the delta
    flat, lists = built(900).state(), built(1_100).state()
    assert (flat.base, flat.lists, flat.recall_when_built) == (900, 0, 1.0)
    assert lists.base == 1_100 and 0 < lists.lists_looked_into <= lists.lists == 1_100 // 39


def test_lists_reach_the_promised_recall_also_for_songs_they_have_not_seen() -> None:
    index, exact, k = built(20_000), ExactIndex(D), 50
    exact.upsert(np.arange(20_000), songs_in_groups(20_000))
    state = index.state()
    assert state.lists > 100 and state.lists_looked_into < state.lists
    assert state.recall_when_built is not None and state.recall_when_built >= RECALL_GOAL
    recalls = []
    for query in songs_in_groups(100, seed=2):
        found, truth = ({row for row, _ in one.nearest(query, k)} for one in (index, exact))
        recalls.append(len(found & truth) / k)
    assert np.mean(recalls) >= RECALL_GOAL - 0.02  # 100 queries of 50: a standard error of .002


def test_sampled_searches_tell_their_recall_and_the_others_do_not() -> None:
    told: list[float] = []
    index = built(5_000, recall_sample_share=0.1, on_recall=told.append)
    for query in songs_in_groups(95, seed=2):
        index.nearest(query, 50)
    assert len(told) == 9  # by a counter: the share is exact
    assert index.state().recall == pytest.approx(np.mean(told)) and np.mean(told) > 0.9


def test_recall_of_an_exact_kind_is_one_and_of_no_sample_is_not_told() -> None:
    told: list[float] = []
    index = built(500, recall_sample_share=1.0, on_recall=told.append)
    for query in songs_in_groups(20, seed=2):
        index.nearest(query, 50)
    assert told == [1.0] * 20
    silent = built(500)
    silent.nearest(songs_in_groups(1)[0], 5)
    assert silent.state().recall is None


def test_what_waits_is_built_in_when_it_outgrows_its_share() -> None:
    index = built(500, rebuild_share=0.2)
    assert (index.state().builds, index.state().delta) == (1, 0)
    index.upsert(np.arange(500, 580), songs_in_groups(80, seed=3))
    index.close()
    assert (index.state().builds, index.state().base, index.state().delta) == (1, 500, 80)
    index.remove(np.arange(50))  # tombstones wait too
    index.close()
    state = index.state()
    assert (state.builds, state.base, state.delta, state.tombstones, state.songs) == (2, 530, 0, 0, 530)


def test_the_delta_does_not_grow_with_songs_that_are_embedded_again_and_again() -> None:
    index = built(500)
    for turn in range(50):
        index.upsert(np.arange(20), songs_in_groups(20, seed=turn))
        index.close()
    assert len(index) == 500 and index.state().delta <= 64 + 20


def test_searches_and_writes_go_on_during_a_build_and_are_right_after_the_swap(gate: threading.Event) -> None:
    index, exact, embeddings = (
        FaissIndex(D, rebuild_from=64, exact_below_songs=1_000),
        ExactIndex(D),
        songs_in_groups(200),
    )
    for each in (index, exact):
        each.upsert(np.arange(200), embeddings)
    assert index.state().building and index.state().base == 0
    for each in (index, exact):  # all of it while the builder holds a view from before
        each.upsert(np.array([0, 1, 200]), songs_in_groups(3, seed=5))
        each.upsert(np.array([1]), songs_in_groups(1, seed=6))
        each.remove(np.array([2, 200]))
        each.upsert(np.array([2]), songs_in_groups(1, seed=7))
        each.remove(np.array([3]))
    queries = songs_in_groups(20, seed=8)
    during = [index.nearest(query, 10) for query in queries]
    assert during == [exact.nearest(query, 10) for query in queries]
    gate.set()
    index.close()
    state = index.state()
    assert (state.builds, state.base, state.delta, state.songs) == (1, 200, 3, 199)
    assert [index.nearest(query, 10) for query in queries] == during
    assert index.rows().tolist() == exact.rows().tolist()


def test_a_build_that_fails_leaves_the_index_as_it_is_and_is_tried_again_later(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    build = faiss_index._Base.build

    def fail(*parts: Any, **options: Any) -> Any:
        raise MemoryError("no room")

    monkeypatch.setattr(faiss_index._Base, "build", fail)
    index = FaissIndex(D, rebuild_from=64)
    index.upsert(np.arange(100), songs_in_groups(100))
    index.close()
    assert (index.state().failed_builds, index.state().building, len(index)) == (1, False, 100)
    assert "could not be built anew" in caplog.text
    assert index.nearest(songs_in_groups(100)[7], 1)[0].row == 7
    index.upsert(np.arange(100, 110), songs_in_groups(10, seed=2))
    index.close()
    assert index.state().failed_builds == 1  # not with every write
    monkeypatch.setattr(faiss_index._Base, "build", build)
    index.upsert(np.arange(110, 200), songs_in_groups(90, seed=3))
    index.close()
    assert (index.state().builds, index.state().base, index.state().delta) == (1, 200, 0)


def test_lists_are_restored_and_not_built_again(tmp_path: Path, gate: threading.Event) -> None:
    gate.set()
    index = built(2_000)
    index.remove(np.arange(0, 60, 2))
    index.upsert(np.arange(2_000, 2_020), songs_in_groups(20, seed=3))
    index.frozen().save(tmp_path / "snap", artifact="a1", offsets={})
    gate.clear()
    restored = FaissIndex(D, exact_below_songs=1_000, rebuild_from=64)
    restored.restore(tmp_path / "snap", artifact="a1")  # would wait for ever if it built
    before, after = index.state(), restored.state()
    assert (after.songs, after.lists, after.lists_looked_into) == (1_990, before.lists, before.lists_looked_into)
    for query in songs_in_groups(30, seed=4):
        assert restored.nearest(query, 10) == index.nearest(query, 10)


def test_readers_beside_builds_find_every_song_that_stays() -> None:
    n = 1_500
    index, embeddings = built(n, rebuild_share=0.02), songs_in_groups(n)
    done, wrong = threading.Event(), list[str]()

    def search(seed: int) -> None:
        draw = np.random.default_rng(seed)
        while not done.is_set():
            row = int(draw.integers(n))
            if index.nearest(embeddings[row], 5)[0].row != row:
                wrong.append(f"row {row} is not found")

    readers = [threading.Thread(target=search, args=(seed,)) for seed in range(2)]
    for reader in readers:
        reader.start()
    draw = np.random.default_rng(0)
    for _ in range(60):
        again = draw.choice(n, 70, replace=False)
        index.upsert(again, embeddings[again])
        index.close()
    done.set()
    for reader in readers:
        reader.join()
    assert wrong == [] and index.state().builds > 10


def test_only_this_file_imports_faiss() -> None:
    package = Path(faiss_index.__file__).parents[1]
    importers = [path.name for path in package.rglob("*.py") if "import faiss\n" in path.read_text()]
    assert importers == ["faiss_index.py"]
    assert "faiss" in sys.modules
