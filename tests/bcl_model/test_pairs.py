"""ItemCF pairs against the slow loop of the formula, and the posterior check."""

import math

import numpy as np
import pytest

from bcl_model.pairs import Impressions, Interactions, Pairs, item_cf, posterior_check
from bcl_model.settings import PairSettings


def slow_item_cf(plays: Interactions, songs: int, settings: PairSettings) -> dict[tuple[int, int], float]:
    heard: dict[int, set[int]] = {}
    for listener, song in zip(plays.listeners.tolist(), plays.songs.tolist(), strict=True):
        heard.setdefault(listener, set()).add(song)
    audience = {song: {u for u, own in heard.items() if song in own} for song in range(songs)}
    kept = {}
    for i in range(songs):
        scores = []
        for j in range(songs):
            both = audience[i] & audience[j]
            if i != j and len(both) >= settings.min_common:
                shared = sum(1 / math.log(1 + len(heard[u])) for u in both)
                scores.append((-shared / math.sqrt(len(audience[i]) * len(audience[j])), j))
        kept.update({(i, j): -score for score, j in sorted(scores)[: settings.per_song]})
    return kept


@pytest.mark.parametrize("seed", range(4))
def test_pairs_equal_the_slow_loop(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bcl_model.pairs.SONGS_AT_ONCE", 7)
    rng = np.random.default_rng(seed)
    plays = Interactions(rng.integers(40, size=400), (rng.random(400) ** 2 * 25).astype(np.int64))
    settings = PairSettings(per_song=5, min_common=2)

    pairs, slow = item_cf(plays, 25, settings), slow_item_cf(plays, 25, settings)

    found = dict(
        zip(zip(pairs.songs.tolist(), pairs.similar.tolist(), strict=True), pairs.scores.tolist(), strict=True)
    )
    assert sorted(found.values()) == pytest.approx(sorted(slow.values()))
    assert all(found[pair] == pytest.approx(slow[pair]) for pair in found.keys() & slow.keys())
    assert len(found.keys() & slow.keys()) > 0.95 * len(slow)  # equal scores may be rounded into another order


def test_pairs_of_some_songs_are_those_among_the_pairs_of_all() -> None:
    rng = np.random.default_rng(1)
    plays = Interactions(rng.integers(40, size=400), rng.integers(25, size=400))
    settings, some = PairSettings(per_song=5, min_common=2), np.arange(25) % 3 == 0

    whole, part = item_cf(plays, 25, settings), item_cf(plays, 25, settings, only=some)

    np.testing.assert_array_equal(part.similar, whole.similar[some[whole.songs]])


def test_repeated_plays_and_their_order_do_not_count() -> None:
    rng = np.random.default_rng(2)
    listeners, songs = rng.integers(30, size=300), rng.integers(20, size=300)
    order = rng.permutation(np.tile(np.arange(300), 2))

    once = item_cf(Interactions(listeners, songs), 20, PairSettings(min_common=2))
    twice = item_cf(Interactions(listeners[order], songs[order]), 20, PairSettings(min_common=2))

    np.testing.assert_array_equal(once.similar, twice.similar)


def test_nobody_listening_makes_no_pairs() -> None:
    nothing = np.empty(0, np.int64)

    assert len(item_cf(Interactions(nothing, nothing), 5, PairSettings())) == 0


PAIRS = Pairs(np.array([0, 0, 1, 2]), np.array([1, 2, 2, 3]), np.ones(4))
SHOWN = Impressions(
    after=np.array([0] * 10 + [0] * 10 + [1] * 10 + [2] * 2),
    shown=np.array([1] * 10 + [2] * 10 + [2] * 10 + [3] * 2),
    good=np.array([True] * 9 + [False] + [False] * 10 + [True] * 5 + [False] * 5 + [False] * 2),
)


def test_the_posterior_check_keeps_pairs_that_earned_good_feedback() -> None:
    settings = PairSettings(min_good_rate=0.5, min_impressions=10)

    kept = posterior_check(PAIRS, SHOWN, 4, settings)

    assert list(zip(kept.songs.tolist(), kept.similar.tolist(), strict=True)) == [(0, 1), (1, 2), (2, 3)]


def test_a_strict_posterior_check_drops_pairs_that_were_hardly_shown() -> None:
    settings = PairSettings(min_good_rate=0.5, min_impressions=10, keep_unjudged=False)

    kept = posterior_check(PAIRS, SHOWN, 4, settings)

    assert list(zip(kept.songs.tolist(), kept.similar.tolist(), strict=True)) == [(0, 1), (1, 2)]


def test_without_impressions_or_switched_off_the_posterior_check_changes_nothing() -> None:
    nothing = Impressions(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, bool))

    assert len(posterior_check(PAIRS, nothing, 4, PairSettings(min_good_rate=0.5))) == 4
    assert len(posterior_check(PAIRS, SHOWN, 4, PairSettings())) == 4
