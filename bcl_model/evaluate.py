"""Comparison of models and simple rivals on songs held out from a data folder: one protocol, one split for all.

Every method says how similar each cold song is to each warm one, and three questions are asked of that:

    song -> songs          are the nearest warm songs the true neighbours (ItemCF over all plays)?  recall, NDCG
    listener -> songs      of all cold songs, are those ranked first the ones that the listener played?  recall, NDCG
    song -> listeners      of the listeners chosen at a fixed budget, how many played the song?  precision

A listener and a cold song fit as far as the listener heard the song's nearest warm songs, weighted by similarity. The
plays of cold songs are used to judge and for nothing else. Values are means over seeds with 95 % intervals; differences
are paired by seed.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import sparse, stats

from bcl_model.errors import BadData
from bcl_model.fields import NONE, UNKNOWN, Content, Fields
from bcl_model.inference import SongEncoder
from bcl_model.pairs import Interactions, Pairs, item_cf
from bcl_model.settings import PairSettings, Similarity, TrainSettings

Ints = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

AT = 50
NEIGHBOURS = 50  # warm songs through which a cold song reaches listeners
LISTENERS = 6_000  # asked at most
TRUTH = PairSettings(per_song=AT)


@dataclass(frozen=True)
class Trial:
    """One split of a catalogue. What a method may see: all contents, and the plays of warm songs."""

    contents: Sequence[Content]
    fields: Fields
    warm: Ints
    cold: Ints
    known: Interactions  # plays of warm songs
    hidden: Interactions  # plays of cold songs
    truth: Pairs  # from cold to warm songs
    seed: int


Method = Callable[[Trial], Doubles]  # -> (cold, warm)


def trial_of(
    contents: Sequence[Content],
    interactions: Interactions,
    fields: Fields,
    *,
    by: str = "song",
    share: float = 0.1,
    seed: int = 1,
) -> Trial:
    """Hold out songs, or all songs that share a token of the field `by`."""
    rng = np.random.default_rng([seed, 0xC01D])
    if by == "song":
        is_cold = np.zeros(len(contents), dtype=bool)
        is_cold[rng.permutation(len(contents))[: int(share * len(contents))]] = True
    else:
        values = [str(content.attributes.get(by, f"\0{n}")) for n, content in enumerate(contents)]
        names, groups = np.unique(values, return_inverse=True)
        is_cold = np.isin(groups, rng.permutation(len(names))[: int(share * len(names))])
    if not is_cold.any() or is_cold.all():
        raise BadData(f"holding out {share:.0%} of {len(contents)} songs by {by!r} leaves nothing on one side")
    truth = item_cf(interactions, len(contents), replace(TRUTH, per_song=4 * AT), only=is_cold)
    to_warm = ~is_cold[truth.similar]
    truth = Pairs(truth.songs[to_warm], truth.similar[to_warm], truth.scores[to_warm])
    first = np.arange(len(truth)) - np.searchsorted(truth.songs, truth.songs) < AT
    return Trial(
        contents,
        fields,
        np.flatnonzero(~is_cold),
        np.flatnonzero(is_cold),
        interactions.of_songs(~is_cold),
        interactions.of_songs(is_cold),
        Pairs(truth.songs[first], truth.similar[first], truth.scores[first]),
        seed,
    )


def at_random(trial: Trial) -> Doubles:
    return np.random.default_rng([trial.seed, 0x4A4D]).random((len(trial.cold), len(trial.warm)))


def popularity(trial: Trial) -> Doubles:
    plays = np.bincount(trial.known.songs, minlength=len(trial.contents))[trial.warm]
    return np.broadcast_to(plays / max(plays.max(), 1), (len(trial.cold), len(trial.warm))).copy()


def content_neighbours(trial: Trial) -> Doubles:
    """The mean over fields of the cosine of what two songs say, rare words counting more; absent fields are far."""
    return _content_similarity(trial, [one.name for one in trial.fields.fields])


def same(field: str) -> Method:
    """Songs that share a word of one field, as an artist's other songs do."""
    return lambda trial: _content_similarity(trial, [field])


