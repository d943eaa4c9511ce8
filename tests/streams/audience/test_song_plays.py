"""Plays of each song are counted exactly, whatever the batches, the memory and the crashes."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streams.audience.song_plays import SongPlays
from streams.contracts.ids import key_of
from streams.contracts.partitions import partition_of
from streams.state.layout import RECENT_SONG_PLAYS, SONG_PLAYS
from streams.state.memory_store import MemoryStore

PARTITIONS = 4

batches = st.lists(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=12), max_size=8)


def counted(songs, batch):
    return songs.count(songs.numbers([f"s{n}" for n, _ in batch]), np.array([counts for _, counts in batch])).tolist()


@given(batches, st.integers(0, 3), st.integers(1, 4), st.randoms(use_true_random=False))
def test_counts_are_exact_in_any_grouping_with_little_memory_and_after_restarts(batches, at_most, merged_after, random):
    store, counts = MemoryStore(), Counter()
    songs = SongPlays(store, PARTITIONS, at_most=at_most, merged_after=merged_after)
    for batch in batches:
        for (song, counts_too), found in zip(batch, counted(songs, batch), strict=True):
            counts[song] += counts_too
            assert not counts_too or found == counts[song]
        if random.random() < 0.4:
            songs = SongPlays(store, PARTITIONS, at_most=at_most, merged_after=merged_after)
    for song, count in counts.items():
        assert counted(SongPlays(store, PARTITIONS), [(song, True)]) == [count + 1]


def test_what_batches_wrote_is_merged_now_and_then():
    store = MemoryStore()
    songs = SongPlays(store, PARTITIONS, merged_after=3)
    for n in range(1, 9):
        counted(songs, [(1, True), (n, True)])
        assert len(list(store.items(RECENT_SONG_PLAYS))) == n % 3
    assert len(list(store.items(SONG_PLAYS))) == 6


def test_keys_and_partitions_follow_from_the_name_also_when_the_table_grows():
    songs, names = SongPlays(MemoryStore(), PARTITIONS), [f"s{n}" for n in range(3_000)]
    numbers = songs.numbers(names)
    assert songs.keys[numbers].tolist() == [key_of(name) for name in names]
    assert songs.partitions[numbers].tolist() == [partition_of(name.encode(), PARTITIONS) for name in names]
