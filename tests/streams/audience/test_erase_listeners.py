"""Erasure: nothing of the listener stays but a hash, and it does not matter when it was read."""

from itertools import permutations

import numpy as np
import pytest

from streams.audience.wishes import erased_ms, settings_of
from streams.contracts.crowds import ListenersForgotten
from streams.contracts.ids import key_of
from streams.contracts.topics import AUDIENCE_SAMPLES
from streams.state.layout import ERASED, EXPOSURE, LISTENER, SETTINGS, keyed, named
from tests.builders.contracts import NOW, erasure, listener_settings, play, query, settings
from tests.builders.listening import SONG_PARTITIONS, ListenerShard, catalogue


def shard():
    return ListenerShard(catalogue(4, 4), settings())


def bytes_of(one):
    """Everything that is kept, in memory and in the store."""
    matrix = one.audience.matrix
    arrays = b"".join(getattr(matrix, name).tobytes() for name in matrix.__dataclass_fields__)
    return arrays + b"".join(key + value for key, value in one.store.items(b"")) + repr(vars(one.audience)).encode()


def test_nothing_of_the_listener_stays_but_a_hash():
    one, never = shard(), shard()
    one.hear(
        play("s1", by="eve"),
        play("s1", by="ann", at=NOW - 5, market="de"),
        play("s2", by="ann", at=NOW - 3, market="de"),
    )
    never.hear(play("s1", by="eve"))
    one.want(listener_settings("ann", time_zone="Europe/Rome"))
    one.store.put(named(EXPOSURE, "ann"), b"pushes")
    one.embeddings(), never.embeddings()
    one.commit()
    assert b"ann" in bytes_of(one)

    one.forget(erasure("ann"))
    one.commit()

    assert b"ann" not in bytes_of(one)
    kept = {key for key, _ in one.store.items(b"") if key[:1] in (LISTENER, SETTINGS, EXPOSURE, ERASED)}
    assert kept == {named(LISTENER, "eve"), keyed(ERASED, key_of("ann"))}
    for name in ("embeddings", "rings", "song_rows", "newest_ms", "listener_keys", "market", "has_embedding"):
        assert getattr(one.audience.matrix, name)[1:].tobytes() == getattr(never.audience.matrix, name)[1:].tobytes()


def test_every_song_partition_is_told():
    one = shard()
    messages = one.forget(erasure("ann", at=NOW), "bob", at=NOW + 7)
    assert [(message.topic, message.partition, message.key, message.time_ms) for message in messages] == [
        (AUDIENCE_SAMPLES, n, str(n), NOW + 7) for n in range(SONG_PARTITIONS)
    ]
    for message in messages:
        assert isinstance(message.value, ListenersForgotten)
        assert set(np.frombuffer(message.value.listener_keys, "<u8").tolist()) == {key_of("ann"), key_of("bob")}


def test_the_time_is_that_of_the_wish_or_else_of_its_record():
    one = shard()
    one.forget(erasure("ann", at=NOW + 3), erasure("eve", at=None), "bob", at=NOW + 9)
    assert [erased_ms(one.store, name) for name in ("ann", "eve", "bob", "joe")] == [NOW + 3, NOW + 9, NOW + 9, None]


def test_an_earlier_wish_that_comes_later_takes_nothing_back():
    one = shard()
    one.forget(erasure(at=NOW + 9))
    one.forget(erasure(at=NOW + 3))
    assert erased_ms(one.store, "ann") == NOW + 9


@pytest.mark.parametrize("restarts", [False, True])
def test_it_does_not_matter_when_an_erasure_is_read(restarts):
    """Topics have no common order: a play or a wish of a later time may be read before the erasure."""
    steps = [
        lambda one: one.hear(play("s1", at=NOW + 1, market="de")),
        lambda one: one.hear(play("s2", at=NOW + 9, market="fr"), play("s3", by="eve")),
        lambda one: one.want(listener_settings(consent=True, at=NOW + 8)),
        lambda one: one.forget(erasure(at=NOW + 5)),
    ]
    ends = set()
    for order in permutations(steps):
        one = shard()
        for step in order:
            step(one)
            if restarts:
                one.commit()
                one.restart()
        slot = one.audience.slot_of("ann")
        ends.add(
            (
                *sorted(one.embeddings().items()),
                *sorted(one.rings().items()),
                bool(one.audience.matrix.consents[slot]),
                bool(one.audience.is_in(("fr",))[slot]),
                settings_of(one.store, "ann").changed_ms,
            )
        )
    [end] = ends
    assert end[-3:] == (True, True, NOW + 8)


def test_an_erased_listener_is_proposed_again_only_after_a_new_yes():
    one = shard()
    one.hear(play("s1"))
    one.forget(erasure(at=NOW + 1))
    one.hear(play("s1", at=NOW + 2))
    assert one.ask(query("new", (1, 0, 0, 0))).best.listener_ids == ()
    one.commit()
    one.restart()
    assert one.ask(query("new", (1, 0, 0, 0))).best.listener_ids == ()
    one.want(listener_settings(at=NOW + 3))
    assert one.ask(query("new", (1, 0, 0, 0))).best.listener_ids == ("ann",)


def test_who_was_never_here_is_remembered_as_erased():
    one = shard()
    one.forget("ann", at=NOW + 5)
    assert one.hear(play(at=NOW + 5)) == [] and one.rings() == {}
    one.hear(play(at=NOW + 6))
    assert list(one.rings()) == ["ann"]
