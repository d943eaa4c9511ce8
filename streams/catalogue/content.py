"""What of a release the encoder sees, and when two releases say the same. Pure."""

from hashlib import blake2b

import msgspec

from bcl_model.fields import Content
from streams.contracts.releases import Release

ARTIST = "artist"  # the field of the artists' ids, where the release's attributes do not fill it themselves


def content_of(release: Release) -> Content:
    """Sets of tokens are sorted and hold each once. Title and lyrics take part as vectors, if there are any."""
    attributes = {name: _canonical(value) for name, value in release.attributes.items()}
    if release.artist_ids:
        attributes.setdefault(ARTIST, _canonical(release.artist_ids))
    return Content(attributes=attributes, vectors=release.vectors, vectors_by=release.vectors_by)


def content_hash(release: Release) -> str:
    """Of all that a SongEmbedded tells of the release: what the encoder sees, and the facts beside it.

    Neither the order of fields, nor of sets, nor JSON's spelling of a number counts.
    """
    content = content_of(release)
    said = (
        content.attributes,
        {name: [number + 0.0 for number in vector] for name, vector in content.vectors.items()},  # -0.0 is 0.0
        release.released_ms,
        release.title,
        release.artist_ids,
        sorted(set(release.markets)),
        release.budget,
        release.expires_ms,
    )
    return blake2b(msgspec.msgpack.encode(said, order="sorted"), digest_size=16).hexdigest()


def _canonical(value: str | tuple[str, ...] | float) -> str | tuple[str, ...] | float:
    if isinstance(value, tuple):
        return tuple(sorted(set(value)))
    return value if isinstance(value, str) else float(value) + 0.0
