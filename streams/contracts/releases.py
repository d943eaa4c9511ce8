"""A song is released: its content, and no plays yet. A null value under its key withdraws it."""

from typing import Annotated

import msgspec

from streams.contracts.fields import Budget, EpochMs, Id, Market, Text, Title, Token, Tokens, Vector

Uri = Annotated[str, msgspec.Meta(min_length=1, max_length=2_000)]
Sha256 = Annotated[str, msgspec.Meta(pattern="^([0-9a-f]{64})?$")]


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
    vectors_by: Annotated[str, msgspec.Meta(max_length=256)] = (
        ""  # the encoder that filled them in from an AudioRelease
    )


class AudioRelease(Release, frozen=True, gc=False, kw_only=True):
    """A release whose vectors are still to be made, from its sound and its text; what it says itself stands."""

    audio_uri: Uri
    audio_sha256: Sha256 = ""  # of the bytes that audio_uri names, in hex; empty: whatever is there
    caption: Text = ""  # what is said of the song in words; empty: its attributes
