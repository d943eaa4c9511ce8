"""The batch twin of listeners: rings, embeddings, markets and song counters from the whole log, in plain Python.

Written from the rules in words; shares only contracts, ids and settings with the stages.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from struct import iter_unpack

import numpy as np
import numpy.typing as npt

from streams.contracts.ids import key_of
from streams.contracts.plays import Play
from streams.settings import ListeningSettings

DAY_MS = 86_400_000

Vectors = Mapping[int, npt.NDArray[np.float64]]  # song key -> embedding
Ring = dict[tuple[int, int], int]  # (played_ms, song key) -> strength in thousandths


@dataclass
class Listener:
    ring: Ring = field(default_factory=dict)
    market: tuple[int, str] = (0, "")  # when it was told, which

    def embedding(self, songs: Vectors, settings: ListeningSettings) -> npt.NDArray[np.float64] | None:
        newest = max(at for at, _ in self.ring)
        half_life_ms = settings.half_life_days * DAY_MS
        weights = {(at, song): s * 0.5 ** ((newest - at) / half_life_ms) for (at, song), s in self.ring.items()}
        parts = [weight * songs[song] for (_, song), weight in weights.items() if song in songs]
        if not parts:
            return None
        total: npt.NDArray[np.float64] = np.sum(parts, axis=0)
        length = float(np.linalg.norm(total))
        return total / length if length else None


def strength(play: Play, settings: ListeningSettings) -> int:
    """In thousandths; 0: the play is not effective."""
    is_long = play.listened_ms >= 1_000 * settings.effective_s
    is_most = play.song_ms > 0 and play.listened_ms >= settings.effective_share * play.song_ms
    is_whole = play.song_ms > 0 and play.listened_ms >= settings.completed_share * play.song_ms
    if not (is_long or is_most):
        return 0
    if play.liked:
        return round(1_000 * settings.strength_liked)
    return round(1_000 * (settings.strength_completed if is_whole else settings.strength_played))


def ring_of(plays: Iterable[Play], erased_ms: int, settings: ListeningSettings) -> Ring:
    """The set of all effective plays since the erasure, then the newest of them."""
    every: Ring = {}
    for play in plays:
        if (heavy := strength(play, settings)) and play.played_ms > erased_ms:
            at = (play.played_ms, key_of(play.song_id))
            every[at] = max(heavy, every.get(at, 0))
    newest = max((at for at, _ in every), default=0)
    kept = sorted(at for at in every if at[0] >= newest - settings.forget_after_days * DAY_MS)[-settings.keep_plays :]
    return {at: every[at] for at in kept}


def fold(plays: Iterable[Play], erased_ms: Mapping[str, int], settings: ListeningSettings) -> dict[str, Listener]:
    """Everyone of whom something is remembered."""
    found: dict[str, Listener] = {}
    for name, own in by_listener(plays).items():
        since = erased_ms.get(name, 0)
        if ring := ring_of(own, since, settings):
            told = [(p.played_ms, p.market) for p in own if p.market and p.played_ms > since and strength(p, settings)]
            found[name] = Listener(ring, max(told, default=(0, "")))
    return found


def by_listener(plays: Iterable[Play]) -> dict[str, list[Play]]:
    found: dict[str, list[Play]] = defaultdict(list)
    for play in plays:
        found[play.listener_id].append(play)
    return found


def counted_plays(plays: Iterable[Play], settings: ListeningSettings) -> Counter[int]:
    """Of one listener, in the order of the log: of each song the plays that were remembered and were new."""
    ring: set[tuple[int, int]] = set()
    counts: Counter[int] = Counter()
    for play in plays:
        at = (play.played_ms, key_of(play.song_id))
        if at in ring or not strength(play, settings):
            continue
        newest = max((at[0], *(then for then, _ in ring)))
        since = newest - settings.forget_after_days * DAY_MS
        ring = set(sorted(one for one in {*ring, at} if one[0] >= since)[-settings.keep_plays :])
        counts[at[1]] += at in ring
    return counts


def unpacked(value: bytes) -> Listener:
    """A listener as the store has it: u8 version | u8 m | m bytes of market | { u64 when | u64 song } | i64 told."""
    assert value[0] == 1
    start = 2 + value[1]
    entries: Sequence[tuple[int, int]] = list(iter_unpack("<QQ", value[start:-8]))
    ring = {(when >> 22, song): when & (1 << 22) - 1 for when, song in entries}
    return Listener(ring, (int.from_bytes(value[-8:], "little"), value[2:start].decode()))


def unpacked_song_plays(merged: Mapping[bytes, bytes], recent: Mapping[bytes, bytes]) -> dict[int, int]:
    """Song key -> plays: those that were merged, and over them what each batch since wrote, in its order."""
    found = {int.from_bytes(key, "little"): int.from_bytes(raw, "little") for key, raw in merged.items()}
    for _, batch in sorted(recent.items()):
        found.update(iter_unpack("<QQ", batch))
    return found
