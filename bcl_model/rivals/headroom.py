"""Content neighbours with collaborative filtering: a cold song suits whom its nearest warm songs would suit.

    fit(u, c) = sum over the songs w nearest to c of content(c, w) * [ heard(u, w) + sum over v heard by u of s_vw ]

s is ItemCF between warm songs; a listener reaches a cold song through its neighbours and through their partners.
"""

from dataclasses import dataclass, field

import numpy as np
from scipy import sparse

from bcl_model.errors import BadModelSettings
from bcl_model.evaluation.answers import Answers, Method, Scores, nearest
from bcl_model.evaluation.trial import Ints, Trial
from bcl_model.pairs import partners_of
from bcl_model.rivals.simple import content_similarity
from bcl_model.settings import PairSettings


@dataclass(frozen=True)
class HeadroomSettings:
    fields: tuple[str, ...] = ()  # compared for nearness; none named: the fields of words, or all where there is none
    neighbours: int = 50  # warm songs nearest by content
    pairs: PairSettings = field(default_factory=PairSettings)  # partners of each

    def __post_init__(self) -> None:
        if self.neighbours < 1:
            raise BadModelSettings(f"neighbours is {self.neighbours!r}, wanted 1 or more")


def headroom(settings: HeadroomSettings) -> Method:
    def answers(trial: Trial) -> Answers:
        similarities = content_similarity(trial, settings.fields or _telling(trial))
        itself = sparse.eye_array(len(trial.warm), dtype=np.float32)
        with_partners = (partners_of(trial.heard, settings.pairs) + itself).tocsr()
        to_cold = (with_partners @ nearest(similarities, settings.neighbours).T).tocsr()

        def fits(listeners: Ints) -> Scores:
            fit: Scores = (trial.heard[listeners] @ to_cold).toarray()
            return fit

        return Answers(similarities, fits)

    return answers


def _telling(trial: Trial) -> tuple[str, ...]:
    fields = trial.fields.fields
    return tuple(one.name for one in fields if one.has_words) or tuple(one.name for one in fields)
