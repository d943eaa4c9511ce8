"""What our neighbours code against: JSON Schemas, one AsyncAPI document, and the rule that they only grow.

    schemas/asyncapi.json         every topic that a neighbour writes or reads, with its Kafka bindings
    schemas/<topic>/v1.json       the released schema of its values

A released schema may gain optional fields. Whatever else a neighbour could notice is a new version, beside the old one.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from operator import gt, lt
from pathlib import Path
from typing import Any

import msgspec

from streams.contracts.listeners import Erasure, ListenerSettings, QuietHours
from streams.contracts.plays import Play
from streams.contracts.queries import Neighbour
from streams.contracts.releases import AudioRelease, Release
from streams.contracts.targets import Arm, Outcome, Reason, Suppression, Target
from streams.contracts.topics import (
    AUDIO_RELEASES,
    LISTENER_ERASURES,
    LISTENER_SETTINGS,
    PLAYS,
    PUBLISHED_TO_NEIGHBOURS,
    PUSH_SUPPRESSIONS,
    PUSH_TARGETS,
    READ_FROM_NEIGHBOURS,
    RELEASE_OUTCOMES,
    SONG_RELEASES,
    Shard,
    Topic,
)
from streams.settings import TopicSettings

Schema = dict[str, Any]

VERSION = "v1"
RELEASED = Path(__file__).parent / "schemas"
NEIGHBOURS: tuple[Topic, ...] = (*READ_FROM_NEIGHBOURS, *PUBLISHED_TO_NEIGHBOURS)
BINDING = "0.5.0"
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema_of(topic: Topic) -> Schema:
    """The schema of a topic's values, as the code has it now."""
    return {"$schema": DIALECT, "$id": f"urn:bcl:{topic.name}:{VERSION}", **msgspec.json.schema(topic.carries)}


def documents(topics: TopicSettings) -> dict[str, str]:
    """Every document by its path below the folder that they are written to; the same settings give the same text."""
    found: dict[str, Any] = {f"{topic.name}/{VERSION}.json": schema_of(topic) for topic in NEIGHBOURS}
    found["asyncapi.json"] = asyncapi(topics)
    return {path: json.dumps(document, indent=2, ensure_ascii=False) + "\n" for path, document in found.items()}


def asyncapi(topics: TopicSettings) -> Schema:
    return {
        "asyncapi": "3.1.0",
        "info": {
            "title": "Streaming music cold-start matching",
            "version": "1.0.0",
            "description": (
                "A release goes in, push targets come out. Keys are UTF-8 and placed by Kafka's default partitioner "
                "(murmur2); clients built on librdkafka set partitioner=murmur2_random. Readers ignore unknown fields."
            ),
        },
        "defaultContentType": "application/json",
        "servers": {
            "kafka": {
                "host": "{brokers}",
                "protocol": "kafka",
                "variables": {"brokers": {"default": "127.0.0.1:9092"}},
                "bindings": {"kafka": {"bindingVersion": BINDING}},
            }
        },
        "channels": {topic.name: _channel(topic, topics) for topic in NEIGHBOURS}
        | {topic.dead_letters: _dead_letters(topic, topics) for topic in READ_FROM_NEIGHBOURS},
        "operations": {
            **{f"receive-{topic.name}": _operation("receive", topic.name) for topic in READ_FROM_NEIGHBOURS},
            **{f"send-{topic.name}": _operation("send", topic.name) for topic in PUBLISHED_TO_NEIGHBOURS},
            **{f"send-{topic.dead_letters}": _operation("send", topic.dead_letters) for topic in READ_FROM_NEIGHBOURS},
        },
        "components": {
            "messages": {**{topic.name: _message(topic) for topic in NEIGHBOURS}, "dead-letter": _DEAD_LETTER}
        },
    }


def breaks(released: Schema, now: Schema) -> list[str]:
    """What a neighbour who relies on the released schema would notice; empty if it has only grown."""
    return list(_breaks(released, now, released, now, "$"))


def broken_by_code() -> list[str]:
    """What the code has changed of the released schemas although it must not."""
    found = []
    for topic in NEIGHBOURS:
        if (file := RELEASED / topic.name / f"{VERSION}.json").exists():
            found += [
                f"{topic.name}/{VERSION}: {fault}"
                for fault in breaks(json.loads(file.read_text("utf-8")), schema_of(topic))
            ]
    return found


def _channel(topic: Topic, topics: TopicSettings) -> Schema:
    return {
        "address": topics.prefix + topic.name,
        "description": topic.about,
        "messages": {topic.name: {"$ref": f"#/components/messages/{topic.name}"}},
        "bindings": {"kafka": _topic_binding(topic, topics)},
    }


