"""A song is released: its content, and no plays yet. A null value under its key withdraws it."""

import msgspec

from streams.contracts.fields import Budget, EpochMs, Id, Market, Text, Title, Token, Tokens, Vector


class Release(msgspec.Struct, frozen=True, gc=False):
    song_id: Id
    released_ms: EpochMs
    title: Title = ""
    artist_ids: tuple[Id, ...] = ()
    attributes: dict[Token, Token | Tokens | float] = {}
    vectors: dict[Token, Vector] = {}
    lyrics: Text = ""
    markets: tuple[Market, ...] = ()  # empty: every market
    budget: Budget | None = None  # how many listeners to reach; None: as configured
    expires_ms: EpochMs | None = None
