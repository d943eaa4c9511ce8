"""A valid contract in one line; a test names only what it is about."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np

from streams.config import load_settings
from streams.contracts.codec import decode_batch, encode
from streams.contracts.crowds import SongCrowds
from streams.contracts.embeddings import SongEmbedded
from streams.contracts.ids import query_id_of, target_id_of
from streams.contracts.listeners import Erasure, ListenerSettings, QuietHours
from streams.contracts.messages import Batch, Message
from streams.contracts.plays import Play
from streams.contracts.queries import AudienceAnswer, AudienceQuery, Candidates, Neighbour, TargetCandidates
from streams.contracts.releases import AudioRelease, Release
from streams.contracts.targets import Arm, Outcome, Reason, Suppression, Target
from streams.contracts.topics import DAY_MS, HOUR_MS, PLAYS, Topic
from streams.settings import Settings

NOW = 1_700_000_000_000  # 14 November 2023, 22:13:20 UTC
ARTIFACT = "a1"
POLICY = "cat-1"


@dataclass(frozen=True, slots=True)
class Logged:
    """A record as a log holds it."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None


def settings(**sections: dict[str, Any]) -> Settings:
    """The defaults, and what is said: settings(listening={"keep_plays": 3}). The environment has no say."""
    defaults = load_settings(environment={})
    return replace(defaults, **{name: replace(getattr(defaults, name), **keys) for name, keys in sections.items()})


def unit(*numbers: float) -> bytes:
    """A unit vector as it travels: unit(3, 4) is (0.6, 0.8)."""
    vector = np.array(numbers, dtype="<f4")
    return (vector / np.linalg.norm(vector)).astype("<f4").tobytes()


def play(
    song: str = "s1", *, by: str = "ann", at: int = NOW, listened_s: float = 200, song_s: float = 200, **more: Any
) -> Play:
    more.setdefault("play_id", f"{by}-{song}-{at}")
    return Play(
        listener_id=by,
        song_id=song,
        played_ms=at,
        listened_ms=int(listened_s * 1000),
        song_ms=int(song_s * 1000),
        **more,
    )


def release(song: str = "s1", *, at: int = NOW, **more: Any) -> Release:
    content: dict[str, Any] = {
        "title": f"Title of {song}",
        "artist_ids": ("ar1",),
        "attributes": {"genre": "folk", "moods": ("calm", "warm"), "tempo": 92.5},
        "vectors": {"audio": (0.6, 0.8)},
    }
    return Release(song_id=song, released_ms=at, **(content | more))


def audio_release(
    song: str = "s1", *, at: int = NOW, uri: str = "https://sounds.example.com/s1.wav", **more: Any
) -> AudioRelease:
    content: dict[str, Any] = {"title": f"Title of {song}", "attributes": {"genre": "folk"}}
    return AudioRelease(song_id=song, released_ms=at, audio_uri=uri, **(content | more))


def embedded(song: str = "s1", *numbers: float, at: int = NOW, **more: Any) -> SongEmbedded:
    facts: dict[str, Any] = {"artifact": ARTIFACT, "content": f"c-{song}", "released_ms": at, "published_ms": at}
    return SongEmbedded(song_id=song, embedding=unit(*(numbers or (1, 0))), **(facts | more))


def listener_settings(by: str = "ann", *, consent: bool = True, at: int = NOW, **more: Any) -> ListenerSettings:
    return ListenerSettings(listener_id=by, consent=consent, changed_ms=at, **more)


def night(from_minute: int = 22 * 60, to_minute: int = 8 * 60) -> QuietHours:
    return QuietHours(from_minute, to_minute)


def erasure(by: str = "ann", *, at: int | None = NOW) -> Erasure:
    return Erasure(listener_id=by, asked_ms=at)


def crowds(song: str = "s1", *centroids: Sequence[float], samples: int = 40, at: int = NOW, **more: Any) -> SongCrowds:
    """Crowds of equal mass: crowds("s1", (1, 0), (0, 1))."""
    rows = centroids or ((1.0, 0.0),)
    facts: dict[str, Any] = {"artifact": ARTIFACT, "listeners": samples, "at_ms": at}
    masses = np.full(len(rows), samples / len(rows), dtype="<f4").tobytes()
    return SongCrowds(
        song_id=song, samples=samples, centroids=b"".join(unit(*row) for row in rows), masses=masses, **(facts | more)
    )


def query(
    song: str = "new", *centroids: Sequence[float], budget: int = 10, at: int = NOW, **more: Any
) -> AudienceQuery:
    rows = centroids or ((1.0, 0.0),)
    facts: dict[str, Any] = {
        "query_id": query_id_of(song, ARTIFACT, "c1", POLICY),
        "artifact": ARTIFACT,
        "policy": POLICY,
        "embedding": unit(*rows[0]),
        "because": (Neighbour("s1", 0.9),),
        "expires_ms": at + 3 * DAY_MS,
        "released_ms": at,
        "song_offsets": (1, 0),
        "crowd_offsets": (1, 0),
    }
    return AudienceQuery(
        song_id=song,
        budget=budget,
        decided_ms=at,
        centroids=b"".join(unit(*row) for row in rows),
        masses=np.full(len(rows), 1 / len(rows), dtype="<f4").tobytes(),
        **(facts | more),
    )