def _topic_binding(topic: Topic, topics: TopicSettings) -> Schema:
    configuration: Schema = {"cleanup.policy": ["compact" if topic.compacted else "delete"]}
    if topic.keep_ms is not None and not topic.compacted:
        configuration["retention.ms"] = topic.keep_ms
    return {
        "topic": topics.prefix + topic.name,
        "partitions": topics.song_partitions if topic.shard is Shard.SONG else topics.listener_partitions,
        "replicas": topics.replication,
        "topicConfiguration": configuration,
        "bindingVersion": BINDING,
    }


def _dead_letters(topic: Topic, topics: TopicSettings) -> Schema:
    return {
        "address": topics.prefix + topic.dead_letters,
        "description": f"records of {topic.name} that could not be read, as they came, with the reason",
        "messages": {"dead-letter": {"$ref": "#/components/messages/dead-letter"}},
        "bindings": {"kafka": {"topic": topics.prefix + topic.dead_letters, "bindingVersion": BINDING}},
    }


def _operation(action: str, channel: str) -> Schema:
    return {"action": action, "channel": {"$ref": f"#/channels/{channel}"}}


def _message(topic: Topic) -> Schema:
    key = "song_id" if topic.shard is Shard.SONG else "listener_id"
    message: Schema = {
        "name": topic.name,
        "title": topic.about,
        "contentType": topic.wire.value,
        "payload": {
            "schemaFormat": "application/schema+json;version=draft-2020-12",
            "schema": {"$ref": f"./{topic.name}/{VERSION}.json"},
        },
        "bindings": {
            "kafka": {"key": {"type": "string", "description": f"the {key}, UTF-8"}, "bindingVersion": BINDING}
        },
        "examples": [{"payload": msgspec.to_builtins(EXAMPLES[topic.name])}],
    }
    if topic in PUBLISHED_TO_NEIGHBOURS:
        message["headers"] = _CLOUDEVENTS
    return message


def _breaks(old: Any, new: Any, old_root: Schema, new_root: Schema, path: str) -> Iterator[str]:
    old, new = _resolved(old, old_root), _resolved(new, new_root)
    if "anyOf" in old or "anyOf" in new:
        choices = new.get("anyOf", [new])
        for choice in old.get("anyOf", [old]):
            if not any(not list(_breaks(choice, other, old_root, new_root, path)) for other in choices):
                yield f"{path} no longer may be {_kind(_resolved(choice, old_root))}"
        return
    if old.get("type") != new.get("type"):
        yield f"{path} was {_kind(old)} and is {_kind(new)}"
        return
    if gone := set(old.get("enum", [])) - set(new.get("enum", [])):
        yield f"{path} no longer may be {', '.join(map(repr, sorted(gone)))}"
    yield from _tightened(old, new, path)
    was, now = old.get("properties", {}), new.get("properties", {})
    yield from (f"{path}.{name} is gone" for name in was.keys() - now.keys())
    yield from (
        f"{path}.{name} is required now" for name in sorted(set(new.get("required", [])) - set(old.get("required", [])))
    )
    yield from (
        f"{path}.{name} is no longer certain"
        for name in sorted(set(old.get("required", [])) - set(new.get("required", [])))
    )
    parts = [(f"{path}.{name}", was[name], now[name]) for name in was if name in now]
    parts += [
        (f"{path}[{n}]", *pair)
        for n, pair in enumerate(zip(old.get("prefixItems", []), new.get("prefixItems", []), strict=False))
    ]
    parts += [
        (f"{path}[]", old[word], new[word]) for word in ("items", "additionalProperties") if word in old and word in new
    ]
    if len(old.get("prefixItems", [])) > len(new.get("prefixItems", [])):
        yield f"{path} has fewer places"
    for name, one, other in parts:
        yield from _breaks(one, other, old_root, new_root, name)


def _tightened(old: Schema, new: Schema, path: str) -> Iterator[str]:
    """A bound that now refuses what it let through: records in the log would no longer be read."""
    for bound, is_tighter in _BOUNDS.items():
        if bound in new and (bound not in old or is_tighter(new[bound], old[bound])):
            yield f"{path} has {bound} {new[bound]}, was {old.get(bound, 'unbounded')}"


def _resolved(schema: Any, root: Schema) -> Schema:
    while isinstance(schema, Mapping) and "$ref" in schema:
        schema = root["$defs"][schema["$ref"].removeprefix("#/$defs/")]
    return dict(schema) if isinstance(schema, Mapping) else {}


def _kind(schema: Schema) -> str:
    return str(
        schema.get("type") or ("one of " + ", ".join(map(str, schema["enum"])) if "enum" in schema else "anything")
    )


