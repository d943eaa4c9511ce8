"""A listener: which plays count, what is remembered of them, and the embedding that follows.

Pure, one listener at a time, and slow: `rings.py` does the same for whole batches, and tests hold the two together.

A ring is the set of a listener's most recent effective plays, so neither order nor repetition of plays matters:

    the same (played_ms, song_key) again keeps the larger strength;
    entries older than the listener's newest by more than `forget_after_ms` are dropped;
    of the rest the `keep` largest (played_ms, song_key) stay.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from streams.contracts.ids import key_of
from streams.contracts.plays import Play
from streams.contracts.topics import DAY_MS
from streams.settings import ListeningSettings

NOISE = 1e-3  # a sum that is shorter than a millionth of a play of strength 1 has no direction


class Heard(NamedTuple):
    played_ms: int
    song_key: int
    strength: int  # thousandths


Ring: TypeAlias = tuple[Heard, ...]  # oldest first


def is_effective(play: Play, settings: ListeningSettings) -> bool:
    long_enough = play.listened_ms >= settings.effective_s * 1_000
    return long_enough or (play.song_ms > 0 and play.listened_ms >= settings.effective_share * play.song_ms)


def strength_of(play: Play, settings: ListeningSettings) -> int:
    """In thousandths: whole numbers are the same in memory and on disk."""
    if play.liked:
        return thousandths(settings.strength_liked)
    if play.song_ms > 0 and play.listened_ms >= settings.completed_share * play.song_ms:
        return thousandths(settings.strength_completed)
    return thousandths(settings.strength_played)


def thousandths(strength: float) -> int:
    return round(strength * 1_000)


def heard(play: Play, settings: ListeningSettings) -> Heard:
    return Heard(play.played_ms, key_of(play.song_id), strength_of(play, settings))


def ring_with(ring: Ring, plays: Iterable[Heard], *, keep: int, forget_after_ms: int) -> Ring:
    strengths: dict[tuple[int, int], int] = {}
    for played_ms, song_key, strength in (*ring, *plays):
        strengths[played_ms, song_key] = max(strength, strengths.get((played_ms, song_key), 0))
    if not strengths:
        return ()
    newest_ms = max(strengths)[0]
    kept = sorted(entry for entry in strengths if entry[0] >= newest_ms - forget_after_ms)[-keep:]
    return tuple(Heard(*entry, strengths[entry]) for entry in kept)


def embedding_of(
    ring: Ring, songs: Mapping[int, NDArray[np.float32]], *, half_life_ms: float, dimension: int
) -> NDArray[np.float64]:
    """unit( sum of strength * 2^(-age / half life) * e_song ) over the songs that are known; zero if none is."""
    known = [entry for entry in ring if entry.song_key in songs]
    if not known:
        return np.zeros(dimension)
    newest_ms = ring[-1].played_ms
    weights = [strength * 2.0 ** ((played_ms - newest_ms) / half_life_ms) for played_ms, _, strength in known]
    total = np.zeros(dimension)
    for weight, entry in zip(weights, known, strict=True):
        total += weight * songs[entry.song_key].astype(np.float64)
    length = float(np.linalg.norm(total))
    return total / length if length > NOISE else np.zeros(dimension)


def is_forgotten(newest_ms: int, partition_newest_ms: int, forget_after_ms: int) -> bool:
    """Idle for so long that nobody is told of anything, until they play again.

    The ring itself is dropped after twice that time: with plays in any order, no ring of a listener who is not
    forgotten has an entry that old, so when exactly it is dropped does not matter.
    """
    return newest_ms < partition_newest_ms - forget_after_ms


def forget_after_ms(settings: ListeningSettings) -> int:
    return int(settings.forget_after_days * DAY_MS)


def half_life_ms(settings: ListeningSettings) -> float:
    return settings.half_life_days * DAY_MS
