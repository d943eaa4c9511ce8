"""EASE between the words of a field as a method: what others say of a song's words, and the listener's own counts.

    fit(u, c) = sum over words a of c of [ ( log(1 + A_u) B )_a + own * A_ua ] / warm songs that say a

A and B are those of bcl_model/ease.py. A word is never predicted from itself, so the listener's own count of it stands
beside. Several fields are added up.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from bcl_model.ease import log_counts, others_say, shares
from bcl_model.errors import BadModelSettings
from bcl_model.evaluation.answers import Answers, Method, Scores
from bcl_model.evaluation.trial import Ints, Trial
from bcl_model.rivals.words import words_of

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class EaseSettings:
    fields: tuple[str, ...] = ("artist",)
    ridge: float = 300.0
    own: float = 2.0  # weight of the listener's own count of a word

    def __post_init__(self) -> None:
        if not self.fields:
            raise BadModelSettings("fields is empty, wanted the names of fields of words")
        if self.ridge <= 0:
            raise BadModelSettings(f"ridge is {self.ridge!r}, wanted a number above 0")


@dataclass(frozen=True)
class _Level:
    """One field of a trial."""

    counts: sparse.csr_array  # (listeners, words)
    from_others: Floats  # (words, cold): from log counts
    own_to_songs: sparse.csr_array  # (words, cold): from counts
    of_warm: sparse.csr_array  # (warm, words)


def by_words(settings: EaseSettings) -> Method:
    def answers(trial: Trial) -> Answers:
        levels = [_level(trial, field, settings) for field in settings.fields]

        def fits(listeners: Ints) -> Scores:
            return _sum([_fit(level, level.counts[listeners]) for level in levels])

        return Answers(_sum([_fit(level, level.of_warm) for level in levels]).T, fits)

    return answers


def _level(trial: Trial, field: str, settings: EaseSettings) -> _Level:
    words = words_of(trial.contents, field)
    of_warm, of_cold = words[trial.warm], words[trial.cold]
    counts = (trial.heard @ of_warm).tocsr()
    from_others = others_say(counts, of_warm, of_cold, settings.ridge)
    return _Level(counts, from_others, (settings.own * shares(of_warm, of_cold)).tocsr(), of_warm)


def _fit(level: _Level, counts: sparse.csr_array) -> Floats:
    """(rows of counts, cold)."""
    fit: Floats = log_counts(counts) @ level.from_others + (counts @ level.own_to_songs).toarray()
    return fit


def _sum(parts: Sequence[Any]) -> Scores:
    total: Scores = np.sum(parts, axis=0)
    return total