_BOUNDS: dict[str, Callable[[Any, Any], bool]] = {
    **dict.fromkeys(("minLength", "minItems", "minimum", "exclusiveMinimum"), gt),
    **dict.fromkeys(("maxLength", "maxItems", "maximum", "exclusiveMaximum"), lt),
}

_TEXT = {"type": "string"}
_CLOUDEVENTS = {
    "type": "object",
    "description": "CloudEvents 1.0, binary mode; header values are UTF-8",
    "properties": {
        "content-type": {"const": "application/json"},
        "ce_specversion": {"const": "1.0"},
        "ce_type": _TEXT,
        "ce_source": _TEXT,
        "ce_id": {"type": "string", "description": "the same for a second copy: drop what was seen"},
        "ce_time": {"type": "string", "format": "date-time"},
    },
    "required": ["content-type", "ce_specversion", "ce_type", "ce_source", "ce_id", "ce_time"],
}
_DEAD_LETTER = {
    "name": "dead-letter",
    "title": "key and value as they came; where from and why not read, in the headers",
    "contentType": "application/octet-stream",
    "headers": {
        "type": "object",
        "properties": {
            "reason": {"type": "string", "description": "field, value and what was wanted"},
            "cause": {"type": "string", "description": "equal for reasons that differ only in their values"},
            "topic": _TEXT,
            "partition": _TEXT,
            "offset": _TEXT,
            "time": {"type": "string", "description": "of the record, milliseconds since 1970"},
            "whole": {"enum": ["yes", "no"], "description": "no: oversized, only its beginning is kept"},
        },
        "required": ["reason", "cause", "topic", "partition", "offset", "time", "whole"],
    },
    "payload": {},
}

_AT = 1_700_000_000_000
_DECIDED: dict[str, Any] = {
    "target_id": "7a1f0c9be2d84435b8a04c0f6f0e5d21",
    "song_id": "song-4711",
    "listener_id": "listener-42",
    "score": 0.83,
    "rank": 1,
    "crowd": 2,
    "because": (Neighbour("song-12", 0.91),),
    "arm": Arm.TARGET,
    "propensity": 1.0,
    "policy": "cat-1",
    "artifact": "bcl-3f9a",
    "query_id": "c0ffee00c0ffee00c0ffee00c0ffee00",
    "decided_ms": _AT,
    "not_before_ms": _AT,
    "expires_ms": _AT + 259_200_000,
    "coverage": 1.0,
    "plays_offset": 91_824,
    "settings_offset": 512,
    "erasures_offset": 3,
}
EXAMPLES: dict[str, msgspec.Struct] = {
    SONG_RELEASES.name: Release(
        song_id="song-4711",
        released_ms=_AT,
        title="Paper Boats",
        artist_ids=("artist-9",),
        attributes={"genre": "folk", "moods": ("calm", "warm"), "tempo": 92.5},
        vectors={"audio": (0.12, -0.4, 0.9)},
        markets=("de", "it"),
        budget=1_000,
    ),
    AUDIO_RELEASES.name: AudioRelease(
        song_id="song-4712",
        released_ms=_AT,
        title="Paper Boats (live)",
        artist_ids=("artist-9",),
        attributes={"genre": "folk", "tempo": 96.0},
        lyrics="paper boats, paper boats",
        audio_uri="https://sounds.example.com/song-4712.flac",
        audio_sha256="9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    ),
    PLAYS.name: Play(
        play_id="play-1",
        listener_id="listener-42",
        song_id="song-12",
        played_ms=_AT,
        listened_ms=184_000,
        song_ms=201_000,
        liked=True,
        market="de",
    ),
    LISTENER_SETTINGS.name: ListenerSettings(
        listener_id="listener-42",
        consent=True,
        changed_ms=_AT,
        time_zone="Europe/Rome",
        quiet_hours=QuietHours(1_320, 480),
    ),
    LISTENER_ERASURES.name: Erasure(listener_id="listener-42", asked_ms=_AT),
    PUSH_TARGETS.name: Target(**_DECIDED),
    PUSH_SUPPRESSIONS.name: Suppression(**_DECIDED, reason=Reason.DAY_CAP),
    RELEASE_OUTCOMES.name: Outcome(
        song_id="song-4711",
        at_ms=_AT + 86_400_000,
        decided_ms=_AT,
        reached={"exploration": 50, "hold-out": 50, "target": 950},
        effective_plays={"exploration": 1, "hold-out": 2, "target": 120},
        likes={"target": 14},
        lift=3.2,
        lift_low=1.1,
        lift_high=9.4,
    ),
}
