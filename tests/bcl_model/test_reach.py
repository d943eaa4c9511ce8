"""What speaks for a listener and a song: equal to slow loops, and weighed so that what tells is heard."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import sparse
from torch.nn import functional

from bcl_model.errors import BadData
from bcl_model.fields import Content
from bcl_model.kin import basis_of, heard_of
from bcl_model.pairs import Interactions, item_cf
from bcl_model.ranker import Ranker, fitted
from bcl_model.reach import LEAST, LEAST_OF_PARTNERS, SEED, Evidence, evidence
from bcl_model.settings import PairSettings, ReachSettings

SETTINGS = ReachSettings(
    fields=("artist",), neighbours=5, temperatures=(0.1, 0.5), ridge=20.0, hidden=4, steps=100, learning_rate=1e-2
)
SONGS, WARM, LISTENERS = 40, 32, 90
RNG = np.random.default_rng(6)
CONTENTS = [Content({"artist": f"a{n % 9}"}) for n in range(SONGS - 1)] + [Content()]
PLAYS = Interactions(RNG.integers(LISTENERS, size=700), RNG.integers(WARM, size=700))
HEARD = heard_of(PLAYS, WARM)
SIMILARITIES = RNG.uniform(-1, 1, size=(SONGS - WARM, WARM))


def found(similarities: np.ndarray | None = SIMILARITIES, settings: ReachSettings = SETTINGS) -> Evidence:
    return evidence(CONTENTS, HEARD, np.arange(WARM), np.arange(WARM, SONGS), similarities, settings)


def artist(song: int) -> object:
    return CONTENTS[song].attributes.get("artist")


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    return float(one @ other / max(np.linalg.norm(one) * np.linalg.norm(other), 1e-12))


@pytest.mark.parametrize("song", [0, 3, SONGS - WARM - 1])
def test_evidence_of_a_pair_equals_the_loop(song: int) -> None:
    pairs = found().of_pairs(np.arange(LISTENERS))[:, song]
    basis = basis_of(HEARD, SETTINGS.width, SEED)
    songs_of = [np.unique(PLAYS.songs[PLAYS.listeners == u]) for u in range(LISTENERS)]
    lies = [basis[heard].mean(axis=0) for heard in songs_of]

    def audience(m: int) -> np.ndarray:
        return np.mean([lies[u] for u in range(LISTENERS) if m in songs_of[u]], axis=0)

    kin = [m for m in range(WARM) if artist(WARM + song) is not None and artist(m) == artist(WARM + song)]
    place = sum((audience(m) for m in kin), np.zeros(SETTINGS.width))
    nearest = np.argsort(-SIMILARITIES[song])[:5]
    partners = item_cf(PLAYS, WARM, PairSettings())
    says_of_kin = {
        v: partners.scores[(partners.similar == v) & np.isin(partners.songs, kin)].sum() for v in range(WARM)
    }

    names = sorted({str(artist(m)) for m in range(WARM)})
    counts = np.array([[sum(artist(m) == name for m in heard) for name in names] for heard in songs_of])
    inverse = np.linalg.inv(np.log1p(counts).T @ np.log1p(counts) + SETTINGS.ridge * np.eye(len(names)))
    ease = np.where(np.eye(len(names)), 0.0, -inverse / np.diag(inverse))
    of_artist = ease[:, names.index(str(artist(WARM + song)))] / len(kin) if kin else np.zeros(len(names))

    for u in range(LISTENERS):
        expected = []
        for temperature in SETTINGS.temperatures:
            weights = np.exp(SIMILARITIES[song, nearest] / temperature)
            expected.append(np.log(weights[np.isin(nearest, songs_of[u])].sum() / weights.sum() + LEAST))
        expected.append(np.log1p(np.isin(songs_of[u], kin).sum()))
        expected.append(np.log(sum(says_of_kin[v] for v in songs_of[u]) + LEAST_OF_PARTNERS))
        expected.append(np.log1p(counts[u]) @ of_artist)
        expected.append(cosine(lies[u], place))
        np.testing.assert_allclose(pairs[u], expected, rtol=1e-3, atol=1e-4)


def test_without_similarities_no_evidence_comes_of_the_model() -> None:
    with_model, without = found(), found(None)

    np.testing.assert_array_equal(with_model.of_pairs(np.arange(9))[..., 2:], without.of_pairs(np.arange(9)))
    np.testing.assert_array_equal(with_model.of_songs[:, :-2], without.of_songs)


def test_fields_that_nobody_says_add_nothing() -> None:
    more = found(settings=replace(SETTINGS, fields=("artist", "label")))

    np.testing.assert_array_equal(more.of_pairs(np.arange(9)), found().of_pairs(np.arange(9)))


def test_scores_equal_the_layer_over_all_features_at_once() -> None:
    rng = np.random.default_rng(3)
    of = found()
    widths = (of.of_pairs(np.arange(1)).shape[-1], of.of_songs.shape[1], of.of_listeners.shape[1])
    pair, song, listener = (rng.normal(size=(width, 4)).astype(np.float32) for width in widths)
    bias, out = rng.normal(size=(2, 4)).astype(np.float32)

    scores = Ranker(pair, song, listener, bias, out).scores(of, np.arange(LISTENERS))

    weight, chosen = torch.from_numpy(np.concatenate([pair, song, listener])), [70, 2]
    for u in chosen:
        for c in range(SONGS - WARM):
            features = np.concatenate([of.of_pairs(np.array([u]))[0, c], of.of_songs[c], of.of_listeners[u]])
            hidden = functional.relu(torch.from_numpy(features) @ weight + torch.from_numpy(bias))
            assert scores[u, c] == pytest.approx(float(hidden @ torch.from_numpy(out)), rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("enough", [20_000, 100], ids=["every listener", "some listeners"])
def test_what_tells_is_weighed_and_a_seed_repeats_it(enough: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those who heard a song of the artist hear the new one: fitted on some songs, it is found on the others."""
    monkeypatch.setattr("bcl_model.ranker.ENOUGH_PAIRS", enough)
    of = found(None)
    follows = of.of_pairs(np.arange(LISTENERS))[..., 0] > 0  # (listeners, songs)
    half = np.arange(4)
    part = evidence(CONTENTS, HEARD, np.arange(WARM), WARM + half, None, SETTINGS)
    assert 100 < follows[:, half].sum() < 20_000

    ranker, again = (fitted(part, sparse.csr_array(follows[:, half] * 1.0), SETTINGS, seed=1) for _ in range(2))

    scores = ranker.scores(of, np.arange(LISTENERS))[:, 4:-1]
    assert scores[follows[:, 4:-1]].mean() > scores[~follows[:, 4:-1]].mean() + 1
    np.testing.assert_array_equal(ranker.pair, again.pair)


def test_songs_that_nobody_heard_weigh_nothing() -> None:
    with pytest.raises(BadData, match="hold out more songs"):
        fitted(found(), sparse.csr_array((LISTENERS, SONGS - WARM)), SETTINGS, seed=1)
