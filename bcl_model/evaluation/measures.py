"""The three questions of the protocol, asked of one method in one split.

    song -> songs          are the nearest warm songs the true neighbours?         recall, NDCG at 50
    listener -> songs      are the cold songs ranked first those that it played?   recall, NDCG at 50
    song -> listeners      of a budget of listeners, how many played the song?     precision, recall at the budget

Rankings are full: all warm songs, all cold songs, all listeners. Equal scores are ranked by lot, the same for every
method. Recall at 50 is hits / min(true ones, 50); recall at the budget is hits / all listeners of the song.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from bcl_model.evaluation.answers import Answers, Scores, fits_of
from bcl_model.evaluation.trial import AT, Bools, Ints, Split, heard

Doubles = npt.NDArray[np.float64]
Keys = npt.NDArray[np.uint64]

BUDGET = 100  # listeners for each cold song
AT_ONCE = 512  # listeners; bounds the memory of fits
ROWS_AT_ONCE = 128  # of a ranking: so few stay where the processor finds them

SONG_TO_SONGS = (f"song_to_songs_recall_at_{AT}", f"song_to_songs_ndcg_at_{AT}")
LISTENER_TO_SONGS = (f"listener_to_songs_recall_at_{AT}", f"listener_to_songs_ndcg_at_{AT}")
FOUND = f"plays_found_at_{AT}"  # of a cold song's listeners, those whose first 50 hold it


def song_to_listeners(budget: int) -> tuple[str, str]:
    return f"song_to_listeners_precision_at_{budget}", f"song_to_listeners_recall_at_{budget}"


@dataclass(frozen=True)
class Judged:
    """A value for each one asked, NaN for who cannot be: measure -> (cold,), measure -> (listeners,)."""

    songs: Mapping[str, Doubles]
    listeners: Mapping[str, Doubles]

    def means(self) -> dict[str, float]:
        """Of the six measures; 0 where nobody could be asked."""
        every = {name: values for name, values in {**self.songs, **self.listeners}.items() if name != FOUND}
        return {name: mean_of(values) for name, values in every.items()}


def judged(split: Split, answers: Answers, budget: int = BUDGET) -> Judged:
    shape = (len(split.trial.cold), len(split.trial.warm))
    if answers.similarities.shape != shape:
        raise ValueError(f"similarities of shape {answers.similarities.shape}, wanted {shape}")
    near = _song_to_songs(split, answers.similarities)
    to_listeners, to_songs = _listeners_and_songs(split, answers, budget)
    return Judged(near | to_listeners, to_songs)


def _song_to_songs(split: Split, similarities: Scores) -> dict[str, Doubles]:
    trial, truth = split.trial, split.truth
    is_true = np.zeros(similarities.shape, dtype=bool)
    is_true[np.searchsorted(trial.cold, truth.songs), np.searchsorted(trial.warm, truth.similar)] = True
    lots = lots_of(len(trial.warm), trial.seed)
    hits = np.take_along_axis(is_true, first(similarities, AT, lots), axis=1)
    return dict(zip(SONG_TO_SONGS, recall_and_ndcg(hits, is_true.sum(axis=1), AT), strict=True))


def _listeners_and_songs(split: Split, answers: Answers, budget: int) -> tuple[dict[str, Doubles], dict[str, Doubles]]:
    """Both questions about listeners and cold songs, from one pass over the listeners."""
    trial = split.trial
    fits, played = fits_of(trial, answers), heard(split.hidden, trial.cold, trial.listeners)
    song_lots, listener_lots = lots_of(len(trial.cold), trial.seed), lots_of(trial.listeners, trial.seed)
    recall, ndcg = np.full((2, trial.listeners), np.nan)
    found = np.zeros(len(trial.cold))
    chosen = _Chosen(len(trial.cold), budget)
    for start in range(0, trial.listeners, AT_ONCE):
        listeners = np.arange(start, min(start + AT_ONCE, trial.listeners))
        fit = fits(listeners)  # (listeners, cold)
        chosen.add(keys_of(fit.T, listener_lots[listeners]), listeners)
        asked = np.flatnonzero(np.diff(played.indptr[start : listeners[-1] + 2]))
        is_true = played[listeners[asked]].toarray() > 0
        best = first(fit[asked], AT, song_lots)
        hits = np.take_along_axis(is_true, best, axis=1)
        recall[listeners[asked]], ndcg[listeners[asked]] = recall_and_ndcg(hits, is_true.sum(axis=1), AT)
        found += np.bincount(best[hits], minlength=len(found))
    fans = np.bincount(played.indices, minlength=len(found)).astype(np.float64)
    hits_of_song = chosen.hits(played)
    with np.errstate(invalid="ignore"):
        precision = np.where(fans > 0, hits_of_song / budget, np.nan)
        of_songs = dict(zip(song_to_listeners(budget), (precision, hits_of_song / fans), strict=True))
        return of_songs | {FOUND: found / fans}, dict(zip(LISTENER_TO_SONGS, (recall, ndcg), strict=True))


class _Chosen:
    """The best listeners so far of every cold song."""

    def __init__(self, songs: int, budget: int) -> None:
        self._budget = budget
        self._keys = np.empty((songs, 0), np.uint64)
        self._listeners = np.empty((songs, 0), np.int64)

    def add(self, keys: Keys, listeners: Ints) -> None:
        """keys: (cold, listeners)."""
        keys = np.concatenate([self._keys, keys], axis=1)
        every = np.concatenate([self._listeners, np.broadcast_to(listeners, (len(keys), len(listeners)))], axis=1)
        keep = highest(keys, self._budget)
        self._keys = np.take_along_axis(keys, keep, axis=1)
        self._listeners = np.take_along_axis(every, keep, axis=1)

    def hits(self, played: sparse.csr_array) -> Doubles:
        """How many of the chosen played the song, (cold,)."""
        songs = np.repeat(np.arange(len(self._listeners)), self._listeners.shape[1])
        is_fan = np.asarray(played[self._listeners.ravel(), songs]).ravel() > 0
        return np.bincount(songs[is_fan], minlength=len(self._listeners)).astype(np.float64)


def recall_and_ndcg(hits: Bools, true: Ints, at: int) -> tuple[Doubles, Doubles]:
    """Of each row; hits in the order of the ranking, (rows, places), and how many true ones there are."""
    gain = 1 / np.log2(np.arange(2, at + 2))
    possible = np.minimum(true, at)
    with np.errstate(invalid="ignore"):
        recall = hits.sum(axis=1) / possible
        ideal = np.concatenate([[0.0], np.cumsum(gain)])[possible]
        return recall, (hits * gain[: hits.shape[1]]).sum(axis=1) / ideal


def first(scores: Scores, count: int, lots: Ints) -> Ints:
    """Columns of the highest scores of each row, best first; of equal ones by lot."""
    found = np.empty((len(scores), min(count, scores.shape[1])), np.int64)
    for start in range(0, len(scores), ROWS_AT_ONCE):
        keys = keys_of(scores[start : start + ROWS_AT_ONCE], lots)
        best = highest(keys, count)
        order = np.argsort(np.take_along_axis(keys, best, axis=1), axis=1)[:, ::-1]
        found[start : start + len(keys)] = np.take_along_axis(best, order, axis=1)
    return found


def highest(keys: Keys, count: int) -> Ints:
    """Columns of the highest keys of each row, in no order."""
    if count >= keys.shape[1]:
        return np.broadcast_to(np.arange(keys.shape[1]), keys.shape)
    return np.argpartition(keys, -count, axis=1)[:, -count:]


def keys_of(scores: Scores, lots: Ints) -> Keys:
    """Whole numbers in the order of (score as float32, lot of its column): no two of a row are equal."""
    if np.isnan(scores.max(initial=-np.inf)):
        raise ValueError("a method answered NaN")
    ordered = np.add(scores, 0, dtype=np.float32, order="C").view(np.int32)  # -0 is 0
    ordered ^= (ordered >> 31) | np.int32(-1 << 31)  # as unsigned numbers they ascend with the scores
    keys = np.empty(scores.shape, "<u8")
    low_and_high = keys.view("<u4").reshape(*scores.shape, 2)
    low_and_high[..., 0], low_and_high[..., 1] = lots, ordered.view(np.uint32)
    return keys


def lots_of(count: int, seed: int) -> Ints:
    return np.random.default_rng([seed, 0x1075]).permutation(count)


def mean_of(values: Doubles) -> float:
    asked = values[~np.isnan(values)]
    return float(asked.mean()) if len(asked) else 0.0
