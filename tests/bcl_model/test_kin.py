"""Where the audiences of a song's kin lie: equal to a slow loop in which nobody heard the song."""

import numpy as np
import pytest

from bcl_model.audiences import Audiences, number_names, place_name
from bcl_model.fields import Content
from bcl_model.kin import Tastes, basis_of, heard_of, kin_of, with_audiences
from bcl_model.pairs import Interactions
from bcl_model.settings import AudienceSettings

SETTINGS = AudienceSettings(("artist", "styles"), width=4)
SONGS, LISTENERS, COLD = 30, 80, 27  # songs from COLD on have no plays


def catalogue() -> tuple[list[Content], Interactions]:
    rng = np.random.default_rng(4)
    contents = [
        Content({"artist": f"a{n % 7}", "styles": (f"s{rng.integers(5)}", f"s{rng.integers(5)}")})
        for n in range(SONGS - 2)
    ]
    contents += [Content({"artist": "new", "styles": ("s1", "new")}), Content()]
    plays = 6 * LISTENERS
    return contents, Interactions(rng.integers(LISTENERS, size=plays), rng.integers(COLD, size=plays))


CONTENTS, PLAYS = catalogue()


def without(song: int) -> Interactions:
    keep = PLAYS.songs != song
    return Interactions(PLAYS.listeners[keep], PLAYS.songs[keep])


def slow_kin(song: int, name: str, basis: np.ndarray) -> tuple[np.ndarray, int, int]:
    """Nobody heard the song; then sums in the order of the formulas."""
    plays = without(song)
    heard_by = {u: set(plays.songs[plays.listeners == u].tolist()) for u in range(LISTENERS)}
    place, songs, listeners = np.zeros(basis.shape[1]), 0, 0
    for word in {*np.atleast_1d(CONTENTS[song].attributes.get(name, ()))}:
        for other in range(SONGS):
            audience = [u for u in range(LISTENERS) if other in heard_by[u]]
            if word in np.atleast_1d(CONTENTS[other].attributes.get(name, ())) and audience:
                lie = [sum(basis[j] for j in heard_by[u]) / len(heard_by[u]) for u in audience]
                place, songs, listeners = place + np.mean(lie, axis=0), songs + 1, listeners + len(audience)
    return place, songs, listeners


@pytest.mark.parametrize("name", SETTINGS.fields)
def test_kin_equals_the_loop_in_which_nobody_heard_the_song(name: str) -> None:
    heard = heard_of(PLAYS, SONGS)
    basis = basis_of(heard, 4, seed=1)

    _, (places, songs, listeners) = kin_of(CONTENTS, name, heard, Tastes.of(heard, basis))

    for song in range(SONGS):
        place, count, of_all = slow_kin(song, name, basis)
        np.testing.assert_allclose(places[song], place, rtol=1e-4, atol=1e-6)
        assert (songs[song], listeners[song]) == (count, of_all)


def test_a_planted_leak_is_not_seen() -> None:
    """Listeners of one far corner are made to hear a song beside its kin: its own fields do not move, its kin's do."""
    song, kin = 3, 10  # of one artist
    corner = np.arange(LISTENERS // 2)
    planted = Interactions(np.r_[PLAYS.listeners, corner], np.r_[PLAYS.songs, np.full(len(corner), song)])
    basis = basis_of(heard_of(PLAYS, SONGS), 4, seed=1)

    every = [heard_of(plays, SONGS) for plays in (PLAYS, planted)]
    (_, before), (_, after) = (kin_of(CONTENTS, "artist", heard, Tastes.of(heard, basis)) for heard in every)

    np.testing.assert_allclose(after[0][song], before[0][song], rtol=1e-4, atol=1e-6)
    assert (after[1][song], after[2][song]) == (before[1][song], before[2][song])
    assert np.abs(after[0][kin] - before[0][kin]).max() > 1e-2 * np.abs(before[0][kin]).max()
    assert after[2][kin] > before[2][kin]


def test_a_release_is_completed_to_what_a_song_without_plays_got() -> None:
    told, audiences = with_audiences(CONTENTS, PLAYS, SETTINGS)

    completed = audiences.completed(CONTENTS[COLD:])

    for content, again in zip(told[COLD:], completed, strict=True):
        assert again.attributes.keys() == content.attributes.keys() and again.vectors.keys() == content.vectors.keys()
        for name in {*number_names("artist"), *number_names("styles")} & content.attributes.keys():
            assert again.attributes[name] == pytest.approx(content.attributes[name])
        for name, vector in content.vectors.items():
            np.testing.assert_allclose(again.vectors[name], vector, rtol=1e-5)


def test_who_says_the_fields_itself_or_no_known_word_stays_as_it_is() -> None:
    _, audiences = with_audiences(CONTENTS, PLAYS, SETTINGS)
    said = Content({"artist": "a1", "styles": ()}, {place_name("artist"): [1.0, 0.0, 0.0, 0.0]})
    silent = [Content(), Content({"artist": "never seen", "styles": 3.0}), CONTENTS[-1]]

    assert audiences.completed([said, *silent]) == [said, *silent]
    assert Audiences().completed(CONTENTS) == CONTENTS


def test_new_words_beside_known_ones_add_nothing() -> None:
    _, audiences = with_audiences(CONTENTS, PLAYS, SETTINGS)
    one, other = audiences.completed([Content({"styles": ("s1",)}), Content({"styles": ("s1", "new", "s1")})])

    assert one.vectors == other.vectors
    assert [other.attributes[name] for name in number_names("styles")] == [
        one.attributes[name] for name in number_names("styles")
    ]


def test_the_basis_spans_what_exact_singular_vectors_span() -> None:
    heard = heard_of(PLAYS, SONGS)
    basis = basis_of(heard, 4, seed=1)[:COLD]

    dense = heard.toarray()[:, :COLD]
    listeners = dense.sum(axis=0)
    dense = dense / np.sqrt(np.maximum(dense.sum(axis=1, keepdims=True), 1)) / np.sqrt(listeners)
    exact = np.linalg.svd(dense)[2][:4].T
    overlap = np.linalg.svd(exact.T @ (basis * np.sqrt(listeners)[:, None]))[1]
    np.testing.assert_allclose(overlap, 1.0, atol=1e-3)
