"""A listener played a song."""

import msgspec

from streams.contracts.fields import DurationMs, EpochMs, Id, Market


class Play(msgspec.Struct, frozen=True, gc=False):
    play_id: Id
    listener_id: Id
    song_id: Id
    played_ms: EpochMs
    listened_ms: DurationMs
    song_ms: DurationMs
    liked: bool = False
    market: Market | None = None
    target_id: Id | None = None
