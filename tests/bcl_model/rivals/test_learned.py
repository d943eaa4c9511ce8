"""DropoutNet and CLCRec: what their papers say of them, on a small world, and a loss against a slow loop."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from bcl_model.errors import BadModelSettings
from bcl_model.evaluation.answers import Method
from bcl_model.evaluation.measures import judged
from bcl_model.evaluation.trial import split_of
from bcl_model.fields import Content, inferred
from bcl_model.rivals.clcrec import ClcRecSettings, clcrec, first_among, joint_loss
from bcl_model.rivals.content import KinSettings, content_of
from bcl_model.rivals.dropout_net import DropoutNetSettings, dropout_net
from bcl_model.rivals.simple import popularity
from bcl_model.settings import section
from tests.builders.songs import world

CONTENTS, PLAYS = world()
SPLIT = split_of(CONTENTS, PLAYS, inferred(CONTENTS), share=0.2)
DROPOUT_NET = DropoutNetSettings(dimension=16, dropout=0.5, steps=120, listeners_per_step=256, songs_per_step=128)
CLCREC = ClcRecSettings(
    dimension=16,
    steps=120,
    songs_per_step=64,
    listeners_per_song=4,
    negatives=64,
    temperature=0.2,
    learning_rate=1e-2,
    decay=1e-3,
)
LEARNED = ((dropout_net, replace(DROPOUT_NET, unknown_share=1.0)), (clcrec, replace(CLCREC, unknown_share=1.0)))


def precision(method: Method) -> float:
    return judged(SPLIT, method(SPLIT.trial), 40).means()["song_to_listeners_precision_at_40"]


def test_dropout_net_knows_cold_songs_by_what_was_dropped_while_it_learned() -> None:
    """The paper's main claim: without dropout the content is not learned, with it cold songs are found."""
    with_dropout = precision(dropout_net(DROPOUT_NET))
    without = precision(dropout_net(replace(DROPOUT_NET, dropout=0.0)))
    assert with_dropout > 2 * max(without, precision(popularity))


def test_clcrec_needs_one_of_its_two_ties_between_content_and_listening() -> None:
    """The paper's ablation: with neither the contrast of songs nor replaced songs, content stays where it began."""
    tied = [precision(clcrec(replace(CLCREC, **ties))) for ties in ({}, {"weight": 1.0}, {"weight": 0.0})]
    untied = precision(clcrec(replace(CLCREC, weight=0.0, replaced=0.0)))
    assert tied[0] > 1.8 * untied and tied[2] > 1.8 * untied
    assert tied[1] < tied[0]  # listeners are never met


def test_clcrec_loss_equals_the_loop_over_pairs() -> None:
    generator = torch.Generator().manual_seed(5)
    listener = torch.randn(3, 2, 4, generator=generator)
    own, content = (torch.randn(8, 4, generator=generator) for _ in range(2))
    is_replaced = torch.rand(8, 1, generator=generator) < 0.5
    settings = ClcRecSettings(weight=0.3, temperature=0.7, decay=0.01)

    def cosine(one: torch.Tensor, other: torch.Tensor) -> float:
        return float(one @ other / one.norm() / other.norm())

    def against(scores: list[float]) -> float:
        return -float(np.log(np.exp(scores[0] / 0.7) / np.exp(np.divide(scores, 0.7)).sum()))

    met = [content[n] if is_replaced[n] else own[n] for n in range(8)]
    slow = 0.0
    for n in range(3):
        for of in listener[n]:
            songs = against([cosine(own[n], content[other]) for other in (n, 3, 4, 5, 6, 7)])
            listeners = against([float(of @ met[other]) for other in (n, 3, 4, 5, 6, 7)])
            slow += (0.3 * songs + 0.7 * listeners + 0.01 * float(of @ of + own[n] @ own[n])) / 6
    assert float(joint_loss(listener, own, content, is_replaced, settings)) == pytest.approx(slow, rel=1e-5)


def test_equal_products_are_a_lottery() -> None:
    same = torch.ones(4, 3)
    assert float(first_among(same, same, torch.ones(9, 3), 1.0)) == pytest.approx(np.log(10))


@pytest.mark.parametrize(
    "method", [partial(made, replace(of, audience=KinSettings(("genre",), 16))) for made, of in LEARNED]
)
def test_a_cold_song_is_placed_by_the_audience_of_its_kin(method: Callable[[], Method]) -> None:
    """The words alone say nothing: every one is made unknown. What is left is whom the songs of its genre reached."""
    contents = [Content({"genre": one.attributes["genre"]}) for one in CONTENTS]
    split = split_of(contents, PLAYS, inferred(contents), share=0.2)

    told = judged(split, method()(split.trial), 40).means()["song_to_listeners_precision_at_40"]

    assert told > 2 * judged(split, popularity(split.trial), 40).means()["song_to_listeners_precision_at_40"]


def test_no_warm_song_sees_its_own_plays() -> None:
    """Nobody shares the genre of the first warm song: it is told nothing of an audience, as if nobody had heard it."""
    alone = SPLIT.trial.warm[0]
    contents = [Content({"genre": "one" if n == alone else "other"}) for n in range(len(CONTENTS))]
    trial = replace(SPLIT.trial, contents=contents, fields=inferred(contents))

    _, told = content_of(trial, KinSettings(("genre",), 16))

    says_so = {name: row for name, row in told.items() if name.startswith("genre_")}
    assert says_so and all(not values[alone].any() for values in says_so.values())


@pytest.mark.parametrize("kind", [DropoutNetSettings, ClcRecSettings])
def test_a_part_of_the_audience_settings_leaves_the_rest_as_it_is(
    kind: type[DropoutNetSettings] | type[ClcRecSettings],
) -> None:
    assert section(kind, {"audience": {"width": 32}}, "settings").audience == KinSettings(("artist", "album"), 32)


@pytest.mark.parametrize("method", [dropout_net(replace(DROPOUT_NET, steps=5)), clcrec(replace(CLCREC, steps=5))])
def test_a_seed_repeats_a_run(method: Method) -> None:
    one, other = method(SPLIT.trial), method(SPLIT.trial)
    assert one.fits is not None and other.fits is not None
    np.testing.assert_array_equal(one.similarities, other.similarities)
    np.testing.assert_array_equal(one.fits(np.arange(50)), other.fits(np.arange(50)))


def test_shares_and_temperatures_that_cannot_be_are_refused() -> None:
    with pytest.raises(BadModelSettings, match=r"dropout is 1\.5"):
        DropoutNetSettings(dropout=1.5)
    with pytest.raises(BadModelSettings, match=r"replaced is -0\.1"):
        ClcRecSettings(replaced=-0.1)
    with pytest.raises(BadModelSettings, match="temperature is 0"):
        ClcRecSettings(temperature=0)
