"""Which songs are similar by behaviour: ItemCF pairs, and the posterior check that keeps the good ones.

    s_ij = [ sum over listeners u of both songs of 1 / log(1 + |songs of u|) ] / sqrt( |audience of i| |audience of j| )

The pairs are FOUND (the company's talk); the formula and its thresholds are our reconstruction. Of each song the
`per_song` best are kept, ties by song. Plays are counted once for each listener and song.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from bcl_model.remembered import remembered
from bcl_model.settings import PairSettings

Ints = npt.NDArray[np.int64]

SONGS_AT_ONCE = 1024  # bounds the memory of the co-occurrence counts


@dataclass(frozen=True)
class Interactions:
    """Which listener played which song; columns of equal length, in any order."""

    listeners: Ints
    songs: Ints

    def __post_init__(self) -> None:
        if self.listeners.shape != self.songs.shape or self.listeners.ndim != 1:
            raise ValueError(f"columns of shapes {self.listeners.shape} and {self.songs.shape}, wanted one length")

    def of_songs(self, chosen: npt.NDArray[np.bool_]) -> "Interactions":
        keep = chosen[self.songs]
        return Interactions(self.listeners[keep], self.songs[keep])


@dataclass(frozen=True)
class Pairs:
    """Columns of equal length: `similar` is one of the best partners of `songs`; best first within a song."""

    songs: Ints
    similar: Ints
    scores: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.songs)


@dataclass(frozen=True)
class Impressions:
    """What came of showing one song after another: columns of equal length."""

    after: Ints
    shown: Ints
    good: npt.NDArray[np.bool_]


def item_cf(
    interactions: Interactions, songs: int, settings: PairSettings, *, only: npt.NDArray[np.bool_] | None = None
) -> Pairs:
    """The best partners of every song, or of `only` some."""
    listeners = int(interactions.listeners.max(initial=-1)) + 1
    heard = sparse.csr_array(
        (np.ones(len(interactions.songs)), (interactions.listeners, interactions.songs)), shape=(listeners, songs)
    )
    heard.sum_duplicates()
    heard.data[:] = 1.0  # a song played twice is heard once
    weight = 1.0 / np.log1p(np.maximum(np.diff(heard.indptr), 1))
    audience = np.maximum(np.bincount(heard.indices, minlength=songs), 1)
    weighted = (sparse.diags_array(weight) @ heard).tocsr()
    by_song = heard.T.tocsr()  # (songs, listeners)
    wanted = np.arange(songs) if only is None else np.flatnonzero(only)
    found: list[Pairs] = []
    for start in range(0, len(wanted), SONGS_AT_ONCE):
        rows = wanted[start : start + SONGS_AT_ONCE]
        both = (by_song[rows] @ heard).tocsr()
        score = (by_song[rows] @ weighted).tocsr()
        both.sort_indices()
        score.sort_indices()  # the same places as in `both`: all terms are positive, none cancels
        song = rows[np.repeat(np.arange(len(rows)), np.diff(both.indptr))]
        other = both.indices.astype(np.int64)
        keep = (other != song) & (both.data >= settings.min_common)
        song, other, shared = song[keep], other[keep], score.data[keep]
        found.append(_best(song, other, shared / np.sqrt(audience[song] * audience[other]), settings.per_song))
    return Pairs(
        np.concatenate([np.empty(0, np.int64), *(one.songs for one in found)]),
        np.concatenate([np.empty(0, np.int64), *(one.similar for one in found)]),
        np.concatenate([np.empty(0), *(one.scores for one in found)]),
    )


@remembered(4)
def partners_of(heard: sparse.csr_array, settings: PairSettings) -> sparse.csr_array:
    """(songs, songs), from (listeners, songs): row v, column w is what hearing v says of w; the best v of each w."""
    listeners, songs = (places.astype(np.int64) for places in heard.tocoo().coords)
    size = heard.shape[1]
    pairs = item_cf(Interactions(listeners, songs), size, settings)
    return sparse.csr_array((pairs.scores.astype(np.float32), (pairs.similar, pairs.songs)), shape=(size, size))


def _best(songs: Ints, others: Ints, scores: npt.NDArray[np.float64], most: int) -> Pairs:
    order = np.lexsort((others, -scores, songs))
    songs, others, scores = songs[order], others[order], scores[order]
    rank = np.arange(len(songs)) - np.searchsorted(songs, songs)  # within its song
    keep = rank < most
    return Pairs(songs[keep], others[keep], scores[keep])


def posterior_check(pairs: Pairs, impressions: Impressions, songs: int, settings: PairSettings) -> Pairs:
    """Keep a pair (i, j) only if j, shown after i, earned good feedback later.

    Judged are pairs with enough impressions; of these the ones at or above a quantile of the good-feedback rate stay.
    """
    if settings.min_good_rate <= 0:
        return pairs
    shown, where = np.unique(impressions.after * songs + impressions.shown, return_inverse=True)
    times = np.bincount(where, minlength=len(shown))
    good = np.bincount(where, weights=impressions.good, minlength=len(shown))
    keys = pairs.songs * songs + pairs.similar
    at = np.minimum(np.searchsorted(shown, keys), max(len(shown) - 1, 0))
    known = np.zeros(len(keys), dtype=bool) if len(shown) == 0 else shown[at] == keys
    judged = known.copy()
    judged[known] = times[at[known]] >= settings.min_impressions
    keep = np.full(len(keys), settings.keep_unjudged)
    if judged.any():
        rates = good[at[judged]] / times[at[judged]]
        keep[judged] = rates >= np.quantile(rates, settings.min_good_rate)
    return Pairs(pairs.songs[keep], pairs.similar[keep], pairs.scores[keep])
