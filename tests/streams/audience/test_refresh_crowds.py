from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.audience.refresh_crowds import RefreshCrowds
from streams.contracts.crowds import AudienceSamples, ListenersForgotten, SongCrowds
from streams.contracts.dead_letters import DeadLetter
from streams.contracts.ids import key_of
from streams.contracts.messages import Message
from streams.contracts.topics import SONG_CROWDS
from streams.settings import CrowdSettings
from streams.state.layout import CROWDS
from streams.state.memory_store import MemoryStore
from streams.state.rocksdict_store import RocksdictStore
from streams.state.store import Store
from tests.builders.samples import NOW, Sample, Value, batch, forgotten, log, samples
from tests.twin import crowds_twin

SETTINGS = CrowdSettings(crowds_per_song=3, listeners_per_song=16, half_life_days=30, warm_at_listeners=4)
D = 8


def stage(store: Store, *, artifact: str = "a1", dimension: int = D) -> RefreshCrowds:
    return RefreshCrowds(store, SETTINGS, artifact, dimension)


def published(messages: list[Message | DeadLetter]) -> list[Message]:
    for message in messages:
        assert isinstance(message, Message) and message.topic is SONG_CROWDS
    return [message for message in messages if isinstance(message, Message)]


def told(*several: Sample, **named) -> list[SongCrowds]:
    refresh = stage(MemoryStore(), dimension=len(several[0].embedding))
    return [message.value for message in published(refresh.handle(batch(samples(*several, **named))))]


def state(store: Store) -> dict[bytes, bytes]:
    return dict(store.items(b""))


def topic() -> list[Value]:
    """Samples of three listener partitions, in records of unequal size, some sent again, and two erasures."""
    random = np.random.default_rng(11)
    drawn, records = log(500, songs=6, dimension=D), list[Value]()
    next_offset = {0: 0, 1: 0, 2: 0}
    while drawn:
        partition, count = int(random.integers(3)), int(random.integers(1, 25))
        records.append(samples(*drawn[:count], first=next_offset[partition], partition=partition))
        next_offset[partition] += len(drawn[:count])
        drawn = drawn[count:]
    records.insert(15, records[11])
    records.insert(20, forgotten("listener-3", "listener-8"))
    records.insert(25, forgotten("listener-5"))
    records.insert(26, records[24])
    return records


TOPIC = topic()


def run(cuts: list[int], crash_after: set[int] = frozenset()) -> tuple[dict[bytes, bytes], list[Message]]:
    """The topic in batches that end at `cuts`; after these batches everything uncommitted is lost and comes again."""
    store = MemoryStore()
    refresh, messages = stage(store), list[Message]()
    bounds = sorted({0, *cuts, len(TOPIC)})
    for n, (start, end) in enumerate(pairwise(bounds)):
        for crashes in (True, False) if n in crash_after else (False,):
            found = published(refresh.handle(batch(*TOPIC[start:end], first=start)))
            if crashes:
                committed = MemoryStore()
                for key, value in store._committed.items():
                    committed.put(key, value)
                committed.commit(store.offsets())
                store, refresh = committed, stage(committed)
            else:
                messages += found
                store.commit({"audience-samples": end})
    return state(store), messages


WHOLE = run([])


@settings(max_examples=20)
@given(cuts=st.lists(st.integers(1, len(TOPIC) - 1)), crashes=st.sets(st.integers(0, 5)))
def test_neither_cuts_nor_crashes_change_a_byte_of_state_or_messages(cuts: list[int], crashes: set[int]) -> None:
    store, messages = run(cuts, crashes)
    assert store == WHOLE[0]
    assert messages == WHOLE[1]


def test_one_record_at_a_time_says_the_same() -> None:
    assert run(list(range(len(TOPIC)))) == WHOLE


def test_how_samples_are_grouped_into_records_changes_nothing_of_what_is_told() -> None:
    drawn = log(300, songs=4, dimension=D)
    whole = stage(MemoryStore()).handle(batch(samples(*drawn)))
    refresh, singly = stage(MemoryStore()), list[Message | DeadLetter]()
    for n, one in enumerate(drawn):
        singly += refresh.handle(batch(samples(one, first=n)))
    assert [message.value for message in published(singly)] == [message.value for message in published(whole)]