def trained(settings: TrainSettings) -> Method:
    """A model trained on the warm songs; compared as it was trained to be."""

    def similarities(trial: Trial) -> Doubles:
        from bcl_model.train import train  # rivals need no torch

        held_out = np.zeros(len(trial.contents), dtype=bool)
        held_out[trial.cold] = True
        own = replace(settings, run=replace(settings.run, seed=trial.seed))
        encoder = SongEncoder(train(trial.contents, trial.known, own, trial.fields, held_out=held_out))
        contents = trial.contents
        if settings.ranking.similarity is Similarity.DOT:
            vectors = encoder.represent(contents)
        else:
            vectors = encoder.embed(contents).astype(np.float64)
        compared: Doubles = vectors[trial.cold] @ vectors[trial.warm].T
        return compared

    return similarities


def _content_similarity(trial: Trial, names: Sequence[str]) -> Doubles:
    fields = trial.fields.learned([trial.contents[song] for song in trial.warm])
    encoded = fields.encode(trial.contents)
    total = np.zeros((len(trial.cold), len(trial.warm)))
    for name in names:
        if name in encoded.words:
            rows = _weighted_words(encoded.words[name], len(fields.words[name]) + 1)
            total += (rows[trial.cold] @ rows[trial.warm].T).toarray()
        elif name in encoded.values:
            values = encoded.values[name].astype(np.float64)
            total += values[trial.cold] @ values[trial.warm].T
        else:
            raise BadData(f"there is no field {name!r}; there are {', '.join(one.name for one in fields.fields)}")
    return total / len(names)


def _weighted_words(words: npt.NDArray[np.int32], count: int) -> sparse.csr_array:
    """Unit rows of inverse document frequencies; the unknown word says nothing."""
    songs, column = np.nonzero((words != NONE) & (words != UNKNOWN))
    word = words[songs, column]
    weight = np.log(len(words) / np.maximum(np.bincount(word, minlength=count), 1)) + 1
    rows = sparse.csr_array((weight[word], (songs, word)), shape=(len(words), count))
    lengths = np.sqrt((rows * rows).sum(axis=1))
    unit: sparse.csr_array = (sparse.diags_array(1 / np.where(lengths == 0, 1, lengths)) @ rows).tocsr()
    return unit


def judged(trial: Trial, similarity: Doubles, budget: int = 100) -> dict[str, float]:
    """The three questions, asked of one method."""
    to_songs = _song_to_songs(trial, similarity)
    fit = _fit(trial, similarity)  # (listeners, cold)
    return to_songs | _listener_to_songs(trial, fit) | _song_to_listeners(trial, fit, budget)


def _song_to_songs(trial: Trial, similarity: Doubles) -> dict[str, float]:
    is_true = np.zeros(similarity.shape, dtype=bool)
    is_true[np.searchsorted(trial.cold, trial.truth.songs), np.searchsorted(trial.warm, trial.truth.similar)] = True
    asked = is_true.any(axis=1)
    recall, ndcg = ranked_well(similarity[asked], is_true[asked], AT)
    return {f"song_to_songs_recall_at_{AT}": recall, f"song_to_songs_ndcg_at_{AT}": ndcg}


def _fit(trial: Trial, similarity: Doubles) -> Doubles:
    count = min(NEIGHBOURS, similarity.shape[1])
    nearest = np.argpartition(-similarity, count - 1, axis=1)[:, :count]
    weight = np.maximum(np.take_along_axis(similarity, nearest, axis=1), 0.0)
    rows = np.repeat(np.arange(len(nearest)), count)
    near = sparse.csr_array((weight.ravel(), (rows, nearest.ravel())), shape=similarity.shape)
    heard = _heard(trial.known, trial.warm, _listeners(trial))
    fit: Doubles = (heard.astype(np.float32) @ near.T.astype(np.float32)).toarray()
    return fit


