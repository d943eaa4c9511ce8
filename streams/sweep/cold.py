"""How good a model's embeddings of unheard songs are: their true neighbours, and whom they lead to.

Releases have no plays, so a model knows them by their content alone; who would like them, or did, is the truth. Their
true neighbours are the songs with which their fans' listening overlaps most: ItemCF between
the fans of a release and the listeners of a song. L listeners, R releases, N songs of the catalogue.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from bcl_model.inference import SongEncoder
from bcl_model.pairs import Interactions, Pairs, item_cf
from bcl_model.settings import PairSettings
from streams.replay import rivals
from streams.sweep.past import Ints, Past, units
from streams.sweep.sources import Fresh

Doubles: TypeAlias = npt.NDArray[np.float64]

AT = 50
DECILES = 10
TRUE = PairSettings(per_song=AT)


@dataclass(frozen=True)
class Cold:
    """The truth of some releases."""

    past: Past
    releases: Sequence[Fresh]
    neighbours: Pairs  # releases by number from 0 -> songs of the catalogue, best first
    deciles: Ints  # of each true neighbour, 0 the least played: as many true neighbours in each
    budget: int

    @classmethod
    def of(cls, past: Past, releases: Sequence[Fresh], budget: int) -> "Cold":
        fans = [release.known.fans for release in releases]
        neighbours = true_neighbours(past.interactions, fans, len(past.songs))
        plays = past.listeners_of_songs[neighbours.similar]
        rank = np.empty(len(plays), dtype=np.int64)
        rank[np.argsort(plays, kind="stable")] = np.arange(len(plays))
        return cls(past, releases, neighbours, rank * DECILES // max(len(plays), 1), budget)

    def judged(self, encoder: SongEncoder) -> dict[str, float]:
        """Recall of the true neighbours, overall and by decile, and precision of targets in two ways."""
        songs = encoder.embed(self.past.songs.contents)
        fresh = encoder.embed([release.content for release in self.releases])
        similarity = (fresh @ songs.T).astype(np.float64)
        nearest = np.stack([rivals.best(row, AT) for row in similarity])
        listeners = units(self.past.rings.sums(songs))
        own = [self._worth(n, rivals.own_vector(listeners, one)) for n, one in enumerate(fresh)]
        counted = [self._worth(n, self._counted(near, similarity[n, near])) for n, near in enumerate(nearest)]
        return recalls(self.neighbours, self.deciles, nearest) | {
            "precision_by_neighbours": float(np.mean(counted)),
            "precision_by_song": float(np.mean(own)),
        }

    def _counted(self, near: Ints, similarity: Doubles) -> npt.NDArray[np.floating]:
        there = self.past.rings
        return rivals.weighted_count(there.songs, there.weights, near, similarity, len(self.past.songs))

    def _worth(self, release: int, scores: npt.NDArray[np.floating]) -> float:
        return float(self.releases[release].known.worth[rivals.best(scores, self.budget)].sum()) / self.budget


def true_neighbours(plays: Interactions, fans: list[npt.NDArray[np.bool_]], songs: int) -> Pairs:
    """Of each release the songs whose listeners its fans are, as if every fan had played it."""
    liking = [np.flatnonzero(one) for one in fans]
    rows = np.repeat(songs + np.arange(len(fans)), [len(one) for one in liking])
    every = Interactions(
        np.concatenate([plays.listeners, *liking]), np.concatenate([plays.songs, rows.astype(np.int64)])
    )
    is_release = np.arange(songs + len(fans)) >= songs
    found = item_cf(every, songs + len(fans), PairSettings(per_song=AT + len(fans)), only=is_release)
    to_song = found.similar < songs
    found = Pairs(found.songs[to_song] - songs, found.similar[to_song], found.scores[to_song])
    first = np.arange(len(found)) - np.searchsorted(found.songs, found.songs) < AT
    return Pairs(found.songs[first], found.similar[first], found.scores[first])


def recalls(truth: Pairs, deciles: Ints, nearest: Ints) -> dict[str, float]:
    """Recall@50 as the mean over releases; by decile as the share of all true neighbours in it that are found."""
    songs = int(max(truth.similar.max(initial=-1), nearest.max(initial=-1))) + 1
    rows = np.repeat(np.arange(len(nearest)), nearest.shape[1])
    is_found = np.isin(truth.songs * songs + truth.similar, rows * songs + nearest.ravel())
    wanted = np.bincount(truth.songs, minlength=len(nearest))
    hits = np.bincount(truth.songs, is_found, minlength=len(nearest))
    has = wanted > 0
    overall = float((hits[has] / wanted[has]).mean()) if has.any() else 0.0
    by_decile = {
        f"recall_in_decile_{decile + 1}": float(is_found[deciles == decile].mean())
        for decile in range(DECILES)
        if (deciles == decile).any()
    }
    return {"recall": overall, **by_decile}
