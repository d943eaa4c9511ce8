"""The simulated world: deterministic, with the dependencies and the skew that it promises."""

import numpy as np
import pytest

from streams.contracts.releases import Release
from streams.world.world import World, WorldSettings, listener_id, listener_number

SMALL = WorldSettings(listeners=3_000, songs=600, new_songs=60)


@pytest.fixture(scope="module")
def world() -> World:
    return World(SMALL)


@pytest.fixture(scope="module")
def songs(world: World) -> list[Release]:
    return list(world.songs())


def test_a_seed_repeats_the_world_and_another_makes_another(world: World, songs: list[Release]):
    again, other = World(SMALL), World(WorldSettings(listeners=3_000, songs=600, new_songs=60, seed=8))
    assert list(again.songs()) == songs
    assert again.new_releases(60) == world.new_releases(60)
    assert list(again.listener_settings()) == list(world.listener_settings())
    assert next(other.songs()) != songs[0]


def test_songs_have_at_least_ten_fields_and_some_are_missing(songs: list[Release]):
    fields = {name for song in songs for name in (*song.attributes, *song.vectors)}
    assert {"language", "genre", "era", "label", "tempo", "mood", "artist", "audio", "lyric", "title"} <= fields
    assert sum("label" not in song.attributes for song in songs) > 20


def test_songs_without_words_have_neither_language_nor_lyrics(songs: list[Release]):
    without = [song for song in songs if "language" not in song.attributes]
    assert 20 < len(without) < 300
    assert all("lyric" not in song.vectors for song in without)
    assert all("lyric" in song.vectors for song in songs if "language" in song.attributes)


def test_the_catalogue_is_released_in_order_before_the_start_and_new_songs_at_the_start(world: World):
    released = [song.released_ms for song in world.songs()]
    assert released == sorted(released)
    assert max(released) < SMALL.start_ms
    assert {song.released_ms for song in world.new_releases(5)} == {SMALL.start_ms}


def test_some_new_songs_are_by_artists_nobody_knows(world: World, songs: list[Release]):
    known = {artist for song in songs for artist in song.artist_ids}
    by_known = [song for song in world.new_releases(60) if song.artist_ids[0] in known]
    assert 20 < len(by_known) < 55


def test_more_new_songs_than_there_are_are_refused(world: World):
    with pytest.raises(ValueError, match="61 new songs are wanted, the world has 60"):
        world.new_releases(61)


@pytest.mark.parametrize(
    ("one", "other"), [("label", "genre"), ("mood", "genre"), ("label", "language"), ("artist", "genre")]
)
def test_fields_depend_on_each_other(songs: list[Release], one: str, other: str):
    """Cramér's V against the same columns shuffled."""
    said = [(_first(song, one), _first(song, other)) for song in songs]
    a, b = (np.unique([pair[n] for pair in said], return_inverse=True)[1] for n in (0, 1))
    shuffled = np.random.default_rng(1).permutation(b)
    assert _cramers_v(a, b) > 1.2 * _cramers_v(a, shuffled)


def test_fast_songs_are_happier_than_slow_ones(songs: list[Release]):
    tempo = {
        mood: [_number(song) for song in songs if song.attributes.get("mood") == mood] for mood in ("party", "calm")
    }
    assert np.nanmean(tempo["party"]) > np.nanmean(tempo["calm"]) + 10


@pytest.mark.parametrize(("field", "least"), [("audio", 0.3), ("lyric", 0.3), ("title", 0.05)])
def test_vectors_tell_of_what_they_follow_from(world: World, songs: list[Release], field: str, least: float):
    """Audio of the style, lyrics and title of the mood (in one language): near in cause, near in vector."""
    rows = [
        n
        for n, song in enumerate(songs)
        if field in song.vectors and (field == "audio" or _first(song, "language") == "en")
    ]
    vectors = np.array([songs[n].vectors[field] for n in rows])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    near = (vectors @ vectors.T)[np.triu_indices(len(rows), 1)]
    if field == "audio":
        cause = (world.catalogue.styles[rows] @ world.catalogue.styles[rows].T)[np.triu_indices(len(rows), 1)]
    else:
        moods = world.catalogue.moods[rows]
        cause = (moods[:, None] == moods)[np.triu_indices(len(rows), 1)].astype(float)
    assert np.corrcoef(near, cause)[0, 1] > least


