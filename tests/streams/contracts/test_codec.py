"""The door lets in what is a contract, refuses the rest with a reason, and writes the same bytes again."""

import json
import random
from collections import Counter
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.contracts.codec import (
    FLOAT32_MAX,
    cause_of,
    dead_letter_record,
    decode,
    decode_batch,
    decode_value,
    encode,
    headers_of,
    read_dead_letter,
)
from streams.contracts.crowds import AudienceSamples, ListenersForgotten
from streams.contracts.listeners import Erasure
from streams.contracts.messages import Message
from streams.contracts.plays import Play
from streams.contracts.queries import TargetsSelected
from streams.contracts.topics import (
    AUDIENCE_SAMPLES,
    DAY_MS,
    HOUR_MS,
    LISTENER_ERASURES,
    LISTENER_SETTINGS,
    PLAYS,
    PUSH_SUPPRESSIONS,
    PUSH_TARGETS,
    READ_FROM_NEIGHBOURS,
    RELEASE_OUTCOMES,
    SONG_DECISIONS,
    SONG_EMBEDDINGS,
    SONG_RELEASES,
    TOPICS,
    Topic,
)
from streams.errors import MalformedMessage
from tests.builders.contracts import (
    NOW,
    Logged,
    embedded,
    erasure,
    listener_settings,
    logged,
    outcome,
    play,
    query,
    release,
    settings,
    suppression,
    target,
)
from tests.builders.malformed import KINDS, good, malformed

LIMITS = settings(contracts={"max_record_bytes": 40_000}).contracts


def refusal(topic: Topic, key: bytes | None, value: bytes | None, at: int = NOW) -> str:
    with pytest.raises(MalformedMessage) as refused:
        decode(topic, key, value, at, LIMITS)
    return str(refused.value)


def test_there_are_twenty_kinds_of_malformed_records():
    assert len(KINDS) == 20


def test_each_of_a_thousand_malformed_records_is_refused_with_a_reason_that_begins_with_the_field():
    seen = Counter()
    for bad in malformed(1_000, seed=5, at_ms=NOW, limits=LIMITS):
        read, [letter] = decode_batch(bad.topic, 3, [Logged(70, NOW, bad.key, bad.value)], LIMITS)
        assert len(read) == 0 and read.next_offset == 71
        assert letter.reason.startswith(bad.field), (bad.kind, letter.reason)
        assert len(letter.reason) < 400
        assert (letter.topic, letter.partition, letter.offset, letter.time_ms) == (bad.topic.name, 3, 70, NOW)
        seen[bad.kind] += 1
    assert set(seen.values()) == {50}


@pytest.mark.parametrize("topic", READ_FROM_NEIGHBOURS, ids=lambda topic: topic.name)
def test_good_records_between_malformed_ones_are_all_read(topic):
    draw = random.Random(3)
    bad = [one for one in malformed(400, seed=9, at_ms=NOW, limits=LIMITS) if one.topic is topic]
    right = [good(topic, draw, NOW, LIMITS) for _ in bad]
    records = [record for pair in zip(bad, right, strict=True) for record in pair]
    log = [Logged(n, NOW, one.key, one.value if hasattr(one, "kind") else one.json) for n, one in enumerate(records)]

    read, refused = decode_batch(topic, 0, log, LIMITS)

    assert read.offsets == list(range(1, len(log), 2))
    assert [letter.offset for letter in refused] == list(range(0, len(log), 2))
    assert read.keys == [one.key for one in right]
    assert read.raw == [one.json for one in right]
    assert read.next_offset == len(log)


def test_a_reason_shows_what_was_found_and_what_was_wanted():
    value = msgspec.json.encode(play(by="ann")).replace(b"200000", b'"long"', 1)
    assert refusal(PLAYS, b"ann", value) == "listened_ms is 'long': Expected `int`, got `str`"


def test_a_huge_value_is_cut_in_its_reason_and_in_its_dead_letter():
    huge = json.dumps({"song_id": "s1", "released_ms": NOW, "title": "x" * 10_000_000}).encode()
    _, [letter] = decode_batch(SONG_RELEASES, 0, [Logged(0, NOW, b"s1", huge)], LIMITS)
    assert letter.reason == f"record is {len(huge) + 2} bytes long, wanted at most 40000; its end is cut"
    assert letter.is_cut and len(letter.key) + len(letter.value) <= 40_000 and huge.startswith(letter.value)