def _listeners(trial: Trial) -> int:
    return int(max(trial.known.listeners.max(initial=-1), trial.hidden.listeners.max(initial=-1))) + 1


def _heard(plays: Interactions, songs: Ints, listeners: int) -> sparse.csr_array:
    """(listeners, songs) of 0 and 1."""
    place = np.searchsorted(songs, plays.songs)
    heard = sparse.csr_array((np.ones(len(place)), (plays.listeners, place)), shape=(listeners, len(songs)))
    heard.sum_duplicates()
    heard.data[:] = 1.0
    return heard


def _listener_to_songs(trial: Trial, fit: Doubles) -> dict[str, float]:
    played = _heard(trial.hidden, trial.cold, len(fit))
    asked = np.flatnonzero(np.diff(played.indptr))
    if len(asked) > LISTENERS:
        asked = np.sort(np.random.default_rng([trial.seed, 0x1157]).choice(asked, LISTENERS, replace=False))
    recall, ndcg = ranked_well(fit[asked], played[asked].toarray() > 0, AT)
    return {f"listener_to_songs_recall_at_{AT}": recall, f"listener_to_songs_ndcg_at_{AT}": ndcg}


def _song_to_listeners(trial: Trial, fit: Doubles, budget: int) -> dict[str, float]:
    played = _heard(trial.hidden, trial.cold, len(fit)).tocsc()
    precisions = []
    for song in np.flatnonzero(np.diff(played.indptr)):
        best = np.argsort(-fit[:, song], kind="stable")[:budget]
        fans = played.indices[played.indptr[song] : played.indptr[song + 1]]
        precisions.append(np.isin(best, fans).mean())
    return {f"song_to_listeners_precision_at_{budget}": float(np.mean(precisions)) if precisions else 0.0}


def ranked_well(scores: Doubles, is_true: Bools, at: int) -> tuple[float, float]:
    """Mean recall (hits / min(true, at)) and NDCG over rows; of equal scores the earlier column is first."""
    if not len(scores):
        return 0.0, 0.0
    best = np.argsort(-scores, axis=1, kind="stable")[:, :at]
    hits = np.take_along_axis(is_true, best, axis=1)
    possible = np.minimum(is_true.sum(axis=1), at)
    gain = 1 / np.log2(np.arange(2, at + 2))
    ideal = np.cumsum(gain)[possible - 1]
    return float((hits.sum(axis=1) / possible).mean()), float(
        ((hits * gain[: hits.shape[1]]).sum(axis=1) / ideal).mean()
    )


@dataclass(frozen=True)
class Estimate:
    mean: float
    low: float  # 95 %, over seeds
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Estimate":
        mean = float(np.mean(values))
        if len(values) < 2:
            return cls(mean, mean, mean)
        half = float(stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5)
        return cls(mean, mean - half, mean + half)


@dataclass(frozen=True)
class Compared:
    """method -> measure -> one value for each seed."""

    values: Mapping[str, Mapping[str, Sequence[float]]]

    def estimate(self, method: str, measure: str) -> Estimate:
        return Estimate.of(self.values[method][measure])

    def p_better(self, method: str, rival: str, measure: str) -> float | None:
        """One-sided paired t-test over seeds that the method is better; None with fewer than two seeds."""
        one, other = self.values[method][measure], self.values[rival][measure]
        if len(one) < 2:
            return None
        if np.array_equal(one, other):
            return 1.0
        return float(stats.ttest_rel(one, other, alternative="greater").pvalue)


def compare(trials: Iterator[Trial], methods: Mapping[str, Method], budget: int = 100) -> Compared:
    values: dict[str, dict[str, list[float]]] = {name: {} for name in methods}
    for trial in trials:
        for name, method in methods.items():
            for measure, value in judged(trial, method(trial), budget).items():
                values[name].setdefault(measure, []).append(value)
    return Compared(values)
