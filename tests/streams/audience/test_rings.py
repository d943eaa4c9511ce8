"""Rings as arrays say what the slow rules say, and a row never depends on the rows beside it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.audience import rings as ring
from streams.audience.listener import Heard, embedding_of, ring_with
from streams.errors import Stop

DAY = 86_400_000
rings_of_entries = st.lists(st.builds(Heard, st.integers(1, 30), st.integers(0, 3), st.integers(1, 4)), max_size=12)


def as_arrays(rings, keep):
    """Rows of song keys as they are: song n is in row n."""
    entries = np.zeros((len(rings), keep, 2), np.uint64)
    rows = np.full((len(rings), keep), ring.UNKNOWN, np.int32)
    for n, one in enumerate(rings):
        for place, (played_ms, song_key, strength) in enumerate(one, start=keep - len(one)):
            entries[n, place] = played_ms << ring.STRENGTH_BITS | strength, song_key
            rows[n, place] = song_key
    return entries, rows


def columns(heard):
    played, keys, strengths = (np.array(column, np.int64) for column in zip(*heard, strict=True))
    return ring.whens(played, strengths), keys.astype(np.uint64), keys.astype(np.int32)


def random_rings(seed, listeners=200, keep=8, songs=40):
    random = np.random.default_rng(seed)
    made = []
    for _ in range(listeners):
        heard = [
            Heard(int(random.integers(1, 400) * DAY), int(random.integers(songs)), int(random.integers(1, 3_000)))
            for _ in range(random.integers(0, keep + 4))
        ]
        made.append(ring_with((), heard, keep=keep, forget_after_ms=180 * DAY))
    vectors = random.normal(size=(songs, 16))
    return made, (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@given(
    st.lists(
        st.tuples(rings_of_entries, st.builds(Heard, st.integers(1, 30), st.integers(0, 3), st.integers(1, 4))),
        min_size=1,
        max_size=6,
    ),
    st.integers(1, 5),
    st.integers(0, 30),
)
def test_one_play_more_gives_the_ring_of_the_slow_rules(listeners, keep, forget_after_ms):
    bounds = {"keep": keep, "forget_after_ms": forget_after_ms}
    before = [ring_with((), entries, **bounds) for entries, _ in listeners]
    heard = [play for _, play in listeners]
    wanted = [ring_with(old, [play], **bounds) for old, play in zip(before, heard, strict=True)]

    after = ring.with_plays(*as_arrays(before, keep), *columns(heard), forget_after_ms=forget_after_ms)

    entries, rows = as_arrays(wanted, keep)
    np.testing.assert_array_equal(after.rings, entries)
    np.testing.assert_array_equal(after.song_rows, rows)
    assert after.is_other.tolist() == [new != old for new, old in zip(wanted, before, strict=True)]
    named = [{entry[:2] for entry in old} for old in before]
    kept = [{entry[:2] for entry in new} for new in wanted]
    assert after.is_new.tolist() == [
        play[:2] in new and play[:2] not in old for play, new, old in zip(heard, kept, named, strict=True)
    ]


def test_the_rings_that_were_handed_over_are_left_alone():
    before, rows = as_arrays([(Heard(5, 1, 1), Heard(9, 2, 1))], 3)
    kept = before.copy(), rows.copy()
    ring.with_plays(before, rows, *columns([Heard(7, 3, 1)]), forget_after_ms=99)
    np.testing.assert_array_equal(before, kept[0])
    np.testing.assert_array_equal(rows, kept[1])


def test_embeddings_equal_the_slow_ones():
    made, vectors = random_rings(seed=3)
    known = np.arange(40) % 5 != 0
    entries, rows = as_arrays(made, 8)
    rows[rows % 5 == 0] = ring.UNKNOWN
    found = ring.embeddings_of(entries, rows, vectors, half_life_ms=30 * DAY)
    songs = {n: vectors[n] for n in np.flatnonzero(known).tolist()}
    wanted = [embedding_of(one, songs, half_life_ms=30 * DAY, dimension=16) for one in made]
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    assert any(one.any() for one in wanted) and not all(one.any() for one in wanted)


def test_an_embedding_has_the_same_bits_alone_and_among_others(monkeypatch):
    made, vectors = random_rings(seed=4, listeners=90)
    entries, rows = as_arrays(made, 8)
    together = ring.embeddings_of(entries, rows, vectors, half_life_ms=30 * DAY)
    alone = [
        ring.embeddings_of(entries[n : n + 1], rows[n : n + 1], vectors, half_life_ms=30 * DAY)[0] for n in range(90)
    ]
    assert together.tobytes() == np.array(alone).tobytes()
    monkeypatch.setattr(ring, "PER_CHUNK", 7)
    assert ring.embeddings_of(entries, rows, vectors, half_life_ms=30 * DAY).tobytes() == together.tobytes()


def test_without_any_song_nobody_has_an_embedding():
    entries, rows = as_arrays([(Heard(5, 1, 1),)], 3)
    rows[:] = ring.UNKNOWN
    none = np.zeros((0, 4), np.float32)
    assert not ring.embeddings_of(entries, rows, none, half_life_ms=1.0).any()
    assert ring.embeddings_of(entries[:0], rows[:0], none, half_life_ms=1.0).shape == (0, 4)


@pytest.mark.parametrize("market", [None, "de", "ﷺﷺﷺﷺﷺﷺﷺﷺ"])
def test_a_ring_comes_back_from_its_bytes(market):
    made, _ = random_rings(seed=5, listeners=20)
    entries, _ = as_arrays(made, 8)
    packed, starts, ends = ring.packed(entries, np.arange(20) * DAY)
    for n in range(20):
        value = ring.head(market) + packed[starts[n] : ends[n]]
        row, found, market_ms = ring.unpacked(value, 8)
        assert (row, found, market_ms) == (entries[n].tobytes(), market, n * DAY)
        assert len(value) == 10 + len((market or "").encode()) + 16 * len(made[n])
        assert ring.unpacked(value, 2)[0] == entries[n, -2:].tobytes()  # fewer are kept now
        assert ring.unpacked(value, 9)[0] == bytes(16) + entries[n].tobytes()  # or more


def test_bytes_of_another_version_stop_the_worker():
    with pytest.raises(Stop, match="version 9 found, 1 wanted"):
        ring.unpacked(b"\x09" + bytes(20), 8)