def test_the_twin_recomputes_state_and_messages_from_the_topic() -> None:
    twin = crowds_twin.fold([(NOW + 1000 * n, value) for n, value in enumerate(TOPIC)], SETTINGS, "a1")
    store, messages = WHOLE
    found = {key[1:].decode(): crowds_twin.unpacked(value) for key, value in store.items() if key.startswith(CROWDS)}
    assert found.keys() == twin.songs.keys()
    for song_id, song in found.items():
        wanted = twin.songs[song_id]
        assert (song.samples, song.published, song.at_ms) == (wanted.samples, wanted.published, wanted.at_ms)
        assert song.listeners.keys() == wanted.listeners.keys()
        assert all(song.listeners[key] == pytest.approx(draw, rel=1e-12) for key, draw in wanted.listeners.items())
        for crowd, other in zip(song.crowds, wanted.crowds, strict=True):
            assert crowd.mass == pytest.approx(other.mass, rel=1e-9)
            np.testing.assert_allclose(crowd.mean, other.mean, atol=1e-6)
    assert len(messages) == len(twin.published) > 20
    for message, wanted_ in zip(messages, twin.published, strict=True):
        crowds = message.value
        assert isinstance(crowds, SongCrowds)
        assert (message.key, message.time_ms) == (wanted_.song_id, wanted_.time_ms)
        facts = (crowds.song_id, crowds.samples, crowds.listeners, crowds.at_ms)
        assert facts == (wanted_.song_id, wanted_.samples, wanted_.listeners, wanted_.at_ms)
        np.testing.assert_allclose(np.frombuffer(crowds.masses, "<f4"), wanted_.masses, rtol=1e-6)
        centroids = np.frombuffer(crowds.centroids, "<f4").reshape(-1, D)
        np.testing.assert_allclose(centroids, wanted_.centroids, atol=1e-6)


# What is told, and when


def listeners(count: int, song: str = "s1") -> list[Sample]:
    return [Sample(song, f"l{n}", (1, 0.1 * n), at=NOW + n) for n in range(count)]


def test_nothing_is_told_of_a_song_that_is_not_warm() -> None:
    assert told(*listeners(3)) == []
    assert told(*listeners(3) * 40) == []  # many plays, three listeners


def test_a_song_is_told_of_with_its_fourth_listener_and_as_of_that_sample() -> None:
    [crowds] = told(*listeners(6))
    assert (crowds.song_id, crowds.artifact, crowds.samples, crowds.listeners) == ("s1", "a1", 4, 4)
    assert crowds.at_ms == NOW + 3
    assert np.frombuffer(crowds.masses, "<f4").sum() == pytest.approx(4)


def test_several_thresholds_in_one_batch_are_all_told_in_the_order_of_the_samples() -> None:
    mixed = [one for pair in zip(listeners(30, "s1"), listeners(30, "s2"), strict=True) for one in pair]
    assert [(crowds.song_id, crowds.samples) for crowds in told(*mixed)] == [
        (song, count) for count in (4, 12, 20, 28) for song in ("s1", "s2")
    ]


def test_a_record_of_the_contract_survives_the_wire() -> None:
    [crowds] = told(*listeners(4))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(crowds), type=SongCrowds) == crowds


# What is left out


def test_a_sample_that_comes_again_is_left_out_even_inside_a_batch_and_after_a_restart() -> None:
    store = MemoryStore()
    refresh = stage(store, dimension=2)
    refresh.handle(batch(samples(*listeners(3)), samples(*listeners(3))))
    store.commit({})
    once = state(store)
    assert refresh.seen_before == 3
    again = stage(store, dimension=2)
    again.handle(batch(samples(*listeners(2), first=1)))
    assert (again.seen_before, state(store)) == (2, once)


def test_partitions_of_listeners_have_offsets_of_their_own() -> None:
    store = MemoryStore()
    refresh = stage(store, dimension=2)
    refresh.handle(batch(samples(*listeners(3), partition=0), samples(*listeners(3), partition=300)))
    store.commit({})
    assert refresh.seen_before == 0
    again = stage(store, dimension=2)
    again.handle(batch(samples(*listeners(3), partition=300), samples(*listeners(3), partition=1)))
    assert again.seen_before == 3


def test_samples_of_another_artifact_are_counted_and_left_out_for_ever() -> None:
    store = MemoryStore()
    refresh = stage(store, dimension=2)
    assert refresh.handle(batch(samples(*listeners(9), artifact="a2"))) == []
    assert refresh.of_other_artifacts == 9
    assert refresh.handle(batch(samples(*listeners(9)))) == []  # the same offsets
    assert list(store.items(CROWDS)) == []


def test_a_new_artifact_starts_a_song_afresh_with_a_count_that_goes_on() -> None:
    store = MemoryStore()
    stage(store, dimension=2).handle(batch(samples(*listeners(10))))
    store.commit({})
    refresh = stage(store, artifact="a2", dimension=2)
    [message] = published(refresh.handle(batch(samples(*listeners(5), first=10, artifact="a2"))))
    assert isinstance(message.value, SongCrowds)
    assert (message.value.artifact, message.value.samples, message.value.listeners) == ("a2", 14, 4)
    assert np.frombuffer(message.value.masses, "<f4").sum() == pytest.approx(4)


GOOD = samples(*listeners(3))


