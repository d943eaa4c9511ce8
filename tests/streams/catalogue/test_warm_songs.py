"""The index follows the views, and answers by name."""

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.catalogue.exact_index import ExactIndex
from streams.catalogue.faiss_index import FaissIndex
from streams.catalogue.warm_songs import WarmSongs
from tests.builders.catalogue import Catalogue
from tests.builders.contracts import crowds, embedded

EAST = np.array([1, 0], dtype=np.float32)


def names(near: list[tuple[str, float]]) -> list[str]:
    return [song_id for song_id, _ in near]


def test_a_song_is_near_once_it_is_known_and_warm_whichever_comes_first() -> None:
    catalogue = Catalogue()
    catalogue.add_songs(embedded("s1", 1, 0)).add_crowds(crowds("s2"))
    assert catalogue.warm.near(EAST, 5) == []
    catalogue.add_crowds(crowds("s1"))
    assert names(catalogue.warm.near(EAST, 5)) == ["s1"]
    catalogue.add_songs(embedded("s2", 0, 1))
    assert catalogue.warm.near(EAST, 5) == [("s1", 1.0), ("s2", 0.0)]


def test_a_song_with_too_few_listeners_is_near_nobody() -> None:
    catalogue = Catalogue(warm_at_listeners=20)
    catalogue.add_songs(embedded("s1", 1, 0)).add_crowds(crowds("s1", samples=300, listeners=19))
    assert catalogue.warm.near(EAST, 5) == []
    catalogue.add_crowds(crowds("s1", samples=301, listeners=20))
    assert names(catalogue.warm.near(EAST, 5)) == ["s1"]


@pytest.mark.parametrize("how", ["withdrawn", "crowds taken back", "turned cold"])
def test_a_song_that_goes_is_in_no_answer_from_the_very_next_one_on(how: str) -> None:
    catalogue = Catalogue().add_songs(embedded("s1", 1, 0), embedded("s2", 1, 1)).add_crowds(crowds("s1"), crowds("s2"))
    assert names(catalogue.warm.near(EAST, 5)) == ["s1", "s2"]
    if how == "withdrawn":
        catalogue.add_songs("s1")
    else:
        catalogue.add_crowds("s1" if how == "crowds taken back" else crowds("s1", samples=41, listeners=1))
    assert names(catalogue.warm.near(EAST, 5)) == ["s2"]
    assert len(catalogue.warm) == 1
    catalogue.add_songs(embedded("s1", 1, 0)).add_crowds(crowds("s1", samples=42))
    assert names(catalogue.warm.near(EAST, 5)) == ["s1", "s2"]


def test_an_embedding_that_is_made_again_takes_the_place_of_the_old_one() -> None:
    catalogue = Catalogue().add_songs(embedded("s1", 1, 0), embedded("s2", 1, 1)).add_crowds(crowds("s1"), crowds("s2"))
    catalogue.warm.catch_up()
    catalogue.add_songs(embedded("s1", 0, 1))
    assert names(catalogue.warm.near(EAST, 5)) == ["s2", "s1"]


def test_ties_are_broken_by_name_whatever_order_the_songs_came_in() -> None:
    songs = [f"s{n:02}" for n in range(40)]
    for seed in range(3):
        catalogue = Catalogue()
        for song in np.random.default_rng(seed).permutation(songs).tolist():
            catalogue.add_songs(embedded(song, 3, 4)).add_crowds(crowds(song))
        catalogue.add_songs(embedded("best", 1, 0)).add_crowds(crowds("best"))
        assert names(catalogue.warm.near(EAST, 6)) == ["best", *songs[:5]]


def test_only_songs_of_the_market_are_near_and_never_the_song_itself() -> None:
    catalogue = Catalogue()
    for song, markets in {"de": ("DE",), "us": ("US",), "all": (), "both": ("US", "DE")}.items():
        catalogue.add_songs(embedded(song, 1, 0, markets=markets)).add_crowds(crowds(song))
    assert names(catalogue.warm.near(EAST, 9, markets=("DE",))) == ["all", "both", "de"]
    assert names(catalogue.warm.near(EAST, 9, markets=("DE",), but_not="all")) == ["both", "de"]
    assert names(catalogue.warm.near(EAST, 9, but_not="de")) == ["all", "both", "us"]
    assert names(catalogue.warm.near(EAST, 9, but_not="unheard of")) == ["all", "both", "de", "us"]
    assert names(catalogue.warm.near(EAST, 1, markets=("JP",))) == ["all"]
    assert catalogue.warm.near(EAST, 0) == []


def test_an_index_that_was_restored_is_brought_in_step() -> None:
    catalogue = Catalogue().add_songs(*(embedded(f"s{n}", 1, n) for n in range(4)))
    catalogue.add_crowds(crowds("s1"), crowds("s2"))
    index = ExactIndex(2)
    index.upsert(np.array([0, 1, 77]), np.ones((3, 2), "float32"))
    assert len(WarmSongs(catalogue.songs, catalogue.crowds, index)) == 2
    assert index.rows().tolist() == [1, 2]


STEPS = st.lists(
    st.tuples(st.sampled_from(["embed", "withdraw", "warm", "cold", "ask"]), st.integers(0, 5), st.integers(0, 3)),
    max_size=40,
)


@given(STEPS)
def test_the_index_holds_what_is_known_and_warm_after_any_records(steps: list[tuple[str, int, int]]) -> None:
    catalogue, known, warm, samples = Catalogue(), dict[str, int](), set[str](), 0
    for what, number, direction in steps:
        song, samples = f"s{number}", samples + 1
        if what == "embed":
            catalogue.add_songs(embedded(song, 1, direction))
            known[song] = direction
        elif what == "withdraw":
            catalogue.add_songs(song)
            known.pop(song, None)
        elif what == "warm":
            catalogue.add_crowds(crowds(song, samples=samples, listeners=20))
            warm.add(song)
        elif what == "cold":
            catalogue.add_crowds(song)
            warm.discard(song)
        if what == "ask" or (what, number, direction) == steps[-1]:
            expected = sorted((direction, song) for song, direction in known.items() if song in warm)
            assert names(catalogue.warm.near(EAST, 9)) == [song for _, song in expected]


def test_questions_beside_the_reader_of_the_views_never_see_half_a_song() -> None:
    """A song and its twin of the same embedding come and go together, under the lock of one moment."""
    catalogue = Catalogue(index=FaissIndex(2, rebuild_from=8))
    catalogue.add_songs(embedded("s0", 1, 1)).add_crowds(crowds("s0"), crowds("one"), crowds("two"))
    done, wrong = threading.Event(), list[list[str]]()

    def ask() -> None:
        while not done.is_set():
            if (found := names(catalogue.warm.near(EAST, 5))) not in (["s0"], ["one", "two", "s0"]):
                wrong.append(found)

    readers = [threading.Thread(target=ask) for _ in range(2)]
    for reader in readers:
        reader.start()
    for _ in range(200):
        with catalogue.warm.as_of_one_moment():
            catalogue.add_songs(embedded("one", 1, 0), embedded("two", 1, 0))
        with catalogue.warm.as_of_one_moment():
            catalogue.add_songs("one", "two")
        catalogue.warm.catch_up()
    done.set()
    for reader in readers:
        reader.join()
    assert wrong == []
