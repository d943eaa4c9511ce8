"""The audiences of songs: of each a sample of listeners and a few crowds, kept up sample by sample.

Pure rules over columns, one row for each song; no store, no clock. N songs, K crowds of a song, S listeners in its
sample, D dimensions, n samples of as many different songs.

Crowds are online spherical k-means (our reconstruction). A sample is a crowd of its own until there are more than K;
then the two whose union loses least are merged. A crowd is the weighted mean of unit embeddings r with mass m: its
tightness is m |r|, and the union of a and b loses m_a |r_a| + m_b |r_b| - |m_a r_a + m_b r_b|, which is exactly what
the objective of spherical k-means loses. So there is no threshold: an outlier of little mass joins the nearest crowd,
a new crowd takes the place of two that have become one.

Listeners are drawn by weight without a pass over all of them: of every play of weight w the draw u becomes
log w - log(-log u), and the listeners with the highest stay (Efraimidis and Spirakis 2006). As w doubles with every
half-life of `played_ms`, recent listeners are preferred without ever touching old ones. A listener stands once, with
the highest of all their plays, so neither order nor repetition changes who is in the sample.
"""

import struct
from collections.abc import Iterator
from math import inf, log
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from streams.contracts.crowds import SongCrowds
from streams.contracts.ids import key_of, seed_of, unit_draws
from streams.errors import StoreDamaged
from streams.settings import CrowdSettings

Rows: TypeAlias = NDArray[np.int64]
Keys: TypeAlias = NDArray[np.uint64]
Times: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float32]
Doubles: TypeAlias = NDArray[np.float64]
Number = TypeVar("Number", bound=np.generic)

MS_PER_DAY = 86_400_000
DRAW = seed_of("listeners of a song")
TINY = 1e-30  # a crowd never fades to nothing: no mass means no crowd
QUANTUM = 2.0**20  # losses within a millionth are equal, and the first pair is merged: rounding decides nothing

SAMPLES_AT_ONCE = 256  # their songs stay in the cache: a fifth faster than thousands at once

# byte  0 version 1 | 1 crowds c | 2 listeners s (2 bytes) | 4 dimension D (4) | 8 key of the artifact (8)
#      16 samples (8) | 24 samples when last published (8) | 32 time of the masses in ms (8)
#      40 masses (c x 8, double) | draws (s x 8, double) | listener keys (s x 8) | means (c x D x 4, float)
# Little endian. What is eight bytes wide comes first, so that every column is aligned.
VERSION = 1
HEAD = np.dtype([
    ("version", "u1"), ("crowds", "u1"), ("listeners", "<u2"), ("dimension", "<u4"), ("artifact", "<u8"),
    ("samples", "<u8"), ("published", "<u8"), ("at_ms", "<i8"),
])  # fmt: skip
READ_HEAD = struct.Struct("<BBHIQQQq")  # the same, faster for one song


