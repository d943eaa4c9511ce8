"""What refresh_crowds must have in its store and must have published, from its input topic alone.

Plain Python, one sample after the other, written from the rules in words; it shares only the names of contracts,
`seed_of` and the settings with the stage. Slow: about 2 ms a sample.
"""

import struct
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from math import exp, inf, isclose, log, sqrt

from streams.contracts.crowds import AudienceSamples, ListenersForgotten
from streams.contracts.ids import seed_of
from streams.settings import CrowdSettings


@dataclass
class Crowd:
    mass: float
    mean: list[float]


@dataclass
class Song:
    samples: int = 0
    published: int = 0
    at_ms: int = 0
    crowds: list[Crowd] = field(default_factory=list)
    listeners: dict[int, float] = field(default_factory=dict)  # listener key -> highest draw


@dataclass
class Published:
    song_id: str
    time_ms: int
    samples: int
    listeners: int
    at_ms: int
    centroids: list[list[float]]
    masses: list[float]


@dataclass
class Crowds:
    songs: dict[str, Song] = field(default_factory=dict)
    published: list[Published] = field(default_factory=list)


def fold(
    records: Iterable[tuple[int, AudienceSamples | ListenersForgotten]],
    settings: CrowdSettings,
    artifact: str,
    only: Collection[str] | None = None,
) -> Crowds:
    """`records`: time of the record and its value, in the order of one partition of audience-samples.

    `only`: the songs to look at; they do not depend on each other.
    """
    crowds, highest = Crowds(), dict[int, int]()
    for time_ms, value in records:
        if isinstance(value, ListenersForgotten):
            for (key,) in struct.iter_unpack("<Q", value.listener_keys):
                for song in crowds.songs.values():
                    song.listeners.pop(key, None)
            continue
        keys = struct.unpack(f"<{len(value.offsets)}Q", value.listener_keys)
        played = struct.unpack(f"<{len(value.offsets)}q", value.played_ms)
        strengths = struct.unpack(f"<{len(value.offsets)}f", value.strengths)
        numbers = struct.unpack(f"<{len(value.embeddings) // 4}f", value.embeddings)
        dimension = len(numbers) // max(1, len(value.offsets))
        before = highest.get(value.listener_partition, -1)
        for n, offset in enumerate(value.offsets):
            if offset <= before:
                continue
            highest[value.listener_partition] = max(offset, highest.get(value.listener_partition, -1))
            if value.artifact != artifact or (only is not None and value.song_ids[n] not in only):
                continue
            song = crowds.songs.setdefault(value.song_ids[n], Song())
            embedding = list(numbers[n * dimension : (n + 1) * dimension])
            _sample(song, embedding, strengths[n], played[n], settings)
            _listener(song, keys[n], strengths[n], played[n], settings)
            song.samples += 1
            if _is_due(song, settings):
                song.published = song.samples
                crowds.published.append(_published(value.song_ids[n], time_ms, song))
    return crowds


def difference(found: Song, wanted: Song) -> str | None:
    """In words; None: they agree."""
    for name in ("samples", "published", "at_ms"):
        if getattr(found, name) != getattr(wanted, name):
            return f"{name} is {getattr(found, name)}, wanted {getattr(wanted, name)}"
    if found.listeners.keys() != wanted.listeners.keys():
        return f"listeners differ by {sorted(found.listeners.keys() ^ wanted.listeners.keys())[:5]}"
    if any(not isclose(found.listeners[key], draw, rel_tol=1e-12) for key, draw in wanted.listeners.items()):
        return "draws of listeners differ"
    if len(found.crowds) != len(wanted.crowds):
        return f"{len(found.crowds)} crowds, wanted {len(wanted.crowds)}"
    for crowd, other in zip(found.crowds, wanted.crowds, strict=True):
        if not isclose(crowd.mass, other.mass, rel_tol=1e-9):
            return f"mass is {crowd.mass}, wanted {other.mass}"
        if max(abs(x - y) for x, y in zip(crowd.mean, other.mean, strict=True)) > 1e-6:
            return "means differ by more than 1e-6"
    return None


