"""The listeners of a partition: whatever the order, the cut and the repetition of plays, the same state."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as trial
from hypothesis import strategies as st

from streams.audience.audience import SMALLEST
from streams.contracts.plays import Play
from streams.contracts.topics import DAY_MS
from streams.errors import BadSettings
from streams.state.layout import LISTENER
from tests.builders.contracts import NOW, listener_settings, play, settings
from tests.builders.listening import ListenerShard, catalogue, reference

SONGS, DIMENSION = 8, 6
WANTED = settings(listening={"keep_plays": 4, "forget_after_days": 20.0, "half_life_days": 5.0})


@st.composite
def plays(draw) -> Play:
    return play(
        f"s{draw(st.integers(0, SONGS + 1))}",  # two of them are never known
        by=f"l{draw(st.integers(0, 4))}",
        at=NOW + draw(st.integers(-15, 15)) * DAY_MS // 2,
        listened_s=draw(st.sampled_from([10, 100, 200])),
        liked=draw(st.booleans()),
        market=draw(st.sampled_from([None, "de", "fr"])),
    )


def shard(wanted=WANTED):
    return ListenerShard(catalogue(SONGS, DIMENSION), wanted)


def cut(items, places):
    places = sorted({place % (len(items) + 1) for place in places})
    return [items[a:b] for a, b in zip([0, *places], [*places, len(items)], strict=True) if a < b]


@trial(max_examples=60)
@given(st.lists(plays(), max_size=30), st.lists(st.integers(0, 60), max_size=4), st.randoms(use_true_random=False))
def test_order_repetition_and_cut_change_no_bit_and_the_slow_rules_agree(heard, places, random):
    at_once, other = shard(), shard()
    at_once.hear(*heard)
    again = heard + [heard[n % len(heard)] for n in places] if heard else []
    random.shuffle(again)
    for some in cut(again, places):
        other.hear(*some)
    assert other.rings() == at_once.rings()
    assert other.embeddings() == at_once.embeddings()
    assert markets(other) == markets(at_once)
    wanted = reference(heard, at_once.told.vectors, WANTED.listening, DIMENSION)
    assert wanted.keys() == at_once.embeddings().keys()
    for name, embedding in at_once.embeddings().items():
        np.testing.assert_allclose(np.frombuffer(embedding, "f4"), wanted[name], atol=1e-6)


@trial(max_examples=60)
@given(
    st.lists(plays(), min_size=1, max_size=30),
    st.lists(st.integers(0, 60), max_size=9),
    st.randoms(use_true_random=False),
)
def test_forgetting_listeners_does_not_make_the_others_depend_on_order_or_cut(heard, places, random):
    forgetful = settings(listening={"keep_plays": 4, "forget_after_days": 3.0, "half_life_days": 5.0})
    at_once, other = shard(forgetful), shard(forgetful)
    at_once.hear(*heard)
    shuffled = random.sample(heard, k=len(heard))
    for some in cut(shuffled, places):
        other.hear(*some)
        other.commit()
        if random.random() < 0.3:
            other.restart()
    wanted = reference(heard, at_once.told.vectors, forgetful.listening, DIMENSION)
    newest_ms = {
        name: max(one.played_ms for one in heard if one.listener_id == name and one.listened_ms > 10_000)
        for name in wanted
    }
    present = {name for name in wanted if newest_ms[name] >= max(newest_ms.values()) - 3 * DAY_MS}
    for of in (at_once, other):
        there = {
            name: there for name, there in zip(of.audience.listener_ids, of.audience.is_present(), strict=True) if name
        }
        assert {name for name, here in there.items() if here} == present
    for name in present:
        assert at_once.rings()[name] == other.rings()[name]
        assert at_once.embeddings()[name] == other.embeddings()[name]
        np.testing.assert_allclose(np.frombuffer(other.embeddings()[name], "f4"), wanted[name], atol=1e-6)


@trial(max_examples=40)
@given(st.lists(plays(), min_size=1, max_size=30), st.integers(0, 30))
def test_a_crash_anywhere_changes_no_bit(heard, crash):
    straight, crashed = shard(), shard()
    straight.hear(*heard)
    crashed.hear(*heard[:crash])
    crashed.commit()
    crashed.hear(*heard[crash:])  # lost with the memory
    crashed.restart()
    crashed.hear(*heard[crash:])
    crashed.commit()
    crashed.restart()
    assert crashed.rings() == straight.rings()
    assert crashed.embeddings() == straight.embeddings()
    assert markets(crashed) == markets(straight)
    assert crashed.audience.newest_ms == straight.audience.newest_ms


def markets(of):
    return {
        market: sorted(
            name for name, there in zip(of.audience.listener_ids, of.audience.is_in((market,)), strict=True) if there
        )
        for market in ("de", "fr")
    }


def test_plays_that_are_not_effective_count_nothing():
    one = shard()
    one.hear(play(listened_s=5))
    assert len(one.audience) == 0 and not list(one.store.items(b""))


@pytest.mark.parametrize("restarted", [False, True])
def test_a_song_counts_from_the_moment_it_is_known(restarted):
    early, late = shard(), shard()
    heard = [play("s1"), play("later", at=NOW + 1), play("never", at=NOW + 2)]
    late.told.tell("later", *range(DIMENSION))
    late.hear(*heard)
    early.hear(*heard)
    early.commit()
    if restarted:
        early.restart()
    before = early.embeddings()
    early.told.tell("other", *([1.0] * DIMENSION))
    assert early.embeddings() == before
    early.told.tell("later", *range(DIMENSION))
    assert early.embeddings() == late.embeddings() != before


def test_an_embedding_follows_its_songs_when_they_are_embedded_again_withdrawn_and_back():
    one = shard()
    heard = [play("s1"), play("s2", at=NOW + 1)]
    one.hear(*heard)
    for numbers in ((1, 2, 3, 4, 5, 6), (), (6, 5, 4, 3, 2, 1), ()):
        one.told.tell("s1", *numbers)
        fresh = ListenerShard(one.told, WANTED)
        fresh.hear(*heard)
        assert one.embeddings() == fresh.embeddings()
        one.commit()
        one.restart()
        assert one.embeddings() == fresh.embeddings()


def test_a_song_played_while_it_was_withdrawn_counts_when_it_is_back():
    one = shard()
    one.told.tell("s1")
    one.hear(play("s1"))
    assert not any(one.embeddings()["ann"])
    one.told.tell("s1", *range(DIMENSION))
    assert any(one.embeddings()["ann"])


def test_the_matrix_grows_and_slots_are_given_to_others():
    one = shard()
    names = [f"l{n}" for n in range(SMALLEST + 10)]
    one.hear(*(play(f"s{n % SONGS}", by=name) for n, name in enumerate(names)))
    before = one.embeddings()
    one.audience.forget("l3", NOW)
    one.audience.forget("l7", NOW)
    one.hear(play("s1", by="x"), play("s2", by="y"))
    assert one.audience.slots == len(names)
    after = one.embeddings()
    assert {name: after[name] for name in names if name in after} == {
        name: before[name] for name in names if name not in ("l3", "l7")
    }
    assert after["x"] == before["l1"] and after["y"] == before["l2"]


def test_listeners_idle_for_twice_the_time_are_dropped_and_it_does_not_show():
    one, other = shard(), shard()
    old = [play("s1", by=f"old{n}", at=NOW + n) for n in range(600)]
    new = [play("s2", by="new", at=NOW + n * 9 * DAY_MS) for n in range(9)]
    back = [play("s3", by="old5", at=NOW + 73 * DAY_MS)]
    one.hear(*old)
    other.hear(*old, *new, *back)
    for heard in new + back:
        one.hear(heard)
    assert len(one.audience) < 100 < len(other.audience)
    assert not any(key.startswith(LISTENER + b"old1") for key, _ in one.store.items(LISTENER))
    for of in (one, other):
        present = of.audience.is_present()
        assert sorted(name for name, there in zip(of.audience.listener_ids, present, strict=True) if there) == [
            "new",
            "old5",
        ]
        assert of.embeddings()["old5"] == one.embeddings()["old5"]


def test_a_market_is_that_of_the_newest_play_that_tells_one():
    one = shard()
    one.hear(play(market="fr", at=NOW + 5), play(market="de", at=NOW), play(at=NOW + 9))
    assert one.audience.is_in(("fr",)).tolist() == [True]
    assert one.audience.is_in(("de", "zz")).tolist() == [False]
    one.hear(play(at=NOW + 21 * DAY_MS))
    assert one.audience.is_in(("fr", "de")).tolist() == [False]  # too long ago


def test_of_two_markets_at_the_same_time_the_later_in_the_alphabet_counts():
    for told in (("de", "fr"), ("fr", "de")):
        one = shard()
        one.hear(*(play(f"s{n}", market=market) for n, market in enumerate(told)))
        assert one.audience.is_in(("fr",)).tolist() == [True]


def test_who_has_heard_a_song_is_known_whether_the_song_is_or_not():
    one = shard()
    one.hear(play("s1", by="ann"), play("x", by="bob"), play("s2", by="eve"))
    assert one.audience.has_heard("s1").tolist() == [True, False, False]
    assert one.audience.has_heard("x").tolist() == [False, True, False]
    assert one.audience.has_heard_any(["s1", "s2", "x"]).tolist() == [True, False, True]
    assert one.audience.have_heard("x", ["eve", "bob", "nobody"]) == [False, True, False]


def test_settings_hold_for_listeners_who_come_later_and_after_a_restart():
    one = shard()
    one.want(listener_settings("ann", consent=False), listener_settings("bob", consent=True))
    one.hear(*(play(by=name) for name in ("ann", "bob", "eve")))
    assert one.audience.matrix.consents[:3].tolist() == [False, True, True]
    one.commit()
    one.restart()
    assert one.audience.matrix.consents[:3].tolist() == [False, True, True]


@pytest.mark.parametrize("strength", [0.0001, 5_000.0])
def test_a_strength_that_does_not_fit_its_bits_is_refused_at_the_start(strength):
    with pytest.raises(BadSettings, match="strength_liked"):
        shard(settings(listening={"strength_liked": strength}))


def test_the_size_of_a_listener_is_known():
    one = shard(settings())
    one.hear(*(play(f"s{n % SONGS}", by=f"l{n % 900:03d}", at=NOW + n) for n in range(900 * 32)))
    assert one.audience.bytes_in_store() == 900 * (len(b"Ll000") + 10 + 32 * 16)
    assert one.audience.bytes_in_memory() / SMALLEST < 1_000
