"""Rings of recent plays as arrays, one row for each listener: what `listener.py` says, for whole batches. Pure.

An entry is two numbers: when, and the song's key. A row has its entries at the end, oldest first, and zeros before
them, so the bytes of a row are what the store keeps.

    when     played_ms << 22 | strength in thousandths        played_ms < 2^42: until 2109; strength < 4,194
    (L, K, 2) rings         L listeners, K entries at most
    (L, K)    song rows     of the song view; -1: no entry, or a song that was not known when last looked up

In the store, under the listener's name, little endian:

    u8 version | u8 m | m bytes of market | { u64 when | u64 song key } ... | i64 market_ms
"""

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from streams.audience.listener import NOISE
from streams.errors import Stop

Whens: TypeAlias = NDArray[np.uint64]
Keys: TypeAlias = NDArray[np.uint64]
Times: TypeAlias = NDArray[np.int64]
Rows: TypeAlias = NDArray[np.int32]
Flags: TypeAlias = NDArray[np.bool_]
Embeddings: TypeAlias = NDArray[np.float32]
Rings: TypeAlias = NDArray[np.uint64]

UNKNOWN = -1
STRENGTH_BITS = 22
MAX_STRENGTH = (1 << STRENGTH_BITS) - 1
VERSION = 1
ENTRY_BYTES = 16
PER_CHUNK = 4_096  # rings whose embeddings are computed at once: bounds the arrays in between

_SHIFT, _STRENGTH = np.uint64(STRENGTH_BITS), np.uint64(MAX_STRENGTH)


class After(NamedTuple):
    """Rings with one play more each."""

    rings: Rings
    song_rows: Rows
    is_new: Flags  # the play is an entry that was not there before
    is_other: Flags  # something changed: a new entry, or more strength
    is_newest: Flags  # the play stands at the end; what changed is that alone, but for what left the ring


def whens(played_ms: Times, strengths: Times) -> Whens:
    return (played_ms.astype(np.uint64) << _SHIFT) | strengths.astype(np.uint64)


def played_ms(whens: Whens) -> Times:
    return (whens >> _SHIFT).astype(np.int64)


def with_plays(rings: Rings, song_rows: Rows, heard: Whens, keys: Keys, rows: Rows, *, forget_after_ms: int) -> After:
    """Ring n with play n. Costs a copy of the rings; late plays, which are rare, cost a search of theirs as well."""
    played, last = heard >> _SHIFT, rings[:, -1, 0] >> _SHIFT
    is_newest = (played > last) | ((played == last) & (keys > rings[:, -1, 1]))
    late = np.flatnonzero(~is_newest)
    after, after_rows = np.empty_like(rings), np.empty_like(song_rows)
    after[:, :-1], after_rows[:, :-1] = rings[:, 1:], song_rows[:, 1:]
    after[:, -1, 0], after[:, -1, 1], after_rows[:, -1] = heard, keys, rows
    is_new = np.ones(len(rings), dtype=bool)
    is_other = is_new
    if len(late):
        is_other = is_new.copy()
        after[late], after_rows[late], is_new[late], is_other[late] = _with_late(
            rings[late], song_rows[late], heard[late], keys[late], rows[late], forget_after_ms
        )
    drop_old(after, after_rows, forget_after_ms)
    return After(after, after_rows, is_new, is_other, is_newest)


def drop_old(rings: Rings, song_rows: Rows, forget_after_ms: int) -> None:
    """Takes out what is so much older than the newest play of its ring, in place."""
    oldest = np.maximum(played_ms(rings[:, -1, 0]) - forget_after_ms, 0).astype(np.uint64) << _SHIFT
    too_old = (rings[:, :, 0] < oldest[:, None]) & (rings[:, :, 0] > 0)
    if too_old.any():
        rings[too_old], song_rows[too_old] = 0, UNKNOWN


def empty_up_to(rings: Rings, song_rows: Rows, up_to_ms: int) -> None:
    """Takes out what was played up to then, in place."""
    gone = played_ms(rings[..., 0]) <= up_to_ms
    rings[gone], song_rows[gone] = 0, UNKNOWN


