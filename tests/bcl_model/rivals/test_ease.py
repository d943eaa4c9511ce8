"""EASE between artists as a method: equal to a slow loop over listeners and songs, with settings that are checked."""

import numpy as np
import pytest
from scipy import sparse

from bcl_model.ease import ease
from bcl_model.errors import BadData, BadModelSettings
from bcl_model.evaluation.trial import Trial
from bcl_model.fields import Content, inferred
from bcl_model.pairs import Interactions
from bcl_model.rivals import RIVALS
from bcl_model.rivals.ease import EaseSettings, by_words
from bcl_model.rivals.words import words_of

ARTISTS = ["ann", "ann", "bob", "bob", "cat", "ann", "bob", "dan"]
WARM, COLD = np.arange(5), np.arange(5, 8)


def trial() -> Trial:
    rng = np.random.default_rng(4)
    listeners, songs = np.nonzero(rng.random((12, len(WARM))) < 0.4)
    contents = [Content({"artist": artist, "tags": (artist[0], "all")}) for artist in ARTISTS]
    none = np.empty(0, np.int64)
    return Trial(contents, inferred(contents), WARM, COLD, none, Interactions(listeners, songs), 12, "song", 1)


def test_fits_equal_the_loop_over_listeners_and_songs() -> None:
    one, settings = trial(), EaseSettings(("artist", "tags"), ridge=5.0, own=1.5)
    answers = by_words(settings)(one)
    assert answers.fits is not None

    slow = np.zeros((one.listeners, len(COLD)))
    for field in settings.fields:
        words = words_of(one.contents, field).toarray()
        counts = one.heard.toarray() @ words[WARM]
        weights = ease(sparse.csr_array(np.log1p(counts)), settings.ridge, np.arange(counts.shape[1]))
        for listener in range(one.listeners):
            for place, song in enumerate(COLD):
                for word in np.flatnonzero(words[song]):
                    said = np.log1p(counts[listener]) @ weights[:, word] + settings.own * counts[listener, word]
                    slow[listener, place] += said / max(words[WARM, word].sum(), 1)
    np.testing.assert_allclose(answers.fits(np.arange(one.listeners)), slow, rtol=1e-4, atol=1e-6)


def test_songs_of_the_same_artist_are_nearest() -> None:
    one = trial()

    near = by_words(EaseSettings(ridge=5.0))(one).similarities

    assert near.shape == (3, 5)
    same_artist = np.array([[a == b for b in ARTISTS[:5]] for a in ARTISTS[5:]])
    assert near[same_artist].min() > near[~same_artist].max()


def test_nothing_is_known_of_a_new_artist() -> None:
    one = trial()
    answers = by_words(EaseSettings())(one)
    assert answers.fits is not None

    np.testing.assert_array_equal(answers.fits(np.arange(12))[:, 2], 0.0)  # dan has no warm song
    np.testing.assert_array_equal(answers.similarities[2], 0.0)


def test_a_field_of_numbers_and_a_field_that_nobody_fills_are_refused() -> None:
    songs = [Content({"tempo": 120.0})]

    with pytest.raises(BadData, match="'tempo' holds 120"):
        words_of(songs, "tempo")
    with pytest.raises(BadData, match="no song says a word in the field 'label'"):
        words_of(songs, "label")


def test_a_model_file_may_set_what_it_likes_and_no_more() -> None:
    assert RIVALS["artist_ease"].make({"ridge": 30.0})(trial()).similarities.shape == (3, 5)
    with pytest.raises(BadModelSettings, match="unknown key 'rigde', did you mean 'ridge'"):
        RIVALS["artist_ease"].make({"rigde": 30.0})


def test_settings_that_cannot_work_are_refused() -> None:
    with pytest.raises(BadModelSettings, match=r"ridge is 0\.0"):
        EaseSettings(ridge=0.0)
    with pytest.raises(BadModelSettings, match="fields is empty"):
        EaseSettings(fields=())
