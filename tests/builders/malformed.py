"""Records that no door should let in: twenty kinds, seeded, each with the field that its refusal must name first."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from streams.contracts.topics import (
    AUDIO_RELEASES,
    DAY_MS,
    HOUR_MS,
    LISTENER_ERASURES,
    LISTENER_SETTINGS,
    PLAYS,
    READ_FROM_NEIGHBOURS,
    SONG_RELEASES,
    Topic,
)
from streams.settings import ContractSettings
from tests.builders.contracts import audio_release, erasure, listener_settings, play, release


@dataclass(frozen=True, slots=True)
class Malformed:
    kind: str
    topic: Topic
    key: bytes | None
    value: bytes | None
    at_ms: int
    field: str  # with which the reason begins


@dataclass(frozen=True, slots=True)
class Good:
    """A record that is right, about to be spoilt."""

    topic: Topic
    key: bytes
    value: dict[str, Any]
    at_ms: int
    limits: ContractSettings
    draw: random.Random

    @property
    def json(self) -> bytes:
        return json.dumps(self.value).encode()

    def but(self, **fields: Any) -> bytes:
        return json.dumps(self.value | fields).encode()

    @property
    def time_field(self) -> str:
        return _TIMES[self.topic.name]

    @property
    def id_field(self) -> str:
        return "song_id" if self.topic in _OF_SONGS else "listener_id"


_OF_SONGS = (SONG_RELEASES, AUDIO_RELEASES)

Spoilt = tuple[bytes | None, bytes | None, str]  # key, value, field


def malformed(count: int, *, seed: int, at_ms: int, limits: ContractSettings) -> list[Malformed]:
    """All kinds equally often, in an order that the seed decides; published at `at_ms`."""
    draw = random.Random(seed)
    kinds = [list(KINDS)[n % len(KINDS)] for n in range(count)]
    draw.shuffle(kinds)
    records = []
    for kind in kinds:
        topics, spoil = KINDS[kind]
        right = good(draw.choice(topics), draw, at_ms, limits)
        key, value, field = spoil(right)
        records.append(Malformed(kind, right.topic, key, value, at_ms, field))
    return records


def good(topic: Topic, draw: random.Random, at_ms: int, limits: ContractSettings) -> Good:
    song, listener = f"song-{draw.randrange(1_000)}", f"listener-{draw.randrange(1_000)}"
    contract: msgspec.Struct = {
        PLAYS.name: play(song, by=listener, at=at_ms, play_id=f"p{draw.getrandbits(64):x}"),
        SONG_RELEASES.name: release(song, at=at_ms),
        AUDIO_RELEASES.name: audio_release(song, at=at_ms),
        LISTENER_SETTINGS.name: listener_settings(listener, at=at_ms, time_zone="Europe/Rome"),
        LISTENER_ERASURES.name: erasure(listener, at=at_ms),
    }[topic.name]
    key = song if topic in _OF_SONGS else listener
    return Good(topic, key.encode(), json.loads(msgspec.json.encode(contract)), at_ms, limits, draw)


def truncated_json(right: Good) -> Spoilt:
    return right.key, right.json[: right.draw.randrange(1, len(right.json))], "value"


def not_json(right: Good) -> Spoilt:
    text = right.draw.choice(
        [b"<play/>", b"oops", b"\x00" + right.draw.randbytes(40), b"{'listener_id': 'ann'}", b"nul"]
    )
    return right.key, text, "value"


def no_value(right: Good) -> Spoilt:
    return right.key, None if right.topic is PLAYS else b"", "value"


def wrong_root(right: Good) -> Spoilt:
    return right.key, right.draw.choice([b"[]", b"7", b'"play"', b"null", b"true", b"[" + right.json + b"]"]), "value"


def nested_too_deep(right: Good) -> Spoilt:
    return right.key, b'{"more":' + right.draw.choice([b"[", b'{"a":']) * 3_000, "value"


def wrong_type(right: Good) -> Spoilt:
    field, wrong = right.draw.choice(_WRONG_TYPES[right.topic.name])
    return right.key, right.but(**{field: wrong}), field


def not_a_number(right: Good) -> Spoilt:
    return right.key, right.but(**{right.time_field: float("nan")}), "value"


def infinite_number(right: Good) -> Spoilt:
    if right.draw.random() < 0.5:
        return right.key, right.but(**{right.time_field: float("-inf")}), "value"
    spoilt = right.but(**{right.time_field: "HERE"}).replace(b'"HERE"', right.draw.choice([b"1e999", b"-1e400"]))
    return right.key, spoilt, right.time_field


def missing_field(right: Good) -> Spoilt:
    field = right.draw.choice(_REQUIRED[right.topic.name])
    return right.key, json.dumps({name: value for name, value in right.value.items() if name != field}).encode(), field


def empty_id(right: Good) -> Spoilt:
    return right.key, right.but(**{right.id_field: ""}), right.id_field


def huge_text(right: Good) -> Spoilt:
    """Within the size of a record, beyond that of its field."""
    field, least = right.draw.choice(_LONGEST[right.topic.name])
    return right.key, right.but(**{field: "x" * (least + right.draw.randrange(1, 1_000))}), field


def oversized_record(right: Good) -> Spoilt:
    return right.key, right.but(more="x" * right.limits.max_record_bytes), "record"


def invalid_utf8(right: Good) -> Spoilt:
    spoilt = right.but(**{right.id_field: "HERE"})
    return (
        right.key,
        spoilt.replace(b"HERE", right.draw.choice([b"\xff", b"caf\xe9", b"\xc3\x28", b"\xed\xa0\x80"])),
        "value",
    )


def wrong_encoding(right: Good) -> Spoilt:
    return (
        right.key,
        right.json.decode().encode(right.draw.choice(["utf-16", "utf-16-be", "utf-32", "utf-8-sig"])),
        "value",
    )


def far_future(right: Good) -> Spoilt:
    allowed = (
        right.limits.max_release_ahead_days * DAY_MS if right.topic in _OF_SONGS else right.limits.max_ahead_h * HOUR_MS
    )
    ahead_ms = int(allowed) + right.draw.randrange(1, 1_000 * DAY_MS)
    return right.key, right.but(**{right.time_field: right.at_ms + ahead_ms}), right.time_field


def impossible_time(right: Good) -> Spoilt:
    return (
        right.key,
        right.but(**{right.time_field: right.draw.choice([0, -1, 4_102_444_800_000, 10**30])}),
        right.time_field,
    )


def absurd_duration(right: Good) -> Spoilt:
    field = right.draw.choice(["listened_ms", "song_ms"])
    return right.key, right.but(**{field: right.draw.choice([-1, DAY_MS + 1, 10**12])}), field


def wrong_vector(right: Good) -> Spoilt:
    vector = right.draw.choice([[], [0.1] * 4_097, [1e39, 0.5], [0.5, None], [0.5, "x"], 0.5])
    return right.key, right.but(vectors={"audio": vector}), "vectors"


def unreadable_key(right: Good) -> Spoilt:
    return right.draw.choice([None, b"", b"\xff\xfe\x00", b"x" * 129]), right.json, "key"


def foreign_key(right: Good) -> Spoilt:
    return right.key + b"-other", right.json, "key"


_EVERY: tuple[Topic, ...] = READ_FROM_NEIGHBOURS
_NOT_ERASURES = (PLAYS, SONG_RELEASES, AUDIO_RELEASES, LISTENER_SETTINGS)  # an erasure needs nothing but its key

KINDS: dict[str, tuple[tuple[Topic, ...], Callable[[Good], Spoilt]]] = {
    "truncated-json": (_EVERY, truncated_json),
    "not-json": (_EVERY, not_json),
    "no-value": (_NOT_ERASURES, no_value),
    "wrong-root": (_EVERY, wrong_root),
    "nested-too-deep": (_EVERY, nested_too_deep),
    "wrong-type": (_EVERY, wrong_type),
    "not-a-number": (_EVERY, not_a_number),
    "infinite-number": (_EVERY, infinite_number),
    "missing-field": (_NOT_ERASURES, missing_field),
    "empty-id": (_EVERY, empty_id),
    "huge-text": (_EVERY, huge_text),
    "oversized-record": (_EVERY, oversized_record),
    "invalid-utf8": (_EVERY, invalid_utf8),
    "wrong-encoding": (_EVERY, wrong_encoding),
    "far-future": (_EVERY, far_future),
    "impossible-time": (_EVERY, impossible_time),
    "absurd-duration": ((PLAYS,), absurd_duration),
    "wrong-vector": (_OF_SONGS, wrong_vector),
    "unreadable-key": (_EVERY, unreadable_key),
    "foreign-key": (_EVERY, foreign_key),
}

_TIMES = {
    PLAYS.name: "played_ms",
    SONG_RELEASES.name: "released_ms",
    AUDIO_RELEASES.name: "released_ms",
    LISTENER_SETTINGS.name: "changed_ms",
    LISTENER_ERASURES.name: "asked_ms",
}
_REQUIRED = {
    PLAYS.name: ["play_id", "listener_id", "song_id", "played_ms", "listened_ms", "song_ms"],
    SONG_RELEASES.name: ["song_id", "released_ms"],
    AUDIO_RELEASES.name: ["song_id", "released_ms", "audio_uri"],
    LISTENER_SETTINGS.name: ["listener_id", "consent", "changed_ms"],
}
_LONGEST = {
    PLAYS.name: [("song_id", 128), ("target_id", 128), ("market", 8)],
    SONG_RELEASES.name: [("title", 1_000), ("lyrics", 20_000)],
    AUDIO_RELEASES.name: [("audio_uri", 2_000), ("caption", 20_000)],
    LISTENER_SETTINGS.name: [("time_zone", 256)],
    LISTENER_ERASURES.name: [("listener_id", 128)],
}
_WRONG_TYPES: dict[str, list[tuple[str, Any]]] = {
    PLAYS.name: [
        ("play_id", 7),
        ("listener_id", ["ann"]),
        ("song_id", None),
        ("played_ms", "2023-11-14"),
        ("played_ms", 1.5),
        ("listened_ms", True),
        ("song_ms", {}),
        ("liked", "yes"),
        ("market", 39),
    ],
    SONG_RELEASES.name: [
        ("title", 5),
        ("artist_ids", "ar1"),
        ("artist_ids", [1]),
        ("attributes", []),
        ("attributes", {"genre": {"main": "folk"}}),
        ("attributes", {"": "folk"}),
        ("vectors", {"audio": "0.1 0.2"}),
        ("budget", "many"),
        ("budget", 0),
        ("markets", ["everywhere"]),
    ],
    AUDIO_RELEASES.name: [
        ("audio_uri", None),
        ("audio_uri", ""),
        ("audio_uri", ["https://sounds.example.com/s1.wav"]),
        ("audio_sha256", "9F86"),
        ("caption", 7),
    ],
    LISTENER_SETTINGS.name: [
        ("consent", 1),
        ("consent", "true"),
        ("changed_ms", "now"),
        ("quiet_hours", [22, 8]),
        ("quiet_hours", {"from_minute": 1_440, "to_minute": 0}),
        ("time_zone", 1),
    ],
    LISTENER_ERASURES.name: [("asked_ms", "now"), ("listener_id", 3)],
}