def embeddings_of(rings: Rings, song_rows: Rows, songs: Embeddings, *, half_life_ms: float) -> Embeddings:
    """(M, K) -> (M, D). A row's bits follow from its ring and its songs alone, not from the rows beside it."""
    found = [
        _embeddings(rings[n : n + PER_CHUNK], song_rows[n : n + PER_CHUNK], songs, half_life_ms)
        for n in range(0, len(rings), PER_CHUNK)
    ]
    if len(found) == 1:
        return found[0]
    return np.concatenate(found) if found else np.zeros((0, songs.shape[1]), np.float32)


def packed(rings: Rings, markets_ms: Times) -> tuple[bytes, list[int], list[int]]:
    """Entries and market_ms of each ring in one string, and where each begins and ends."""
    listeners, keep, _ = rings.shape
    columns = np.empty((listeners, 2 * keep + 1), dtype="<u8")
    columns[:, :-1] = rings.reshape(listeners, 2 * keep)
    columns[:, -1] = markets_ms
    ends = np.arange(1, listeners + 1) * columns.itemsize * columns.shape[1]
    entries = np.count_nonzero(rings[:, :, 0], axis=1)
    return columns.tobytes(), (ends - 8 - entries * ENTRY_BYTES).tolist(), ends.tolist()


def head(market: str | None) -> bytes:
    text = (market or "").encode()
    return bytes([VERSION, len(text)]) + text


def unpacked(value: bytes, keep: int) -> tuple[bytes, str | None, int]:
    """A ring as the bytes of a full row, the market and when it was told; the newest entries if it has too many."""
    if value[0] != VERSION:
        raise Stop(
            f"listener state: version {value[0]} found, {VERSION} wanted; a newer release wrote it, run that one"
        )
    start = 2 + value[1]
    entries = value[start:-8][-keep * ENTRY_BYTES :]
    market = value[2:start].decode() or None
    return entries.rjust(keep * ENTRY_BYTES, b"\0"), market, int.from_bytes(value[-8:], "little")


def _with_late(
    rings: Rings, song_rows: Rows, heard: Whens, keys: Keys, rows: Rows, forget_after_ms: int
) -> tuple[Rings, Rows, Flags, Flags]:
    """Plays that are not newer than their ring: entries move down to make room, the oldest one leaves."""
    keep = rings.shape[1]
    played, heard, keys = (heard >> _SHIFT)[:, None], heard[:, None], keys[:, None]
    times, songs = rings[:, :, 0] >> _SHIFT, rings[:, :, 1]
    same = (times == played) & (songs == keys)
    is_older = (times < played) | ((times == played) & (songs < keys))  # empty places too
    place = is_older.sum(axis=1) - 1  # of the new entry
    newest_ms = times[:, -1].astype(np.int64)
    is_late = played[:, 0].astype(np.int64) < newest_ms - forget_after_ms
    is_new = ~same.any(axis=1) & (place >= 0) & ~is_late
    stronger = same & (rings[:, :, 0] < heard)

    at = np.arange(keep)
    moved = at + (is_new[:, None] & (at < place[:, None]))  # (M, K): where an entry comes from
    after = np.take_along_axis(rings, moved[:, :, None], axis=1)
    after_rows = np.take_along_axis(song_rows, moved, axis=1)
    new = np.flatnonzero(is_new)
    after[new, place[new], 0], after[new, place[new], 1] = heard[new, 0], keys[new, 0]
    after_rows[new, place[new]] = rows[new]
    after[:, :, 0] = np.where(stronger, heard, after[:, :, 0])  # nothing moved in these rings
    return after, after_rows, is_new, is_new | stronger.any(axis=1)


def _embeddings(rings: Rings, song_rows: Rows, songs: Embeddings, half_life_ms: float) -> Embeddings:
    if len(songs) == 0:
        return np.zeros((len(rings), songs.shape[1]), np.float32)
    counts = song_rows != UNKNOWN  # (M, K)
    times = played_ms(rings[:, :, 0])
    weights = np.exp2((times - times[:, -1:]) / half_life_ms)
    weights *= rings[:, :, 0] & _STRENGTH
    ends = np.zeros(len(rings) + 1, dtype=np.int32)
    np.cumsum(counts.sum(axis=1), out=ends[1:])
    shares = csr_array((weights[counts].astype(np.float32), song_rows[counts], ends), shape=(len(rings), len(songs)))
    totals: Embeddings = shares @ songs  # (M, N) @ (N, D) -> (M, D), each row in the order of its ring
    lengths = np.sqrt(np.einsum("md,md->m", totals, totals))
    totals /= np.where(lengths > NOISE, lengths, np.inf)[:, None]
    return totals
