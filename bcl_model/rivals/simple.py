"""Methods that learn nothing: chance, popularity, and what two songs say of themselves."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import sparse

from bcl_model.errors import BadData
from bcl_model.evaluation.answers import Answers, Method, Scores
from bcl_model.evaluation.trial import Trial
from bcl_model.fields import NONE, UNKNOWN


def at_random(trial: Trial) -> Answers:
    return Answers(np.random.default_rng([trial.seed, 0x4A4D]).random((len(trial.cold), len(trial.warm))))


def popularity(trial: Trial) -> Answers:
    plays = np.bincount(trial.known.songs, minlength=len(trial.contents))[trial.warm]
    return Answers(np.broadcast_to(plays / max(plays.max(), 1), (len(trial.cold), len(trial.warm))).copy())


def content_neighbours(trial: Trial) -> Answers:
    """The mean over fields of the cosine of what two songs say, rare words counting more; absent fields are far."""
    return Answers(content_similarity(trial, [one.name for one in trial.fields.fields]))


def same(field: str) -> Method:
    """Songs that share a word of one field, as an artist's other songs do."""
    return lambda trial: Answers(content_similarity(trial, [field]))


def content_similarity(trial: Trial, names: Sequence[str]) -> Scores:
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
