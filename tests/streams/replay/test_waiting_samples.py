"""Samples wait: whoever asks gets those of a song once, each with its own ring."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.replay import waiting_samples
from streams.replay.waiting_samples import Samples, WaitingSamples

SONGS = 6
STEPS = st.lists(
    st.one_of(
        st.lists(st.integers(0, SONGS - 1), max_size=9),  # samples of these songs come
        st.sets(st.integers(0, SONGS), max_size=3),  # these songs are asked for
        st.none(),  # everything is
    ),
    max_size=12,
)


def samples(songs: list[int], first: int) -> Samples:
    """Everything of a sample tells its place."""
    places = first + np.arange(len(songs))
    keys, strengths = places.astype(np.uint64), places.astype(np.float32)
    return Samples(places, np.array(songs, np.int64), keys, 2 * places, strengths, 3 * places)


@pytest.fixture(params=[1, 4, 1_000], autouse=True)
def at_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as here:
        here.setattr(waiting_samples, "PER_CHUNK", request.param)
        here.setattr(waiting_samples, "READ_AT_ONCE", request.param)
        yield


@settings(deadline=None)
@given(STEPS)
def test_what_waits_for_a_song_is_what_came_since_it_was_last_asked_for(steps):
    waiting, plain, first = WaitingSamples(), dict[int, list[int]](), 0
    for step in steps:
        if isinstance(step, list):
            waiting.add(samples(step, first), np.array(step, np.int64))
            for place, song in enumerate(step, first):
                plain.setdefault(song, []).append(place)
            first += len(step)
        elif step is None:
            check([*waiting.all_taken()], sorted(plain), plain)
            assert len(waiting) == 0
        else:
            check([waiting.taken(np.array(sorted(step), np.int64))], sorted(step), plain)


def check(taken: list[Samples], songs: list[int], plain: dict[int, list[int]]) -> None:
    found: dict[int, list[int]] = {}
    for some in taken:
        assert some.rings.tolist() == [3 * place for place in some.places.tolist()]
        assert some.played_ms.tolist() == [2 * place for place in some.places.tolist()]
        for row, place in zip(some.songs.tolist(), some.places.tolist(), strict=True):
            found.setdefault(row, []).append(place)
    wanted = {song: places for song in songs if (places := plain.pop(song, []))}
    assert {song: sorted(places) for song, places in found.items()} == wanted
