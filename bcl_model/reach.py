"""What speaks for a listener and a song that nobody has heard: near songs, words, partners of kin, and taste.

    near      log of the share of the song's nearest warm songs that the listener heard: softmax of similarity / t
    own       log(1 + songs that the listener heard of the song's artist, of its album)
    partners  log of what the listener's songs say of the song's kin: the ItemCF of all such pairs, added up
    others    what the listener's counts of other artists, of other albums say of the song's own (see ease.py)
    lie       cosine of where the listener lies and where the audiences of the song's kin lie (see kin.py)
    of song   how many kin it has, how many listeners they and its near songs have
    of listener   how many songs were heard

Evidence follows from the plays of the warm songs that are handed over; a song that it is for is none of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from bcl_model.audiences import Floats
from bcl_model.ease import log_counts, others_say
from bcl_model.familiarity import shares_of
from bcl_model.fields import Content
from bcl_model.kin import says_of, tastes_of
from bcl_model.pairs import partners_of
from bcl_model.settings import PairSettings, ReachSettings

Ints = npt.NDArray[np.int64]

LEAST, LEAST_OF_PARTNERS = 1e-3, 1e-2  # of a sum, before its logarithm
SEED = 1  # of the basis of tastes


@dataclass(frozen=True)
class Evidence:
    """For some songs; features of a pair, of a song and of a listener lie side by side in this order."""

    heard: sparse.csr_array  # (listeners, warm)
    near: tuple[sparse.csr_array, ...]  # (warm, songs): shares of near songs, one for each temperature
    counts: tuple[sparse.csr_array, ...]  # (listeners, words): songs heard that say a word
    words: tuple[sparse.csr_array, ...]  # (words, songs)
    partners: tuple[sparse.csr_array, ...]  # (warm, songs): what hearing one says of the songs' kin
    others: tuple[Floats, ...]  # (words, songs): from log counts
    lies: Floats  # (listeners, width)
    kin: tuple[Floats, ...]  # (width, songs)
    of_songs: Floats  # (songs, features)
    of_listeners: Floats  # (listeners, features)

    def of_pairs(self, listeners: Ints) -> Floats:
        """(listeners, songs, features)."""
        heard = self.heard[listeners]
        features = [_log_of(heard @ shares, LEAST) for shares in self.near]
        counted = [counts[listeners] for counts in self.counts]
        features += [_log_of(counts @ words, 1) for counts, words in zip(counted, self.words, strict=True)]
        features += [_log_of(heard @ partners, LEAST_OF_PARTNERS) for partners in self.partners]
        features += [log_counts(counts) @ others for counts, others in zip(counted, self.others, strict=True)]
        features += [self.lies[listeners] @ places for places in self.kin]
        return np.stack(features, axis=-1, dtype=np.float32)


def evidence(
    contents: Sequence[Content],
    heard: sparse.csr_array,
    warm: Ints,
    songs: Ints,
    similarities: npt.NDArray[np.floating] | None,
    settings: ReachSettings,
) -> Evidence:
    """heard: (listeners, warm); similarities: (songs, warm), None where no model has a say."""
    listeners_of = np.bincount(heard.indices, minlength=len(warm)).astype(np.float32)
    songs_of = np.diff(heard.indptr).astype(np.float32)
    tastes = tastes_of(heard, settings.width, SEED)
    near = () if similarities is None else _near(similarities, settings)
    counts, words, partners, others, kin, of_songs = [], [], [], [], [], []
    for name in settings.fields:
        words_said, says = says_of(contents, name)
        if not words_said:
            continue
        of_warm, of_all = says[warm], says[songs]
        counts.append((heard @ of_warm).tocsr())
        words.append(of_all.T.tocsr())
        partners.append((partners_of(heard, PairSettings()) @ (of_warm @ words[-1])).tocsr())
        others.append(others_say(counts[-1], of_warm, of_all, settings.ridge))
        kin.append(_unit(of_all @ (of_warm.T @ tastes.places)).T)
        how_many, how_heard = of_all @ of_warm.sum(axis=0), of_all @ (of_warm.T @ listeners_of)
        of_songs += [np.log1p(how_many), np.log1p(how_heard / np.maximum(how_many, 1)), how_many > 0]
    of_songs += [np.log1p(shares.T @ listeners_of) for shares in near]
    return Evidence(
        heard,
        near,
        tuple(counts),
        tuple(words),
        tuple(partners),
        tuple(others),
        _unit(tastes.lies),
        tuple(kin),
        np.stack(of_songs, axis=-1, dtype=np.float32) if of_songs else np.zeros((len(songs), 0), np.float32),
        np.log1p(songs_of)[:, None],
    )


def _log_of(sums: sparse.csr_array, least: float) -> Floats:
    """log(least + sum), computed where there is a sum."""
    nothing = np.float32(np.log(least))
    sums.data = np.log(sums.data + np.float32(least)) - nothing
    logs: Floats = sums.toarray()
    logs += nothing
    return logs


def _near(similarities: npt.NDArray[np.floating], settings: ReachSettings) -> tuple[sparse.csr_array, ...]:
    """(warm, songs) for each temperature: the nearest of each song share 1 by softmax."""
    count = min(settings.neighbours, similarities.shape[1])
    nearest = np.argpartition(-similarities, count - 1, axis=1)[:, :count]
    how_near = np.take_along_axis(similarities, nearest, axis=1)
    songs = np.repeat(np.arange(len(nearest)), count)
    found = []
    for temperature in settings.temperatures:
        shares = shares_of(how_near, temperature).astype(np.float32)
        found.append(sparse.csr_array((shares.ravel(), (nearest.ravel(), songs)), shape=similarities.shape[::-1]))
    return tuple(found)


def _unit(rows: Floats) -> Floats:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: Floats = (rows / np.where(lengths == 0, 1, lengths)).astype(np.float32)
    return unit