class Audiences:
    """All songs of a shard, in memory: 2.3 KB each with 4 crowds of 64 dimensions and 64 listeners."""

    def __init__(self, settings: CrowdSettings, artifact: str, dimension: int) -> None:
        self.artifact = artifact
        self.song_ids: list[str] = []
        self._settings = settings
        self._artifact_key = key_of(artifact)
        self._dimension = dimension
        self._per_ms = log(2) / (settings.half_life_days * MS_PER_DAY)
        crowds = settings.crowds_per_song
        self._pairs = _Pairs(crowds)
        self._rows: dict[str, int] = {}
        self.samples, self.published, self.at_ms = np.zeros((3, 0), np.int64)
        self.used, self.listeners = np.zeros((2, 0), np.int64)  # how many places of the columns below are taken
        self.masses = np.zeros((0, crowds))
        self.means = np.zeros((0, crowds, dimension), np.float32)
        self.dots = np.zeros((0, crowds, crowds))  # of the means, always as `np.vecdot` has them
        self.keys = np.zeros((0, settings.listeners_per_song), np.uint64)
        self.kept = np.zeros((0, settings.listeners_per_song))  # each listener's highest draw; -inf: an empty place
        self.lowest = np.zeros(0)  # of `kept`, without which a draw changes nothing

    def __len__(self) -> int:
        return len(self.song_ids)

    def rows(self, song_ids: list[str]) -> Rows:
        """Songs that are new get a row."""
        rows = np.array([self._row(song_id) for song_id in song_ids], dtype=np.int64)
        if len(self) > len(self.samples):
            self._room(max(64, len(self) * 3 // 2))
        return rows

    def rows_known(self, song_ids: list[str]) -> list[int | None]:
        """None: nothing of the song was ever folded."""
        return [self._rows.get(song_id) for song_id in song_ids]

    def draws(self, keys: Keys, played_ms: Times, strengths: Floats) -> Doubles:
        """How strongly each play speaks for keeping its listener in the sample."""
        units = np.maximum(unit_draws(DRAW, keys, played_ms.view(np.uint64)), 2.0**-60)
        drawn: Doubles = np.log(strengths.astype(np.float64)) + self._per_ms * played_ms - np.log(-np.log(units))
        return drawn

    def fold(
        self, rows: Rows, keys: Keys, draws: Doubles, played_ms: Times, embeddings: Doubles, strengths: Floats
    ) -> None:
        """One sample for each of these songs, all different. Unit embeddings, strengths above 0."""
        self._fold_crowds(rows, played_ms, embeddings, strengths)
        self._fold_listeners(rows, keys, draws)
        self.samples[rows] += 1

    def is_due(self, rows: Rows) -> NDArray[np.bool_]:
        """Whether the song's last sample makes it turn warm, or the crowds last published too old."""
        samples, published = self.samples[rows], self.published[rows]
        warm = self.listeners[rows] >= self._settings.warm_at_listeners
        return np.where(published == 0, warm, samples >= published + np.clip(samples // 8, 8, 64))

    def publish(self, row: int) -> SongCrowds:
        self.published[row] = self.samples[row]
        used = int(self.used[row])
        return song_crowds(
            self.song_ids[row],
            self.artifact,
            samples=int(self.samples[row]),
            listeners=int(self.listeners[row]),
            means=self.means[row, :used],
            masses=self.masses[row, :used],
            at_ms=int(self.at_ms[row]),
        )

    def forget(self, keys: Keys) -> Rows:
        """Take these listeners out of every sample; the songs that had one. 100,000 songs: 0.1 s."""
        at = slice(0, len(self))
        wanted = np.unique(keys)
        if len(wanted) == 0:
            return np.zeros(0, np.int64)
        nearest = np.minimum(np.searchsorted(wanted, self.keys[at]), len(wanted) - 1)
        theirs = (wanted[nearest] == self.keys[at]) & (self.kept[at] > -inf)
        rows = np.flatnonzero(theirs.any(axis=1))
        for row in rows:
            stay = np.flatnonzero(~theirs[row] & (self.kept[row] > -inf))
            for column, nothing in ((self.keys, 0), (self.kept, -inf)):
                column[row, : len(stay)] = column[row, stay]
                column[row, len(stay) :] = nothing
            self.listeners[row], self.lowest[row] = len(stay), -inf
        return rows

    def pack(self, rows: Rows) -> list[bytes]:
        """Column by column for all of them, then cut: 1 us a song."""
        crowds, places = self.masses.shape[1], self.keys.shape[1]
        heads = np.zeros(len(rows), HEAD)
        heads["version"], heads["dimension"], heads["artifact"] = VERSION, self._dimension, self._artifact_key
        heads["crowds"], heads["listeners"] = self.used[rows], self.listeners[rows]
        heads["samples"], heads["published"], heads["at_ms"] = (
            self.samples[rows],
            self.published[rows],
            self.at_ms[rows],
        )
        columns = (heads, self.masses[rows], self.kept[rows], self.keys[rows], self.means[rows])
        head, masses, kept, keys, means = (column.tobytes() for column in columns)
        packed = []
        for n, (used, listeners) in enumerate(
            zip(self.used[rows].tolist(), self.listeners[rows].tolist(), strict=True)
        ):
            h, m, k, v = n * HEAD.itemsize, n * crowds * 8, n * places * 8, n * crowds * self._dimension * 4
            packed.append(
                head[h : h + HEAD.itemsize]
                + masses[m : m + used * 8]
                + kept[k : k + listeners * 8]
                + keys[k : k + listeners * 8]
                + means[v : v + used * self._dimension * 4]
            )
        return packed

    def unpack(self, song_id: str, packed: bytes) -> None:
        """The song as it was packed; of another artifact only the count of its samples, which never goes back.

        Where the settings have become smaller, the heaviest crowds and the listeners with the highest draws stay.
        """
        if len(packed) < HEAD.itemsize or packed[0] != VERSION:
            raise StoreDamaged(
                f"the audience of {song_id} is not of version {VERSION}; rebuild the store from the topic"
            )
        _, used, listeners, dimension, artifact_key, samples, published, at_ms = READ_HEAD.unpack_from(packed)
        if len(packed) != HEAD.itemsize + 8 * used + 16 * listeners + 4 * used * dimension:
            raise StoreDamaged(f"the audience of {song_id} is cut off; rebuild the store from the topic")
        row = self._row(song_id)
        if row >= len(self.samples):
            self._room(max(64, row * 3 // 2))
        self.samples[row] = samples
        if (artifact_key, dimension) != (self._artifact_key, self._dimension):
            return
        masses = np.frombuffer(packed, "<f8", used, HEAD.itemsize)
        kept = np.frombuffer(packed, "<f8", listeners, HEAD.itemsize + 8 * used)
        keys = np.frombuffer(packed, "<u8", listeners, HEAD.itemsize + 8 * (used + listeners))
        means = np.frombuffer(packed, "<f4", used * dimension, HEAD.itemsize + 8 * (used + 2 * listeners))
        means = means.reshape(used, dimension)
        if listeners > self.keys.shape[1]:
            highest = _highest(kept, self.keys.shape[1])
            kept, keys, listeners = kept[highest], keys[highest], len(highest)
        if used > self.masses.shape[1]:
            heaviest = _highest(masses, self.masses.shape[1])
            masses, means, used = masses[heaviest], means[heaviest], len(heaviest)
        self.published[row], self.at_ms[row] = published, at_ms
        self.used[row], self.listeners[row] = used, listeners
        self.masses[row, :used] = masses
        self.kept[row, :listeners], self.keys[row, :listeners] = kept, keys
        self.lowest[row] = self.kept[row].min()
        self.means[row, :used] = means
        wide = means.astype(np.float64)
        self.dots[row, :used, :used] = np.vecdot(wide[:, None], wide)

    def _row(self, song_id: str) -> int:
        row = self._rows.setdefault(song_id, len(self._rows))
        if row == len(self.song_ids):
            self.song_ids.append(song_id)
        return row

    def _fold_crowds(self, rows: Rows, played_ms: Times, embeddings: Doubles, strengths: Floats) -> None:
        n, crowds = len(rows), self.masses.shape[1]
        before, used, pairs = self.at_ms[rows], self.used[rows], self._pairs
        now = np.maximum(before, played_ms)
        masses = np.empty((n, crowds + 1))  # the last one is the sample
        masses[:, :crowds] = self.masses[rows] * np.exp(self._per_ms * (before - now))[:, None]
        masses[:, crowds] = strengths * np.exp(self._per_ms * (played_ms - now))
        np.maximum(masses, pairs.floor[used], out=masses)
        means = self.means[rows].astype(np.float64)  # (n, K, D)
        dots = np.empty((n, crowds + 1, crowds + 1))
        dots[:, :crowds, :crowds] = self.dots[rows]
        dots[:, crowds, :crowds] = dots[:, :crowds, crowds] = np.vecdot(means, embeddings[:, None])
        dots[:, crowds, crowds] = np.vecdot(embeddings, embeddings)
        a, b = pairs.cheapest(masses, dots.reshape(n, -1), used)

        one_each, freed = np.arange(n), np.flatnonzero(b < crowds)
        other = embeddings
        if len(freed):  # two crowds become one, and the sample takes the other's place
            other = embeddings.copy()
            other[freed], means[freed, b[freed]] = means[freed, b[freed]], embeddings[freed]
            dots[freed, b[freed], :crowds] = dots[freed, :crowds, b[freed]] = dots[freed, crowds, :crowds]
            dots[freed, b[freed], b[freed]] = dots[freed, crowds, crowds]
            self.means[rows[freed], b[freed]] = embeddings[freed]
        weight = masses[one_each, b]
        masses[one_each, a] += weight
        masses[freed, b[freed]] = masses[freed, crowds]
        share = (weight / masses[one_each, a])[:, None]
        mean = means[one_each, a]
        self.means[rows, a] = union = (mean + share * (other - mean)).astype(np.float32)
        means[one_each, a] = wide = union.astype(np.float64)
        dots[one_each, a, :crowds] = dots[one_each, :crowds, a] = np.vecdot(means, wide[:, None])

        self.masses[rows] = masses[:, :crowds]
        self.dots[rows] = dots[:, :crowds, :crowds]
        self.used[rows] = np.minimum(used + 1, crowds)
        self.at_ms[rows] = now

    def _fold_listeners(self, rows: Rows, keys: Keys, draws: Doubles) -> None:
        heard = np.flatnonzero(draws > self.lowest[rows])
        if len(heard) == 0:
            return
        rows, keys, draws = rows[heard], keys[heard], draws[heard]
        kept, listeners, most = self.kept[rows], self.listeners[rows], self.keys.shape[1]
        same = (self.keys[rows] == keys[:, None]) & (kept > -inf)
        known = same.any(axis=1)
        place = np.where(known, same.argmax(axis=1), np.where(listeners < most, listeners, kept.argmin(axis=1)))
        one_each = np.arange(len(rows))
        kept[one_each, place] = np.maximum(kept[one_each, place], draws)
        self.keys[rows, place] = keys
        self.kept[rows, place] = kept[one_each, place]
        self.lowest[rows] = kept.min(axis=1)  # -inf while there is room
        self.listeners[rows] = np.where(known, listeners, np.minimum(listeners + 1, most))

    def _room(self, songs: int) -> None:
        self.samples, self.published = _longer(self.samples, songs), _longer(self.published, songs)
        self.at_ms, self.used, self.listeners = (
            _longer(self.at_ms, songs), _longer(self.used, songs), _longer(self.listeners, songs)
        )  # fmt: skip
        self.masses, self.means = _longer(self.masses, songs), _longer(self.means, songs)
        self.dots = _longer(self.dots, songs)
        self.keys, self.kept = _longer(self.keys, songs), _longer(self.kept, songs, -inf)
        self.lowest = _longer(self.lowest, songs, -inf)


def song_crowds(
    song_id: str, artifact: str, *, samples: int, listeners: int, means: Floats, masses: Doubles, at_ms: int
) -> SongCrowds:
    """As it is published."""
    wide = means.astype(np.float64)
    lengths = np.sqrt(np.einsum("kd,kd->k", wide, wide))
    clear = lengths > 1e-6  # a crowd of opposites points nowhere
    return SongCrowds(
        song_id=song_id,
        artifact=artifact,
        samples=samples,
        listeners=listeners,
        centroids=(wide[clear] / lengths[clear, None]).astype("<f4").tobytes(),
        masses=masses[clear].astype("<f4").tobytes(),
        at_ms=at_ms,
    )


class _Pairs:
    """Every pair of K crowds and the sample, P in all, and what a song with c crowds makes of them."""

    def __init__(self, crowds: int) -> None:
        places = np.arange(crowds + 1)
        self.first, self.second = np.triu_indices(crowds + 1, k=1)
        self.itself = places * (crowds + 2)  # in the table of products, row by row
        self.across = self.first * (crowds + 1) + self.second
        self.both = np.zeros((crowds + 1, len(self.first)))  # x @ both: x of the first and of the second, added
        self.both[self.first, np.arange(len(self.first))] = 1
        self.both[self.second, np.arange(len(self.first))] = 1
        exists = (places < places[:, None]) | (places == crowds)  # [c, place]
        self.floor = np.where(exists, TINY, 0.0)
        self.allowed = np.where(exists[:, self.first] & exists[:, self.second], 0.0, inf)  # [c, pair]
        for c in range(crowds):  # the sample goes to the first empty place before anything is merged
            self.allowed[c, (self.first == c) & (self.second == crowds)] = -inf

    def cheapest(self, masses: Doubles, dots: Doubles, used: Rows) -> tuple[Rows, Rows]:
        """The pair of each song whose union loses least: |m r| is m |r|, and products of r are all that it takes.

        masses (n, K + 1), products row by row (n, (K + 1)²).
        """
        squares = masses * masses * dots[:, self.itself]  # (n, K + 1)
        crossed = masses[:, self.first] * masses[:, self.second] * dots[:, self.across]  # (n, P)
        union = squares @ self.both + 2 * crossed
        loss = np.sqrt(squares) @ self.both - np.sqrt(np.maximum(union, 0.0))
        pair = (np.rint(loss * QUANTUM) + self.allowed[used]).argmin(axis=1)
        return self.first[pair], self.second[pair]


def rounds(rows: Rows, at_most: int = SAMPLES_AT_ONCE) -> Iterator[Rows]:
    """Which samples can be folded together: of some songs each one's first, each one's second, ...; then of others.

    Songs with equally many samples are together: their rounds are full, and what they read stays in the cache.
    """
    if len(rows) == 0:
        return
    by_song = _stable_order(rows)
    starts = np.flatnonzero(np.diff(rows[by_song], prepend=-1))
    lengths = np.diff(starts, append=len(rows))
    most_first = np.argsort(-lengths, kind="stable")
    for n in range(0, len(starts), at_most):
        some = most_first[n : n + at_most]
        first, still = starts[some], lengths[some]
        for nth in range(int(still[0])):
            yield by_song[first[: np.searchsorted(-still, -nth)] + nth]


def _stable_order(numbers: Rows) -> Rows:
    small = numbers.astype(np.uint16) if numbers.max() < 1 << 16 else numbers  # by radix: a fifth of the time
    return np.argsort(small, kind="stable")


def _highest(values: Doubles, count: int) -> Rows:
    """Where they stand, in the order in which they stand."""
    return np.sort(np.argsort(-values, kind="stable")[:count])


def _longer(column: NDArray[Number], songs: int, nothing: float = 0) -> NDArray[Number]:
    shape = (songs, *column.shape[1:])
    longer = np.full(shape, nothing, column.dtype) if nothing else np.zeros(shape, column.dtype)  # cost when used
    longer[: len(column)] = column
    return longer
