"""Content neighbours with collaborative filtering: a slow loop over neighbours and their partners."""

import numpy as np
import pytest

from bcl_model.errors import BadModelSettings
from bcl_model.evaluation.trial import split_of
from bcl_model.fields import inferred
from bcl_model.pairs import item_cf
from bcl_model.rivals.headroom import HeadroomSettings, headroom
from bcl_model.settings import PairSettings
from tests.builders.songs import world

CONTENTS, PLAYS = world(songs=60, listeners=150)


def test_fits_equal_the_loop_over_neighbours_and_their_partners() -> None:
    one = split_of(CONTENTS, PLAYS, inferred(CONTENTS), share=0.2).trial
    settings = HeadroomSettings(neighbours=4, pairs=PairSettings(per_song=5, min_common=2))
    answers = headroom(settings)(one)
    assert answers.fits is not None
    pairs = item_cf(one.known, len(CONTENTS), settings.pairs)
    speaks_for = {(b, a): score for a, b, score in zip(pairs.songs, pairs.similar, pairs.scores, strict=True)}
    heard = one.heard.toarray()

    slow = np.zeros((5, len(one.cold)))
    for listener in range(5):
        for place in range(len(one.cold)):
            for near in np.argsort(-answers.similarities[place])[:4]:
                interest = heard[listener, near]
                for song in np.flatnonzero(heard[listener]):
                    interest += speaks_for.get((one.warm[song], one.warm[near]), 0.0)
                slow[listener, place] += max(answers.similarities[place, near], 0.0) * interest

    np.testing.assert_allclose(answers.fits(np.arange(5)), slow, rtol=1e-4, atol=1e-6)


def test_no_neighbours_are_refused() -> None:
    with pytest.raises(BadModelSettings, match="neighbours is 0"):
        HeadroomSettings(neighbours=0)
