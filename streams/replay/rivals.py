"""The simple choices that CAT has to answer to: each scores all listeners for one release, in plain NumPy.

L listeners, K plays in a ring, D dimensions, N songs, P crowds of the neighbours.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from streams.audience import rings as ring
from streams.audience.audience import Audience
from streams.contracts.ids import keys_of, seed_of, unit_draws
from streams.contracts.queries import AudienceQuery

NAMES = ("random", "popularity", "weighted_count")  # of a replay

Floats: TypeAlias = npt.NDArray[np.floating[Any]]
Ints: TypeAlias = npt.NDArray[np.integer[Any]]


def weighted_count(rings: Ints, strengths: Floats, neighbours: Ints, similarities: Floats, songs: int) -> Floats:
    """w_u = sum over neighbours j of sim(release, j) · strength(u, j). `rings` (L, K) song rows, -1 where empty."""
    similarity = np.zeros(songs + 1)  # the last one is the empty place
    similarity[neighbours] = np.maximum(similarities, 0)
    score: Floats = (similarity[rings] * strengths).sum(axis=1)
    return score


def single_mean(embeddings: Floats, centroids: Floats, masses: Floats) -> Floats:
    """Cosine to the one mean vector of the neighbours' crowds."""
    mean = masses @ centroids  # (P,) @ (P, D) -> (D,)
    return embeddings @ (mean / max(float(np.linalg.norm(mean)), 1e-12)).astype(embeddings.dtype)


def own_vector(embeddings: Floats, song: Floats) -> Floats:
    """Cosine to the release itself."""
    return embeddings @ song


def popularity(plays: Ints) -> Floats:
    """The busiest listeners, whatever the release."""
    return plays.astype(np.float64)


def at_random(listeners: int, seed: int) -> Floats:
    return np.random.default_rng(seed).random(listeners)


def best(scores: Floats, budget: int) -> npt.NDArray[np.int64]:
    """The highest, best first; of equal ones the first."""
    budget = min(budget, len(scores))
    if budget == 0:
        return np.zeros(0, dtype=np.int64)
    threshold = np.partition(scores, -budget)[-budget]
    near = np.flatnonzero(scores >= threshold)
    return near[np.argsort(-scores[near], kind="stable")[:budget]]


# In a replay, from the listeners of one partition


class Shortlist(NamedTuple):
    """Numbers of listeners, best first."""

    listeners: Ints
    scores: Floats


def scores(
    audience: Audience, who: Ints, query: AudienceQuery, plays: Ints, half_life_ms: float
) -> dict[str, npt.NDArray[np.float64]]:
    """What each rival thinks of the listeners in the slots `who`; `plays`: how often each of them has played so far."""
    return {
        "random": unit_draws(seed_of("random rival", query.query_id), audience.matrix.listener_keys[who]),
        "popularity": popularity(plays).astype(np.float64),
        "weighted_count": plays_of_neighbours(audience, who, query, half_life_ms).astype(np.float64),
    }


def plays_of_neighbours(audience: Audience, who: Ints, query: AudienceQuery, half_life_ms: float) -> Floats:
    """The weighted count, a play by its strength and by its age at the release. Who has played none costs little."""
    matrix, songs = audience.matrix, audience.songs
    rows = songs.rows_of_keys(keys_of([near.song_id for near in query.because]))
    similarities = np.array([near.similarity for near in query.because], np.float64)
    known = rows >= 0
    is_near = np.zeros(len(songs.song_ids) + 1, np.bool_)  # the last one is the empty place
    is_near[rows[known]] = True
    some = np.flatnonzero(is_near[matrix.song_rows[who]].any(axis=1))
    whens = matrix.rings[who[some], :, 0]
    age_ms = np.where(whens > 0, query.decided_ms - ring.played_ms(whens), 0)
    strengths = (whens & np.uint64(ring.MAX_STRENGTH)).astype(np.float64) * 2.0 ** (-age_ms / half_life_ms)
    count = np.zeros(len(who))
    count[some] = weighted_count(
        matrix.song_rows[who[some]], strengths, rows[known], similarities[known], len(songs.song_ids)
    )
    return count


def shortlist(numbers: Ints, keys: Ints, score: Floats, budget: int) -> Shortlist:
    """Ties by key. Where everybody scores the same nothing was chosen."""
    if len(score) == 0 or float(score.min()) == float(score.max()):
        return Shortlist(numbers[:0], score[:0])
    near = (
        np.flatnonzero(score >= np.partition(score, -budget)[-budget]) if budget < len(score) else np.arange(len(score))
    )
    first = near[np.lexsort((keys[near], -score[near]))[:budget]]
    return Shortlist(numbers[first], score[first])


def merged(shortlists: Sequence[Shortlist], budget: int) -> Shortlist:
    listeners = np.concatenate([np.zeros(0, np.int64), *(one.listeners for one in shortlists)])
    score = np.concatenate([np.zeros(0), *(one.scores for one in shortlists)])
    first = np.argsort(-score, kind="stable")[:budget]
    return Shortlist(listeners[first], score[first])
