"""Samples of plays: named by their offsets, the same however the plays were cut into batches."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as trial
from hypothesis import strategies as st

from streams.audience.listener import is_effective, strength_of
from streams.audience.track_listening import strengths_of
from streams.contracts.ids import key_of
from streams.contracts.partitions import partition_of
from streams.contracts.topics import DAY_MS
from tests.builders.contracts import ARTIFACT, NOW, erasure, play, settings
from tests.builders.listening import SONG_PARTITIONS, ListenerShard, catalogue, reference

SONGS, DIMENSION = 6, 5
WANTED = settings(
    listening={"keep_plays": 3, "forget_after_days": 4.0, "half_life_days": 5.0, "sampled_plays": 3},
)


@st.composite
def plays(draw):
    return play(
        f"s{draw(st.integers(0, SONGS))}",  # one of them is never known
        by=f"l{draw(st.integers(0, 3))}",
        at=NOW + draw(st.integers(-12, 12)) * DAY_MS // 2,
        listened_s=draw(st.sampled_from([10, 100, 200])),
        liked=draw(st.booleans()),
    )


def shard(wanted=WANTED):
    return ListenerShard(catalogue(SONGS, DIMENSION), wanted)


def everyone_sampled(**more):
    return settings(listening={"keep_plays": 8, "sampled_plays": 1_000} | more)


@trial(max_examples=80)
@given(st.lists(plays(), max_size=40), st.lists(st.tuples(st.integers(1, 9), st.booleans()), max_size=12))
def test_samples_do_not_depend_on_the_cut_nor_on_restarts(heard, cuts):
    at_once, other = shard(), shard()
    wanted = at_once.hear(*heard)
    found, rest = [], heard
    for size, restarts in [*cuts, (len(heard) + 1, False)]:
        some, rest = rest[:size], rest[size:]
        if not some:
            break
        found += other.hear(*some)
        other.commit()
        if restarts:
            other.restart()
    assert sorted(found) == wanted
    assert other.track._songs.numbers([f"s{n}" for n in range(SONGS)]).shape == (SONGS,)


@trial(max_examples=40)
@given(st.lists(plays(), min_size=1, max_size=30), st.integers(0, 29), st.integers(1, 30))
def test_a_batch_that_was_not_committed_is_sampled_again_bit_by_bit(heard, start, size):
    one = shard()
    one.hear(*heard[:start])
    one.commit()
    some = heard[start : start + size]
    first = one.hear(*some, first=start) if some else []
    one.restart()
    assert (one.hear(*some, first=start) if some else []) == first


@trial(max_examples=40)
@given(st.lists(plays(), max_size=25))
def test_a_sample_holds_the_listener_as_they_were_before_the_play(heard):
    roomy = everyone_sampled(forget_after_days=100.0)
    one = shard(roomy)
    samples = {sample[0]: sample for sample in one.hear(*heard)}
    known = set()
    for offset, one_play in enumerate(heard):
        before = reference(heard[:offset], one.told.vectors, roomy.listening, DIMENSION).get(one_play.listener_id)
        name = (one_play.listener_id, one_play.song_id, one_play.played_ms)
        is_new = is_effective(one_play, roomy.listening) and name not in known
        known |= {name} if is_new else set()
        recent = sorted(
            {
                (p.played_ms, key_of(p.song_id))
                for p in heard[:offset]
                if p.listener_id == one_play.listener_id and is_effective(p, roomy.listening)
            }
        )[-8:]
        too_late = len(recent) == 8 and (one_play.played_ms, key_of(one_play.song_id)) < recent[0]
        if not is_new or too_late or before is None or not before.any():
            assert offset not in samples
            continue
        _, partition, song, key, at, strength, embedding = samples[offset]
        assert (song, key, at) == (one_play.song_id, key_of(one_play.listener_id), one_play.played_ms)
        assert partition == partition_of(song.encode(), SONG_PARTITIONS)
        assert strength * 1_000 == strength_of(one_play, roomy.listening)
        np.testing.assert_allclose(np.frombuffer(embedding, "f4"), before, atol=1e-6)


def test_messages_go_to_their_song_partition_with_offsets_rising():
    one = shard(everyone_sampled())
    one.hear(*(play("s0", by=f"l{n}") for n in range(4)))
    messages = one.track.handle(
        one._batch("plays", [play(f"s{n % SONGS}", by=f"l{n % 4}", at=NOW + 1 + n) for n in range(60)])
    )
    assert sorted(message.partition for message in messages) == list(range(SONG_PARTITIONS))
    for message in messages:
        assert message.key == str(message.partition)
        assert message.value.artifact == ARTIFACT and message.value.listener_partition == 3
        assert list(message.value.offsets) == sorted(message.value.offsets)
        assert message.time_ms == NOW + 1 + message.value.offsets[-1] - 4
        assert {partition_of(song.encode(), SONG_PARTITIONS) for song in message.value.song_ids} == {message.partition}


def test_plays_of_a_hit_are_sampled_ever_more_rarely():
    one = shard(settings(listening={"sampled_plays": 50}))
    one.hear(*(play("s1", by=f"l{n}", at=NOW) for n in range(4_000)))
    found = [offset - 4_000 for offset, *_ in one.hear(*(play("s0", by=f"l{n}", at=NOW + 1) for n in range(4_000)))]
    assert found[:50] == list(range(50))
    # 50 (ln 4000 - ln 50) = 219 are expected beyond the first 50, with a deviation of 13
    assert abs(len(found) - 50 - 219) < 4 * 13


def test_a_play_of_a_song_nobody_knows_is_sampled_too():
    one = shard(everyone_sampled())
    samples = one.hear(play("s1"), play("unknown", at=NOW + 1), play("s2", at=NOW + 2))
    assert [song for _, _, song, *_ in samples] == ["unknown", "s2"]
    assert samples[0][-1] == samples[1][-1]


def test_a_play_that_comes_again_is_neither_counted_nor_sampled():
    one = shard(everyone_sampled())
    one.hear(play("s1"), play("s2", at=NOW + 1))
    assert one.hear(play("s2", at=NOW + 1), play("s2", at=NOW + 1, liked=True)) == []
    assert one.hear(play("s2", at=NOW + 2), first=9)[0][0] == 9


@pytest.mark.parametrize("at_once", [True, False])
def test_a_play_that_comes_again_after_its_listener_was_dropped_is_not_counted_again(at_once):
    one = shard()
    heard = [
        play("s0"),
        play("s1", by="eve", at=NOW + 9 * DAY_MS),
        play("s0"),
        play("s2", by="eve", at=NOW + 9 * DAY_MS),
    ]
    for batch in [heard] if at_once else [[one_play] for one_play in heard]:
        one.hear(*batch)
    assert one.track._songs.count(one.track._songs.numbers(["s0"]), np.array([True])).tolist() == [2]


def test_plays_from_before_an_erasure_count_nothing_and_later_ones_start_afresh():
    one = shard(everyone_sampled())
    one.hear(play("s1"), play("s2", at=NOW + 1))
    one.forget(erasure(at=NOW + 5))
    assert one.hear(play("s3", at=NOW + 5), play("s4", at=NOW + 2)) == []
    assert one.rings() == {}
    samples = one.hear(play("s3", at=NOW + 6), play("s1", at=NOW + 4), play("s2", at=NOW + 7))
    assert [(song, embedding) for _, _, song, *_, embedding in samples] == [
        ("s2", one.told.songs.embeddings[one.told.songs.row_of["s3"]].tobytes())
    ]


def test_strengths_of_a_batch_are_those_of_the_rule():
    listening = settings().listening
    made = [
        play(listened_s=listened, song_s=song, liked=liked)
        for listened in (0, 9.999, 10, 29.999, 30, 100, 179.999, 180, 200)
        for song in (0, 20, 200)
        for liked in (False, True)
    ]
    wanted = [strength_of(one, listening) if is_effective(one, listening) else 0 for one in made]
    assert strengths_of(made, listening).tolist() == wanted


@pytest.mark.parametrize("listeners", [1, 3])
def test_a_batch_of_one_listener_is_folded_too(listeners):
    one, other = shard(everyone_sampled()), shard(everyone_sampled())
    heard = [play(f"s{n % SONGS}", by=f"l{n % listeners}", at=NOW + n) for n in range(50)]
    wanted = [sample for n, one_play in enumerate(heard) for sample in other.hear(one_play, first=n)]
    assert one.hear(*heard) == wanted