def test_a_listener_is_the_same_alone_and_among_others(world: World):
    every, some = world.listeners(), np.array([2_999, 5, 77])
    alone = world.listeners(some)
    for column in ("tastes", "log_weights", "markets", "zones", "persons", "favourites"):
        np.testing.assert_array_equal(getattr(alone, column), getattr(every, column)[some])


def test_listeners_have_one_to_three_tastes(world: World):
    counts = np.isfinite(world.listeners().log_weights).sum(axis=1)
    shares = np.bincount(counts, minlength=4) / len(counts)
    np.testing.assert_allclose(shares[1:], [0.3, 0.4, 0.3], atol=0.03)


def test_tastes_drift_slowly(world: World):
    day, year = 86_400_000, 365 * 86_400_000
    now = world.listeners().log_weights
    several = np.isfinite(now).sum(axis=1) > 1
    apart = [
        np.abs(np.exp(world.listeners(at_ms=SMALL.start_ms + after).log_weights[several]) - np.exp(now[several])).mean()
        for after in (day, year // 2)
    ]
    assert 0 < apart[0] < 0.02 < 0.2 < apart[1]


def test_one_mean_of_the_tastes_is_wrong_for_many(world: World):
    """The mean of two tastes lies nearer to a third one than to either for a good part of the listeners."""
    listeners = world.listeners()
    two = np.isfinite(listeners.log_weights).sum(axis=1) == 2
    tastes = listeners.tastes[two, :2]
    differ = tastes[:, 0] != tastes[:, 1]
    means = world.scene.tastes[tastes[differ]].mean(axis=1)
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    to_own = np.einsum("ls,ls->l", means, world.scene.tastes[tastes[differ, 0]])
    assert (to_own < 0.85).mean() > 0.5


def test_every_listener_is_drawn_and_busy_ones_more_often():
    population = World(WorldSettings(listeners=101, songs=100, new_songs=1)).population
    drawn = population.drawn_by_activity(np.random.default_rng(1).random(200_000))
    counts = np.bincount(drawn, minlength=101)
    expected = population.activity(np.arange(101)) * 200_000 / 101
    assert counts.min() > 0
    np.testing.assert_allclose(counts, expected, rtol=0.25)


def test_the_share_of_pairs_that_are_liked_is_as_wanted():
    world = World(WorldSettings(listeners=4_000, songs=300, new_songs=100, base_rate=0.05))
    listeners = world.listeners()
    liked = [world.truth_of(row, listeners).would_like.mean() for row in range(0, 400, 4)]
    assert np.mean(liked) == pytest.approx(0.05, rel=0.25)


def test_truth_comes_in_blocks_that_follow_each_other_and_agree_with_single_answers(world: World):
    release = world.new_releases(3)[2]
    blocks = list(world.truth(release.song_id))
    assert [block.first for block in blocks] == [0]
    assert sum(map(len, blocks)) == SMALL.listeners
    numbers = np.array([7, 2_000, 11])
    row = world.row_of(release.song_id)
    some = world.truth_of(row, world.listeners(numbers))
    np.testing.assert_array_equal(some.would_like, blocks[0].would_like[numbers])
    np.testing.assert_array_equal(some.crowds, blocks[0].crowds[numbers])
    np.testing.assert_array_equal(world.would_like(np.full(3, row), world.listeners(numbers)), some.would_like)


def test_would_like_is_drawn_with_the_probability(world: World):
    listeners = world.listeners()
    truths = [world.truth_of(int(row), listeners) for row in world.new_rows(60)]
    probabilities = np.concatenate([truth.probabilities for truth in truths])
    liked = np.concatenate([truth.would_like for truth in truths])
    for low, high in ((0.02, 0.05), (0.2, 0.3), (0.5, 0.6)):
        among = (probabilities >= low) & (probabilities < high)
        deviation = np.sqrt(high / among.sum())
        assert liked[among].mean() == pytest.approx(probabilities[among].mean(), abs=4 * deviation)


def test_a_true_crowd_is_one_of_the_listeners_own_tastes_and_songs_have_several(world: World):
    listeners = world.listeners()
    crowds = []
    for row in world.new_rows(30):
        truth = world.truth_of(int(row), listeners)
        assert (listeners.tastes == truth.crowds[:, None]).any(axis=1).all()
        counts = np.bincount(truth.crowds[truth.would_like])
        crowds.append((counts >= 0.05 * counts.sum()).sum())
    assert np.mean(crowds) > 2.5


def test_fans_of_the_artist_like_its_song_more_than_others_of_the_same_tastes(world: World):
    listeners = world.listeners()
    artist = listeners.favourites[0, 0]
    row = int(np.flatnonzero(world.catalogue.artists == artist)[0])
    fans = (listeners.favourites == artist).any(axis=1)
    probabilities = world.truth_of(row, listeners).probabilities
    assert probabilities[fans].mean() > 2 * probabilities[~fans].mean()


def test_reactions_follow_from_the_truth_and_never_change(world: World):
    song = world.new_releases(1)[0].song_id
    numbers = np.arange(3_000)
    reactions, again = world.reactions([song] * 3_000, numbers), world.reactions([song] * 3_000, numbers)
    truth = world.truth_of(world.row_of(song), world.listeners())
    np.testing.assert_array_equal(reactions.effective, truth.would_like)
    np.testing.assert_array_equal(reactions.listened_ms, again.listened_ms)
    assert (reactions.listened_ms[reactions.effective] >= 30_000).all()
    assert (reactions.listened_ms[~reactions.effective] < 30_000).all()
    assert (reactions.listened_ms == 0).any()
    assert not (reactions.liked & ~reactions.effective).any()


def test_listeners_say_what_they_want(world: World):
    said = list(world.listener_settings())
    assert len(said) == pytest.approx(0.9 * SMALL.listeners, rel=0.03)
    assert sum(not one.consent for one in said) == pytest.approx(len(said) / 30, rel=0.4)
    assert sum(one.quiet_hours is not None for one in said) == pytest.approx(0.2 * len(said), rel=0.2)
    assert len({one.time_zone for one in said}) > 8


def test_listener_ids_are_numbers_and_back():
    assert listener_id(12) == "l00000012"
    assert listener_number(listener_id(9_999_999)) == 9_999_999


def test_ten_million_listeners_need_no_memory():
    world = World(WorldSettings(listeners=10_000_000, songs=200, new_songs=2))
    some = world.listeners(np.array([0, 9_999_999]))
    assert len(some) == 2
    first = next(world.truth(world.new_releases(1)[0].song_id))
    assert (first.first, len(first)) == (0, 32_768)


def _first(song: Release, field: str) -> str:
    value = song.attributes.get(field, "none")
    return str(value[0] if isinstance(value, tuple) else value)


def _number(song: Release) -> float:
    value = song.attributes.get("tempo", float("nan"))
    assert isinstance(value, float)
    return value


def _cramers_v(a: np.ndarray, b: np.ndarray) -> float:
    counts = np.zeros((a.max() + 1, b.max() + 1))
    np.add.at(counts, (a, b), 1)
    expected = counts.sum(axis=1, keepdims=True) * counts.sum(axis=0) / counts.sum()
    chi = float(((counts - expected) ** 2 / expected).sum())
    return (chi / counts.sum() / (min(counts.shape) - 1)) ** 0.5
