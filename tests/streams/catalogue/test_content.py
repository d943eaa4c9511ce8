"""When two releases say the same."""

from typing import Any

import pytest

from bcl_model.fields import Content
from streams.catalogue.content import content_hash, content_of
from streams.contracts.codec import decode_value
from streams.contracts.topics import SONG_RELEASES
from tests.builders.contracts import NOW, release


def test_the_encoder_sees_attributes_vectors_and_artists() -> None:
    content = content_of(
        release(artist_ids=("z", "a"), attributes={"moods": ("warm", "calm", "warm")}, vectors={"audio": (1.0, 2.0)})
    )
    assert content == Content({"moods": ("calm", "warm"), "artist": ("a", "z")}, {"audio": (1.0, 2.0)})


def test_a_field_named_artist_is_the_releases_own() -> None:
    assert content_of(release(attributes={"artist": "x"})).attributes == {"artist": "x"}
    assert content_of(release(artist_ids=(), attributes={})).attributes == {}


@pytest.mark.parametrize(
    "spelling",
    [
        b'{"song_id":"s1","released_ms":%d,"attributes":{"b":["x","y"],"a":2},"vectors":{"v":[0.0,1.0],"w":[1.0]}}',
        b'{"song_id":"s1","released_ms":%d,"attributes":{"a":2.0,"b":["y","x","y"]},"vectors":{"w":[1],"v":[-0.0,1]}}',
        b'{"vectors":{"w":[1],"v":[0,1e0]},"attributes":{"a":2e0,"b":["x","y"]},"unknown":[1],"song_id":"s2","lyrics":"la","released_ms":%d}',
    ],
)
def test_neither_order_nor_spelling_counts(spelling: bytes) -> None:
    same = release(
        title="", artist_ids=(), attributes={"a": 2.0, "b": ("x", "y")}, vectors={"v": (0.0, 1.0), "w": (1.0,)}
    )
    spelled: Any = decode_value(SONG_RELEASES, spelling % NOW)
    assert content_hash(spelled) == content_hash(same)


@pytest.mark.parametrize(
    "other",
    [
        {"title": "Another"},
        {"artist_ids": ("ar2",)},
        {"attributes": {"genre": "folk"}},
        {"attributes": {"genre": ("folk",), "moods": ("calm", "warm"), "tempo": 92.5}},
        {"vectors": {"audio": (0.6, 0.9)}},
        {"vectors": {"lyrics": (0.6, 0.8)}},
        {"markets": ("DE",)},
        {"budget": 5},
        {"expires_ms": NOW + 1},
        {"at": NOW + 1},
    ],
)
def test_what_a_song_embedded_would_tell_differently_counts(other: dict[str, Any]) -> None:
    assert content_hash(release(**other)) != content_hash(release())