def test_a_title_beyond_its_bound_is_refused_and_kept_whole_to_be_repaired():
    value = msgspec.json.encode(release(title="x" * 1_001))
    _, [letter] = decode_batch(SONG_RELEASES, 0, [Logged(0, NOW, b"s1", value)], LIMITS)
    assert letter.reason.startswith("title is 'xxx") and len(letter.reason) < 200
    assert not letter.is_cut and letter.value == value


# What plays are like that come near every bound of the fast path.
NEARLY = st.builds(
    lambda by, key, song, ahead, listened, spoil: Logged(
        0,
        NOW,
        key if key is not None else by.encode(),
        spoil(
            json.dumps(
                {
                    "play_id": "p",
                    "listener_id": by,
                    "song_id": song,
                    "played_ms": NOW + ahead,
                    "listened_ms": listened,
                    "song_ms": 1,
                }
            ).encode()
        ),
    ),
    by=st.sampled_from(["ann", "bob", "zoë", "", "a" * 128, "a" * 129, "a\x1fb", "a\nb", "漢字"]),
    key=st.sampled_from([None, None, None, None, None, b"", b"ann", b"\xff"]),
    song=st.sampled_from(["s1", "s2", "", "s\x1f1", "s" * 129]),
    ahead=st.sampled_from([-NOW + 1, -NOW, 0, HOUR_MS - 1, HOUR_MS, HOUR_MS + 1, 10**15]),
    listened=st.sampled_from([0, 1, -1, DAY_MS, DAY_MS + 1]),
    spoil=st.sampled_from(
        [
            lambda text: text,
            lambda text: text,
            lambda text: text,
            lambda text: text + b" ",
            lambda text: b"\n" + text,
            lambda text: text + b"\n" + text,
            lambda text: text.replace(b",", b",\n"),
            lambda text: text[:-1],
            lambda text: b"",
            lambda text: None,
            lambda text: text.replace(b'"p"', b'"\xff"'),
            lambda text: text + b" " * 40_000,
        ]
    ),
)


@given(st.lists(NEARLY, min_size=1, max_size=6))
def test_plays_read_at_once_are_the_plays_read_one_by_one(near):
    log = [replace(record, offset=n) for n, record in enumerate(near)]
    at_once, refused = decode_batch(PLAYS, 2, log, LIMITS)
    alone = [decode_batch(PLAYS, 2, [record], LIMITS) for record in log]
    assert list(at_once.values) == [play for read, _ in alone for play in read.values]
    assert list(at_once.offsets) == [offset for read, _ in alone for offset in read.offsets]
    assert refused == [letter for _, letters in alone for letter in letters]
    for record in log:  # and a play that the door let in alone is one that `decode` lets in
        try:
            assert decode(PLAYS, record.key, record.value, record.timestamp, LIMITS) in at_once.values
        except MalformedMessage:
            assert record.offset in [letter.offset for letter in refused]


ODD = [
    b"7" * 5_000,
    b"-" * 100,
    b'{"played_ms": %s}' % (b"9" * 5_000),
    b'{"x": ' * 50_000,
    b"\xef\xbb\xbf{}",
    b"\xff\xfe",
    b"\x00",
]


@given(
    st.sampled_from(list(TOPICS.values())),
    st.none() | st.binary(max_size=200),
    st.none() | st.binary(max_size=200) | st.sampled_from(ODD),
)
def test_whatever_the_bytes_are_the_door_either_reads_or_refuses_them(topic, key, value):
    read, refused = decode_batch(topic, 0, [Logged(0, NOW, key, value)], LIMITS)
    assert len(read) + len(refused) == 1
    for letter in refused:
        assert read_dead_letter(*dead_letter_record(letter)[1:]) == letter


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=8,
    ),
    st.data(),
)
def test_any_value_in_any_field_is_either_read_or_refused(value, data):
    topic = data.draw(st.sampled_from(READ_FROM_NEIGHBOURS))
    right = good(topic, random.Random(1), NOW, LIMITS)
    field = data.draw(st.sampled_from(sorted(right.value)))
    read, refused = decode_batch(topic, 0, [Logged(0, NOW, right.key, right.but(**{field: value}))], LIMITS)
    assert len(read) + len(refused) == 1


def test_a_batch_says_where_reading_goes_on_although_its_last_records_were_refused():
    log = [logged(PLAYS, play(), key="ann", offset=7), Logged(9, NOW, b"ann", b"{oops")]
    read, [letter] = decode_batch(PLAYS, 1, log, LIMITS)
    assert (list(read.offsets), read.next_offset, letter.offset) == ([7], 10, 9)


def test_unknown_fields_are_ignored_so_that_a_neighbour_may_add_one():
    value = msgspec.json.encode(msgspec.to_builtins(play()) | {"device": {"kind": "phone"}})
    assert decode(PLAYS, b"ann", value, NOW, LIMITS) == play()