@pytest.mark.parametrize(("changed", "reason"), [
    ({"song_ids": ("s1",)}, "song_ids has length 1; wanted 3"),
    ({"embeddings": GOOD.embeddings[:-4]}, "embeddings has length 20; wanted 24"),
    ({"listener_keys": b""}, "listener_keys"), ({"played_ms": b"\0" * 23}, "played_ms"),
    ({"strengths": b""}, "strengths has length 0"),
    ({"strengths": np.array([1, 0, 1], "<f4").tobytes()}, "strengths are not all above 0"),
    ({"strengths": np.array([1, np.nan, 1], "<f4").tobytes()}, "strengths"),
    ({"strengths": np.array([1, np.inf, 1], "<f4").tobytes()}, "strengths"),
    ({"embeddings": np.zeros(6, "<f4").tobytes()}, "unit length"),
    ({"embeddings": np.full(6, np.nan, "<f4").tobytes()}, "unit length"),
])  # fmt: skip
def test_a_record_that_cannot_be_used_is_a_dead_letter_and_the_next_one_is_folded(changed, reason: str) -> None:
    store = MemoryStore()
    bad = msgspec.structs.replace(GOOD, **changed)
    letter, message = stage(store, dimension=2).handle(batch(bad, samples(*listeners(4), first=3)))
    assert isinstance(letter, DeadLetter) and reason in letter.reason
    assert (letter.topic, letter.offset, letter.value) == ("audience-samples", 0, b"raw")
    assert isinstance(message, Message) and message.key == "s1"


def test_a_record_without_value_an_empty_record_and_an_empty_batch_say_nothing() -> None:
    store = MemoryStore()
    refresh = stage(store, dimension=2)
    empty = msgspec.structs.replace(
        GOOD, offsets=(), song_ids=(), listener_keys=b"", played_ms=b"", embeddings=b"", strengths=b""
    )
    assert refresh.handle(replace(batch(GOOD), values=[None])) == []
    assert refresh.handle(batch(empty)) == refresh.handle(batch()) == []
    assert refresh.handle(batch(forgotten())) == refresh.handle(batch(forgotten("ann"))) == []
    assert list(store.items(b"")) == []


# Erasure


def test_a_forgotten_listener_leaves_memory_and_disk_without_a_byte(tmp_path: Path) -> None:
    store = RocksdictStore(tmp_path / "store", write_buffer=1 << 16)
    refresh, drawn, next_offset = stage(store), log(600, songs=6, dimension=D), 0
    gone = "listener-9"
    for start in range(0, 600, 50):
        refresh.handle(batch(samples(*drawn[start : start + 50], first=start)))
        store.commit({"audience-samples": next_offset})
        next_offset += 1
    key = key_of(gone).to_bytes(8, "little")
    holding = [file for file in (tmp_path / "store").iterdir() if key in file.read_bytes()]
    assert holding
    before = {song: crowds_twin.unpacked(value) for song, value in store.items(CROWDS)}
    assert any(key_of(gone) in song.listeners for song in before.values())

    assert refresh.handle(batch(forgotten(gone))) == []
    store.commit({"audience-samples": next_offset})
    assert [file.name for file in (tmp_path / "store").iterdir() if key in file.read_bytes()] == []
    assert not (refresh._audiences.keys == key_of(gone)).any()
    after = {song: crowds_twin.unpacked(value) for song, value in store.items(CROWDS)}
    for song, was in before.items():
        assert after[song].listeners == {one: draw for one, draw in was.listeners.items() if one != key_of(gone)}
        assert (after[song].samples, after[song].crowds) == (was.samples, was.crowds)
    store.close()
    assert len(list(RocksdictStore(tmp_path / "store").items(CROWDS))) == 6


def test_even_bytes_of_a_listener_who_had_left_the_sample_before_go(tmp_path: Path) -> None:
    store = RocksdictStore(tmp_path / "store")
    refresh = stage(store, dimension=2)
    refresh.handle(batch(samples(Sample("s1", "ann", (1, 0), at=1))))
    store.commit({})
    refresh.handle(batch(samples(*listeners(40), first=1)))
    store.commit({})
    key = key_of("ann").to_bytes(8, "little")
    assert not (refresh._audiences.keys == key_of("ann")).any()
    assert any(key in file.read_bytes() for file in (tmp_path / "store").iterdir())
    refresh.handle(batch(forgotten("ann")))
    store.commit({})
    assert not any(key in file.read_bytes() for file in (tmp_path / "store").iterdir())
    assert len(list(store.items(CROWDS))) == 1
    store.close()


def test_samples_before_and_after_an_erasure_in_one_batch_keep_their_sides() -> None:
    store = MemoryStore()
    ann = Sample("s1", "ann", (1, 0))
    refresh = stage(store, dimension=2)
    refresh.handle(batch(samples(ann), forgotten("ann"), samples(Sample("s1", "bob", (1, 0)), first=1)))
    assert set(crowds_twin.unpacked(store.get(CROWDS + b"s1") or b"").listeners) == {key_of("bob")}
    refresh.handle(batch(samples(ann, first=2), first=3))
    assert set(crowds_twin.unpacked(store.get(CROWDS + b"s1") or b"").listeners) == {key_of("ann"), key_of("bob")}


def test_what_the_caller_gave_is_left_alone() -> None:
    value = samples(*listeners(5))
    before = msgspec.msgpack.encode(value)
    assert isinstance(value, AudienceSamples) and not isinstance(value, ListenersForgotten)
    stage(MemoryStore(), dimension=2).handle(batch(value))
    assert msgspec.msgpack.encode(value) == before
