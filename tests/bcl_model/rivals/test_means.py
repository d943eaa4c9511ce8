"""Artist means: factors that say the plays again, a slow mean, and what is not shared."""

import numpy as np
import pytest
from scipy import sparse

from bcl_model.errors import BadModelSettings
from bcl_model.evaluation.trial import Trial
from bcl_model.fields import Content, inferred
from bcl_model.pairs import Interactions
from bcl_model.rivals import RIVALS
from bcl_model.rivals.factors import factors
from bcl_model.rivals.means import MeansSettings, cold_vectors, means

ARTISTS = ["ann", "ann", "bob", "bob", "cat", "cat", "ann", "bob", "dan"]
ALBUMS = ["x", "y", "z", "z", "v", "w", "y", "new", "new"]
WARM, COLD = np.arange(6), np.arange(6, 9)


def trial() -> Trial:
    listeners, songs = np.nonzero(np.random.default_rng(4).random((15, len(WARM))) < 0.4)
    contents = [Content({"artist": one, "album": two}) for one, two in zip(ARTISTS, ALBUMS, strict=True)]
    none = np.empty(0, np.int64)
    return Trial(contents, inferred(contents), WARM, COLD, none, Interactions(listeners, songs), 15, "song", 1)


def test_factors_of_full_rank_say_the_plays_again() -> None:
    one = trial()
    known = factors(one, len(WARM))
    np.testing.assert_allclose(known.listeners @ known.songs.T, one.heard.toarray(), atol=1e-5)


def test_a_lower_rank_is_the_best_of_its_rank_as_the_exact_decomposition_finds_it() -> None:
    one = trial()
    heard = one.heard.toarray().astype(np.float64)
    by_listener, by_song = (np.sqrt(np.maximum(heard.sum(axis=axis), 1)) for axis in (1, 0))
    left, sizes, right = np.linalg.svd(heard / by_listener[:, None] / by_song)
    best = (left[:, :2] * sizes[:2]) @ right[:2]

    known = factors(one, 2)

    np.testing.assert_allclose(known.listeners @ known.songs.T, best * by_listener[:, None] * by_song, atol=1e-5)


def test_a_cold_song_is_the_mean_of_what_its_artist_and_its_album_are() -> None:
    warm = np.random.default_rng(2).normal(size=(6, 3)).astype(np.float32)

    ann, bob, dan = cold_vectors(trial(), warm, ("artist", "album"))

    np.testing.assert_allclose(ann, (warm[:2].mean(axis=0) + warm[1]) / 2, rtol=1e-6)  # album y has song 1 alone
    np.testing.assert_allclose(bob, warm[2:4].mean(axis=0), rtol=1e-6)  # the album has no warm song
    np.testing.assert_allclose(dan, warm.mean(axis=0), rtol=1e-6)  # nothing is shared


def test_a_cold_song_suits_who_played_its_artist() -> None:
    one = trial()
    answers = means(MeansSettings(dimension=6))(one)
    assert answers.fits is not None

    expected = np.stack([one.heard[:, :2].toarray().mean(axis=1), one.heard[:, 2:4].toarray().mean(axis=1)], axis=1)
    np.testing.assert_allclose(answers.fits(np.arange(15))[:, :2], expected, atol=1e-5)
    assert sparse.issparse(one.heard) and answers.similarities.shape == (3, 6)


def test_settings_that_cannot_work_are_refused() -> None:
    with pytest.raises(BadModelSettings, match="fields is empty"):
        MeansSettings(fields=())
    with pytest.raises(BadModelSettings, match="dimension is 0"):
        RIVALS["artist_mean"].make({"dimension": 0})(trial())
