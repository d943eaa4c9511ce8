"""The view of all crowds, and when a song is warm."""

from hypothesis import given
from hypothesis import strategies as st

from streams.catalogue.song_crowds import CrowdsOfSongs
from tests.builders.contracts import crowds


def view() -> CrowdsOfSongs:
    return CrowdsOfSongs("a1", 2, warm_at_listeners=20)


def test_a_song_is_warm_from_the_set_number_of_listeners_on() -> None:
    songs = view()
    songs.apply(0, 1, "s1", crowds("s1", samples=30, listeners=19))
    assert not songs.is_warm("s1") and songs.of("s1") is not None and songs.turns == 0
    songs.apply(0, 2, "s1", crowds("s1", samples=31, listeners=20))
    assert songs.is_warm("s1") and songs.turned_since(0) == ["s1"]
    songs.apply(0, 3, "s1", crowds("s1", samples=32, listeners=21))
    assert songs.turned_since(1) == [] and not songs.is_warm("s2") and songs.of("s2") is None


def test_a_tombstone_makes_it_cold_and_crowds_may_form_again() -> None:
    songs = view()
    songs.apply(0, 1, "s1", crowds("s1"))
    songs.apply(0, 2, "s1", None)
    assert songs.of("s1") is None and not songs.is_warm("s1") and len(songs) == 0
    songs.apply(0, 3, "s1", crowds("s1", samples=20))
    assert songs.is_warm("s1") and songs.turned_since(0) == ["s1"] * 3


def test_an_erasure_that_leaves_the_samples_counts() -> None:
    songs = view()
    songs.apply(0, 1, "s1", crowds("s1", samples=40, listeners=20))
    songs.apply(0, 2, "s1", crowds("s1", samples=40, listeners=19))
    assert not songs.is_warm("s1")


def test_another_artifacts_crowds_are_counted_and_left_out() -> None:
    songs = view()
    songs.apply(0, 1, "s1", crowds("s1", samples=40))
    songs.apply(0, 2, "s1", crowds("s1", samples=90, artifact="a2"))
    assert (found := songs.of("s1")) is not None and found.samples == 40
    assert (songs.of_other_artifacts, songs.offsets) == (1, (2, 0))


def test_what_was_read_before_changes_nothing() -> None:
    songs = view()
    songs.apply(1, 5, "s1", crowds("s1"))
    songs.apply(1, 5, "s1", None)
    songs.apply(1, 2, "s1", None)
    assert songs.is_warm("s1") and songs.offsets == (0, 5)
    songs.read_up_to(0, 3)
    assert songs.offsets == (3, 5)


@given(st.permutations(range(20, 30)))
def test_of_records_that_come_in_any_order_the_one_with_most_samples_stays(samples: list[int]) -> None:
    songs = view()
    for n, count in enumerate(samples):
        songs.apply(0, n + 1, "s1", crowds("s1", samples=count))
    assert (found := songs.of("s1")) is not None and found.samples == 29


def test_a_saved_view_is_as_it_was() -> None:
    songs, restored = view(), view()
    songs.apply(0, 1, "s1", crowds("s1"))
    songs.apply(1, 4, "s2", crowds("s2", listeners=2))
    restored.restore(songs.all(), songs.offsets)
    assert restored.all() == songs.all() and restored.offsets == (1, 4)
    assert restored.turned_since(0) == ["s1"]
