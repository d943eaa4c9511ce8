"""The music of the simulated world: the same for a seed, and audibly what its latents say."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler

from bcl_model.mel_statistics import MelStatistics
from streams.world.music import KEYS, Knobs, Score, scores
from streams.world.scene import GENRES, MOODS
from streams.world.songs import NO_WORDS
from streams.world.synthesiser import RATE, performed
from streams.world.words import caption, lyrics
from streams.world.world import World, WorldSettings

SEED, SECONDS = 7, 2.0
KNOBS = Knobs(*[0.0] * 16)
SCORE = Score("pop", "happy", key=0, tempo=120.0, language=0, era=5, knobs=KNOBS)


@pytest.fixture(scope="module")
def world() -> World:
    return World(WorldSettings(listeners=2_000, songs=450, new_songs=50, seed=SEED))


@pytest.fixture(scope="module")
def written(world: World) -> list[Score]:
    return list(scores(world.catalogue, world.artists, SEED))


@pytest.fixture(scope="module")
def heard(written: list[Score]) -> np.ndarray:
    mel = MelStatistics()
    return np.array([mel.of(sound(score, row), RATE) for row, score in enumerate(written)])


@pytest.fixture(scope="module")
def held_out(world: World) -> np.ndarray:
    """Songs by artists of whom nothing is learned."""
    return world.catalogue.artists % 4 == 0


def sound(score: Score, draw: int = 0, seconds: float = SECONDS) -> np.ndarray:
    return performed(score, seconds, np.random.default_rng([SEED, draw]))


def test_a_seed_repeats_every_sample_and_another_plays_another_melody(written: list[Score]):
    for score in written[:5]:
        np.testing.assert_array_equal(sound(score), sound(score))
        assert not np.array_equal(sound(score), sound(score, draw=1))


@pytest.mark.parametrize("genre", GENRES)
@pytest.mark.parametrize("mood", MOODS)
def test_every_genre_and_mood_sounds_and_none_overdrives(genre: str, mood: str):
    samples = sound(replace(SCORE, genre=genre, mood=mood), seconds=1.0)
    assert samples.dtype == np.float32 and len(samples) == RATE
    assert 0.3 < np.abs(samples).max() <= 1


@pytest.mark.parametrize("edge", [-1.0, 1.0])
@pytest.mark.parametrize("tempo", [50.0, 200.0])
def test_the_ends_of_all_knobs_and_tempos_sound(edge: float, tempo: float):
    samples = sound(replace(SCORE, knobs=Knobs(*[edge] * 16), tempo=tempo, key=len(KEYS) - 1))
    assert np.isfinite(samples).all() and 0.3 < np.abs(samples).max() <= 1


def test_an_old_recording_has_lost_its_high_end():
    def share_above_5_khz(era: int) -> float:
        power = np.abs(np.fft.rfft(sound(replace(SCORE, genre="metal", era=era)))) ** 2
        return float(power[np.fft.rfftfreq(round(SECONDS * RATE), 1 / RATE) > 5_000].sum() / power.sum())

    assert share_above_5_khz(era=0) < 0.5 * share_above_5_khz(era=5)


def test_words_are_sung_only_where_there_are_some():
    without = replace(SCORE, language=NO_WORDS)
    assert lyrics(without, np.random.default_rng(1)) == ""
    assert "language: none." in caption(without) and "language: en." in caption(SCORE)
    assert not np.array_equal(sound(without), sound(SCORE))


def test_a_language_and_a_mood_have_words_of_their_own():
    def words(**changes: object) -> set[str]:
        score = replace(SCORE, **changes)
        return {word for draw in range(40) for word in lyrics(score, np.random.default_rng(draw)).split()}

    happy, sad = words(), words(mood="sad")
    assert len(words(language=1) & happy) == 0
    assert 0.5 < len(happy & sad) / len(happy) < 0.8  # of none: 30 of 42


def test_a_caption_says_what_can_be_heard():
    assert caption(replace(SCORE, mood="dark", key=3)) == (
        "genre: pop. mood: dark. tempo: fast, 120 beats per minute. key: E flat phrygian. "
        "instruments: piano, saw synth. language: en. era: 2020s."
    )


@pytest.mark.parametrize(("tag", "above"), [("genre", 1.5), ("language", 1.8), ("era", 1.1)])
def test_a_tag_of_unknown_artists_is_heard_more_often_than_the_commonest_is_right(
    written: list[Score], heard: np.ndarray, held_out: np.ndarray, tag: str, above: float
):
    told = np.array([str(getattr(score, tag)) for score in written])
    scaled = StandardScaler().fit(heard[~held_out]).transform(heard)
    probe = LogisticRegression(C=0.1, max_iter=300).fit(scaled[~held_out], told[~held_out])
    commonest = np.unique(told[held_out], return_counts=True)[1].max() / held_out.sum()
    assert probe.score(scaled[held_out], told[held_out]) > above * commonest


def test_what_no_caption_names_is_heard_too(written: list[Score], heard: np.ndarray, held_out: np.ndarray):
    """The style behind the listeners' tastes: for most knobs a line through mel statistics finds some of it."""
    knobs = np.array([score.knobs for score in written])
    scaled = StandardScaler().fit(heard[~held_out]).transform(heard)
    guessed = Ridge(30).fit(scaled[~held_out], knobs[~held_out]).predict(scaled[held_out])
    agreement = [np.corrcoef(guessed[:, n], knobs[held_out, n])[0, 1] for n in range(len(Knobs._fields))]
    assert np.median(agreement) > 0.2


def test_some_artists_are_held_out(held_out: np.ndarray, world: World):
    artists = world.catalogue.artists
    assert len(set(artists[held_out].tolist())) >= 10
    assert not set(artists[held_out].tolist()) & set(artists[~held_out].tolist())