def candidates(**scores: float) -> Candidates:
    """Best first: candidates(ann=0.9, bob=0.4)."""
    ranked = sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))
    return Candidates(
        listener_ids=tuple(name for name, _ in ranked),
        scores=np.array([score for _, score in ranked], dtype="<f4").tobytes(),
        crowds=bytes(len(ranked)),
    )


def answer(
    to: AudienceQuery, best: Candidates, *, partition: int = 0, partitions: int = 1, **more: Any
) -> AudienceAnswer:
    facts: dict[str, Any] = {
        "held_out": Candidates(),
        "explored": Candidates(),
        "eligible": len(best),
        "scored": len(best),
        "plays_offset": 5,
        "settings_offset": 3,
        "erasures_offset": 1,
        "song_offsets": to.song_offsets,
    }
    return AudienceAnswer(
        query_id=to.query_id,
        song_id=to.song_id,
        artifact=to.artifact,
        listener_partition=partition,
        listener_partitions=partitions,
        best=best,
        **(facts | more),
    )


def chosen(*listeners: str, song: str = "new", at: int = NOW, **more: Any) -> TargetCandidates:
    """Listeners that a release has chosen, best first: chosen("ann", "bob")."""
    facts: dict[str, Any] = {
        "query_id": query_id_of(song, ARTIFACT, "c1", POLICY),
        "artifact": ARTIFACT,
        "policy": POLICY,
        "because": (Neighbour("s1", 0.9),),
        "expires_ms": at + 3 * DAY_MS,
        "released_ms": at,
        "coverage": 1.0,
        "scores": tuple(1 - n / 100 for n in range(len(listeners))),
        "ranks": tuple(range(1, len(listeners) + 1)),
        "crowds": (0,) * len(listeners),
        "arms": (Arm.TARGET.value,) * len(listeners),
        "propensities": (1.0,) * len(listeners),
    }
    return TargetCandidates(song_id=song, decided_ms=at, listener_ids=listeners, **(facts | more))


def target(to: str = "ann", song: str = "new", *, at: int = NOW, **more: Any) -> Target:
    return Target(**(_decision(to, song, at) | more))


def suppression(
    of: str = "ann", song: str = "new", *, reason: Reason = Reason.DAY_CAP, at: int = NOW, **more: Any
) -> Suppression:
    return Suppression(**(_decision(of, song, at) | {"reason": reason} | more))


def outcome(song: str = "new", *, at: int = NOW + DAY_MS, **more: Any) -> Outcome:
    facts: dict[str, Any] = {
        "decided_ms": NOW,
        "reached": {"target": 900, "hold-out": 50},
        "effective_plays": {"target": 90, "hold-out": 1},
        "likes": {"target": 9},
        "lift": 5.0,
        "lift_low": 1.5,
        "lift_high": 16.5,
    }
    return Outcome(song_id=song, at_ms=at, **(facts | more))


def logged(topic: Topic, contract: msgspec.Struct | None, *, key: str, offset: int = 0, at: int = NOW) -> Logged:
    """A record as our encoder writes it; a contract of None is a tombstone."""
    coded = encode(Message(topic, key, contract, at))
    return Logged(offset, at, *coded)


def batch(
    topic: Topic, *contracts: msgspec.Struct | str, first: int = 0, partition: int = 0, at: int | None = None
) -> Batch[Any]:
    """Consecutive records through the door; a bare name stands for a record without a value.

    Records are published when they say they happened, unless `at` says otherwise.
    """
    records = [
        logged(topic, None, key=one, offset=first + n, at=at or NOW)
        if isinstance(one, str)
        else logged(topic, one, key=_key(one), offset=first + n, at=at or _time(one))
        for n, one in enumerate(contracts)
    ]
    read, refused = decode_batch(topic, partition, records, settings().contracts)
    assert not refused, refused[0].reason
    return read


def plays(*heard: Play, first: int = 0, partition: int = 0) -> Batch[Play]:
    return batch(PLAYS, *heard, first=first, partition=partition)


def _key(contract: Any) -> str:
    for name in ("listener_id", "song_id"):
        if isinstance(key := getattr(contract, name, None), str):
            return key
    return "any"


def _time(contract: Any) -> int:
    for name in ("played_ms", "changed_ms", "asked_ms", "published_ms", "decided_ms", "released_ms", "at_ms"):
        if (time := getattr(contract, name, None)) is not None:
            return int(time)
    return NOW


def _decision(to: str, song: str, at: int) -> dict[str, Any]:
    return {
        "target_id": target_id_of(song, to),
        "song_id": song,
        "listener_id": to,
        "score": 0.75,
        "rank": 1,
        "crowd": 0,
        "because": (Neighbour("s1", 0.9),),
        "arm": Arm.TARGET,
        "propensity": 1.0,
        "policy": POLICY,
        "artifact": ARTIFACT,
        "query_id": query_id_of(song, ARTIFACT, "c1", POLICY),
        "decided_ms": at,
        "not_before_ms": at,
        "expires_ms": at + 72 * HOUR_MS,
        "coverage": 1.0,
        "plays_offset": 5,
        "settings_offset": 3,
        "erasures_offset": 1,
    }
