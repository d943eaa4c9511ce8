"""A song has been embedded; a null value takes it out of every worker's view."""

import msgspec

from streams.contracts.fields import Budget, EpochMs, Id, Market, Title


class SongEmbedded(msgspec.Struct, frozen=True, gc=False):
    song_id: Id
    artifact: Id
    content: Id  # hash of the content that was embedded: the same content is not embedded twice
    embedding: bytes  # float32, little endian, unit length
    published_ms: EpochMs  # time of the release record that caused it
    released_ms: EpochMs
    title: Title = ""
    artist_ids: tuple[Id, ...] = ()
    markets: tuple[Market, ...] = ()
    budget: Budget | None = None
    expires_ms: EpochMs | None = None