def unpacked(packed: bytes) -> Song:
    """A song as the store of the stage has it."""
    version, crowds, listeners, dimension, _, samples, published, at_ms = struct.unpack_from("<BBHIQQQq", packed)
    assert version == 1
    at = 40
    masses = struct.unpack_from(f"<{crowds}d", packed, at)
    at += 8 * crowds
    draws = struct.unpack_from(f"<{listeners}d", packed, at)
    at += 8 * listeners
    keys = struct.unpack_from(f"<{listeners}Q", packed, at)
    at += 8 * listeners
    numbers = struct.unpack_from(f"<{crowds * dimension}f", packed, at)
    assert at + 4 * crowds * dimension == len(packed)
    means = [list(numbers[c * dimension : (c + 1) * dimension]) for c in range(crowds)]
    pairs = [Crowd(mass, mean) for mass, mean in zip(masses, means, strict=True)]
    return Song(samples, published, at_ms, pairs, dict(zip(keys, draws, strict=True)))


def _sample(song: Song, embedding: list[float], strength: float, played_ms: int, settings: CrowdSettings) -> None:
    now = max(song.at_ms, played_ms)
    for crowd in song.crowds:
        crowd.mass = max(crowd.mass * _aged(now - song.at_ms, settings), 1e-30)
    song.at_ms = now
    crowds = [*song.crowds, Crowd(max(strength * _aged(now - played_ms, settings), 1e-30), embedding)]
    if len(crowds) <= settings.crowds_per_song:
        song.crowds = crowds
        return
    least, pair = inf, (0, 0)
    for a in range(len(crowds)):
        for b in range(a + 1, len(crowds)):
            loss = round(_loss(crowds[a], crowds[b]) * 2**20)
            if loss < least:
                least, pair = loss, (a, b)
    a, b = pair
    total = crowds[a].mass + crowds[b].mass
    share = crowds[b].mass / total
    moved = [_float32(x + share * (y - x)) for x, y in zip(crowds[a].mean, crowds[b].mean, strict=True)]
    crowds[a] = Crowd(total, moved)
    newest = crowds.pop()
    if b < len(crowds):
        crowds[b] = newest
    song.crowds = crowds


def _listener(song: Song, key: int, strength: float, played_ms: int, settings: CrowdSettings) -> None:
    """Of all plays seen, each listener's highest draw; the listeners with the highest ones stay."""
    unit = max(_splitmix(seed_of("listeners of a song"), key, played_ms), 2.0**-60)
    draw = log(strength) + log(2) * played_ms / (settings.half_life_days * 86_400_000) - log(-log(unit))
    song.listeners[key] = max(draw, song.listeners.get(key, -inf))
    if len(song.listeners) > settings.listeners_per_song:
        del song.listeners[min(song.listeners, key=lambda listener: song.listeners[listener])]


def _is_due(song: Song, settings: CrowdSettings) -> bool:
    if song.published == 0:
        return len(song.listeners) >= settings.warm_at_listeners
    return song.samples >= song.published + max(8, min(64, song.samples // 8))


def _published(song_id: str, time_ms: int, song: Song) -> Published:
    clear = [crowd for crowd in song.crowds if _length(crowd.mean) > 1e-6]
    centroids = [[x / _length(crowd.mean) for x in crowd.mean] for crowd in clear]
    masses = [crowd.mass for crowd in clear]
    return Published(song_id, time_ms, song.samples, len(song.listeners), song.at_ms, centroids, masses)


def _loss(a: Crowd, b: Crowd) -> float:
    """How much less tight the two are together than apart."""
    first, second = [a.mass * x for x in a.mean], [b.mass * x for x in b.mean]
    together = [x + y for x, y in zip(first, second, strict=True)]
    return _length(first) + _length(second) - _length(together)


def _aged(ms: int, settings: CrowdSettings) -> float:
    return exp(-log(2) * ms / (settings.half_life_days * 86_400_000))


def _length(vector: list[float]) -> float:
    return sqrt(sum(x * x for x in vector))


def _float32(number: float) -> float:
    rounded: float = struct.unpack("<f", struct.pack("<f", number))[0]
    return rounded


def _splitmix(*numbers: int) -> float:
    mask = 2**64 - 1
    mixed = numbers[0]
    for number in numbers[1:]:
        mixed = ((mixed ^ number) + 0x9E3779B97F4A7C15) & mask
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & mask
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & mask
        mixed ^= mixed >> 31
    return (mixed >> 11) * 2.0**-53
