"""The releases that listeners of this shard are told of: which candidate records are done, whose plays are watched.

Shared by the stages of one shard; kept under WATCHED + song_id, and wholly in memory:

    u8 version | i64 expires_ms | u64 digest of a candidate record that is done ...        little endian
"""

import struct
from dataclasses import dataclass, field
from hashlib import blake2b

from streams.contracts.ids import key_of
from streams.contracts.queries import TargetCandidates
from streams.contracts.topics import AUDIENCE_ANSWERS, HOUR_MS
from streams.errors import Stop
from streams.settings import OutcomeSettings
from streams.state.layout import WATCHED, named
from streams.state.store import Store

_VERSION = 1
_HEAD = struct.Struct("<Bq")
_ANSWERS_KEPT_MS = AUDIENCE_ANSWERS.keep_ms or 0


@dataclass(slots=True)
class _Release:
    expires_ms: int
    done: list[int] = field(default_factory=list)


@dataclass
class WatchedReleases:
    store: Store
    settings: OutcomeSettings

    def __post_init__(self) -> None:
        self._releases = {key[len(WATCHED) :].decode(): _decoded(raw) for key, raw in self.store.items(WATCHED)}
        self.songs = {song_id: key_of(song_id) for song_id in self._releases}  # to be read only

    def is_done(self, candidates: TargetCandidates) -> bool:
        """A selection that was published twice is admitted once."""
        release = self._releases.get(candidates.song_id)
        return release is not None and _digest(candidates) in release.done

    def done(self, candidates: TargetCandidates) -> None:
        song_id = candidates.song_id
        if song_id not in self._releases:
            self._forget_before(candidates.decided_ms)
            self._releases[song_id] = _Release(candidates.expires_ms)
            self.songs[song_id] = key_of(song_id)
        release = self._releases[song_id]
        release.expires_ms = max(release.expires_ms, candidates.expires_ms)
        release.done.append(_digest(candidates))
        self.store.put(named(WATCHED, song_id), _encoded(release))

    def _forget_before(self, now_ms: int) -> None:
        """No target is due any more, no play counts any more, and no answer is left to select from anew."""
        kept_ms = int(self.settings.window_h * HOUR_MS) + _ANSWERS_KEPT_MS
        for song_id in [one for one, release in self._releases.items() if release.expires_ms + kept_ms < now_ms]:
            del self._releases[song_id], self.songs[song_id]
            self.store.delete(named(WATCHED, song_id))


def _digest(candidates: TargetCandidates) -> int:
    names = "\x1f".join((candidates.query_id, str(candidates.decided_ms), *candidates.listener_ids))
    return int.from_bytes(blake2b(names.encode(), digest_size=8).digest(), "little")


def _encoded(release: _Release) -> bytes:
    return _HEAD.pack(_VERSION, release.expires_ms) + struct.pack(f"<{len(release.done)}Q", *release.done)


def _decoded(raw: bytes) -> _Release:
    version, expires_ms = _HEAD.unpack_from(raw)
    if version != _VERSION:
        raise Stop(
            f"watched release: version {version} found, {_VERSION} wanted; a newer release wrote it, run that one"
        )
    done = struct.unpack(f"<{(len(raw) - _HEAD.size) // 8}Q", raw[_HEAD.size :])
    return _Release(expires_ms, list(done))
