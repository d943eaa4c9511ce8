"""Plays by partition, and the order of the log: every cut through all partitions is one through that order."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streams.recording.played import Played
from streams.replay.stretches import Stretch

ROWS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), max_size=40)  # partition, time


def played(rows: list[tuple[int, int]]) -> Played:
    """Numbered by listener, in the order of the log."""
    rows = sorted(rows, key=lambda row: row[1])
    none = np.zeros(len(rows), np.int64)
    places = np.arange(len(rows))
    columns = dict.fromkeys(("songs", "played_ms", "listened_ms", "song_ms", "markets"), none)
    flags = {name: none.astype(np.bool_) for name in ("liked", "answers_a_push")}
    partitions, times = (np.array([row[n] for row in rows], np.int64) for n in range(2))
    return Played(listeners=places, times_ms=times, partitions=partitions, offsets=places, **columns, **flags)


def by_partition(plays: Played) -> Played:
    parts = [plays[np.flatnonzero(plays.partitions == partition)] for partition in range(4)]
    return Played.joined([part.in_order() for part in parts])


@given(ROWS, st.integers(0, 40), st.integers(0, 40))
def test_a_block_has_the_plays_of_its_places_by_partition_and_says_their_order(rows, one, other):
    plays = played(rows).in_order()
    start, end = sorted(min(n, len(plays)) for n in (one, other))
    block, places = Stretch(by_partition(plays)).block(start, end)
    assert sorted(places.tolist()) == list(range(end - start))
    assert (np.diff(block.partitions) >= 0).all()
    assert block[np.argsort(places)].listeners.tolist() == plays.listeners[start:end].tolist()


@given(ROWS, st.integers(-1, 10))
def test_how_many_plays_came_before_a_time_and_how_many_no_later(rows, ms):
    plays = played(rows)
    stretch = Stretch(by_partition(plays))
    assert stretch.before(ms, "left") == int((plays.times_ms < ms).sum())
    assert stretch.before(ms, "right") == int((plays.times_ms <= ms).sum())