def test_a_null_value_withdraws_a_song_and_needs_its_key():
    assert decode(SONG_RELEASES, b"s1", None, NOW, LIMITS) is None
    assert refusal(SONG_RELEASES, None, None).startswith("key is missing, wanted song_id")
    assert refusal(SONG_RELEASES, b"\xff", None).startswith("key is b'\\xff', wanted song_id in UTF-8")


def test_a_null_value_is_no_play():
    assert refusal(PLAYS, b"ann", None) == "value is null, wanted a value: plays has no withdrawals"


@pytest.mark.parametrize("value", [None, b"", b"{}", b' {"unknown": 1} '])
def test_an_erasure_needs_nothing_but_its_key(value):
    assert decode(LISTENER_ERASURES, b"ann", value, NOW, LIMITS) is None


def test_an_erasure_may_say_when_it_was_asked_for_and_whom_it_means():
    value = b'{"asked_ms": %d}' % (NOW - 5)
    assert decode(LISTENER_ERASURES, b"ann", value, NOW, LIMITS) == Erasure("ann", NOW - 5)
    assert refusal(LISTENER_ERASURES, b"ann", b'{"listener_id": "bob"}').startswith(
        "key is 'ann', wanted the listener_id"
    )


@pytest.mark.parametrize(
    ("topic", "contract", "field"),
    [
        (PLAYS, play(at=NOW), "played_ms"),
        (LISTENER_SETTINGS, listener_settings(at=NOW), "changed_ms"),
        (LISTENER_ERASURES, erasure(at=NOW), "asked_ms"),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_a_time_is_believed_up_to_an_hour_after_its_record_and_refused_beyond(topic, contract, field):
    record = logged(topic, contract, key="ann")
    assert decode(topic, record.key, record.value, NOW - HOUR_MS, LIMITS) == contract
    assert refusal(topic, record.key, record.value, NOW - HOUR_MS - 1).startswith(f"{field} is {NOW}, wanted at most")


def test_a_song_may_be_announced_a_year_ahead():
    record = logged(SONG_RELEASES, release(at=NOW), key="s1")
    assert decode(SONG_RELEASES, b"s1", record.value, NOW - 365 * DAY_MS, LIMITS) == release(at=NOW)
    assert refusal(SONG_RELEASES, b"s1", record.value, NOW - 365 * DAY_MS - 1).startswith("released_ms")


@pytest.mark.parametrize("number", [1e39, -1e300, FLOAT32_MAX * 1.001])
def test_numbers_that_become_infinite_in_float32_are_refused(number):
    vector = msgspec.json.encode(release(vectors={"audio": (0.5, number)}))
    assert refusal(SONG_RELEASES, b"s1", vector).startswith(f"vectors.audio[1] is {number!r}")
    tempo = msgspec.json.encode(release(attributes={"tempo": number}))
    assert refusal(SONG_RELEASES, b"s1", tempo).startswith(f"attributes.tempo is {number!r}")
    assert decode(SONG_RELEASES, b"s1", msgspec.json.encode(release(vectors={"audio": (FLOAT32_MAX,)})), NOW, LIMITS)


def test_no_id_may_hold_the_separator_with_which_ids_are_hashed():
    assert refusal(PLAYS, b"a\x1fb", msgspec.json.encode(play(by="a\x1fb"))).startswith("key")
    assert refusal(PLAYS, b"ann", msgspec.json.encode(play("s\x1f1"))).startswith("song_id")
    assert refusal(SONG_RELEASES, b"s\x1f1", None).startswith("key")


FORGOTTEN = ListenersForgotten(listener_keys=b"\x01" * 8)
SAMPLES = AudienceSamples(
    listener_partition=1, artifact="a1", offsets=(4, 9), song_ids=("s1", "s2"), listener_keys=b"\x02" * 16,
    played_ms=b"\x03" * 16, embeddings=b"\x04" * 16, strengths=b"\x05" * 8,
)  # fmt: skip
SELECTED = TargetsSelected(query_id="q1", song_id="new", answers={1: 5, 0: 7}, coverage=1.0)


@pytest.mark.parametrize(
    ("topic", "contract"),
    [
        (PLAYS, play(liked=True, market="de", target_id="t1")),
        (SONG_RELEASES, release(markets=("de", "it"), budget=5, expires_ms=NOW + 1)),
        (LISTENER_SETTINGS, listener_settings(time_zone="Europe/Rome")),
        (SONG_EMBEDDINGS, embedded("s1", 3, 4)),
        (AUDIENCE_SAMPLES, SAMPLES),
        (AUDIENCE_SAMPLES, FORGOTTEN),
        (SONG_DECISIONS, query()),
        (SONG_DECISIONS, SELECTED),
        (PUSH_TARGETS, target()),
        (PUSH_SUPPRESSIONS, suppression()),
        (RELEASE_OUTCOMES, outcome()),
    ],
    ids=lambda value: getattr(value, "name", type(value).__name__),
)
def test_what_is_encoded_decodes_to_the_same_and_again_to_the_same_bytes(topic, contract):
    key, value = encode(Message(topic, "k", contract, NOW))
    read = decode_value(topic, value)
    assert key == b"k" and read == contract and type(read) is type(contract)
    assert encode(Message(topic, "k", read, NOW)) == (key, value)


def test_counts_in_another_order_give_the_same_bytes():
    turned = outcome(reached={"hold-out": 50, "target": 900})
    assert encode(Message(RELEASE_OUTCOMES, "new", turned, NOW)) == encode(
        Message(RELEASE_OUTCOMES, "new", outcome(), NOW)
    )


def test_a_tombstone_has_a_key_and_no_value():
    assert encode(Message(SONG_EMBEDDINGS, "zoë", None, NOW)) == ("zoë".encode(), None)


def test_targets_travel_with_cloudevents_attributes_that_follow_from_the_message():
    message = Message(PUSH_TARGETS, "ann", target("ann", "new"), NOW)
    assert dict(headers_of(message)) == {
        "content-type": b"application/json",
        "ce_specversion": b"1.0",
        "ce_type": b"push.target.v1",
        "ce_source": b"/bcl/push-targets",
        "ce_id": target("ann", "new").target_id.encode(),
        "ce_time": b"2023-11-14T22:13:20.000Z",
    }
    assert headers_of(message) == headers_of(message)


def test_an_outcome_is_named_by_its_song_and_time_and_a_suppression_by_its_target():
    told = dict(headers_of(Message(RELEASE_OUTCOMES, "new", outcome(at=NOW + 7), NOW + 7)))
    assert (told["ce_id"], told["ce_time"]) == (f"new/{NOW + 7}".encode(), b"2023-11-14T22:13:20.007Z")
    refused = dict(headers_of(Message(PUSH_SUPPRESSIONS, "ann", suppression(), NOW)))
    assert (refused["ce_id"], refused["ce_type"]) == (suppression().target_id.encode(), b"push.suppression.v1")


def test_topics_of_our_own_carry_no_cloudevents_headers():
    assert headers_of(Message(SONG_EMBEDDINGS, "s1", embedded(), NOW)) == []
    assert headers_of(Message(SONG_EMBEDDINGS, "s1", None, NOW)) == []


def test_a_dead_letter_comes_back_from_its_record_as_it_was():
    for bad in malformed(200, seed=2, at_ms=NOW, limits=LIMITS):
        _, [letter] = decode_batch(bad.topic, 1, [Logged(4, NOW, bad.key, bad.value)], LIMITS)
        topic, key, value, headers = dead_letter_record(letter)
        assert topic == f"{bad.topic.name}.dead-letters"
        assert read_dead_letter(key, value, headers) == letter


def test_what_is_no_dead_letter_is_refused():
    with pytest.raises(MalformedMessage, match="not a dead letter"):
        read_dead_letter(b"k", b"v", [("topic", b"plays")])


def test_reasons_that_differ_only_in_their_values_have_one_cause():
    def cause(**fields: object) -> str:
        return cause_of(refusal(PLAYS, b"ann", json.dumps(msgspec.to_builtins(play()) | fields).encode()))

    assert cause(song_id=7) == cause(song_id=8)
    assert cause(market="nowhere at all") == cause(market="a far too long one")
    assert cause(song_id=7) != cause(song_id="")
    assert cause(song_id=7) != cause(play_id=7)


def test_plays_keep_their_columns_in_step():
    heard = [play(f"s{n}", by=f"l{n}", at=NOW + n) for n in range(5)]
    log = [logged(PLAYS, one, key=one.listener_id, offset=10 + n, at=one.played_ms) for n, one in enumerate(heard)]
    read, refused = decode_batch(PLAYS, 6, log, LIMITS)
    assert refused == [] and (read.topic, read.partition, read.next_offset) == ("plays", 6, 15)
    assert list(read.values) == heard and all(type(one) is Play for one in read.values)
    assert list(read.offsets) == [10, 11, 12, 13, 14] and list(read.times_ms) == [one.played_ms for one in heard]
    assert [key.decode() for key in read.keys] == [one.listener_id for one in heard]
