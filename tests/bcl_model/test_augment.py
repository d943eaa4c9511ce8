"""Operators and readings: how much is disturbed, what is left alone, and that absent stays absent."""

import pytest
import torch

from bcl_model.augment import Layout, disturb, span_mask, two_views, unit_deviation
from bcl_model.settings import AugmentSettings, Operator, Reading

WIDTH = 48
LAYOUT = Layout(torch.arange(4).repeat_interleave(12), torch.arange(4).repeat_interleave(12))
SONGS = torch.randn(4000, WIDTH, generator=torch.Generator().manual_seed(1)) + 3
PRESENT = torch.ones(4000, 4)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(2)


@pytest.mark.parametrize("operator", [Operator.RANDOM, Operator.SPAN])
@pytest.mark.parametrize("share", [0.1, 0.2, 0.4])
def test_masks_zero_the_share_that_was_asked_for(operator: Operator, share: float) -> None:
    settings = AugmentSettings(operator, mask_share=share, span_share=share)

    masked = disturb(SONGS, PRESENT, LAYOUT, settings, generator())

    assert float((masked == 0).float().mean()) == pytest.approx(share, abs=0.01)
    assert torch.equal(masked[masked != 0], SONGS[masked != 0])


@pytest.mark.parametrize("mean_span", [2.0, 4.0, 10.0])
def test_runs_of_a_span_mask_have_the_mean_length(mean_span: float) -> None:
    wide = Layout(torch.zeros(2000, dtype=torch.long), torch.zeros(2000, dtype=torch.long))
    masks = span_mask(torch.Size((200, 2000)), wide, AugmentSettings(mean_span=mean_span), generator())

    starts = (masks[:, 1:] & ~masks[:, :-1]).sum()
    assert float(masks[:, 1:].sum() / starts) == pytest.approx(mean_span, rel=0.05)


def test_runs_end_with_their_unit() -> None:
    settings = AugmentSettings(span_share=0.3, mean_span=50.0)
    masks = span_mask(torch.Size((4000, WIDTH)), LAYOUT, settings, generator())

    inside = (masks[:, 5] == masks[:, 6]).float().mean()
    across = (masks[:, 11] == masks[:, 12]).float().mean()
    assert float(inside) > 0.95
    assert float(across) == pytest.approx(0.3**2 + 0.7**2, abs=0.03)  # independent


def test_noise_is_even_and_measured_in_deviations_of_its_unit() -> None:
    songs = SONGS.clone()
    songs[:, 12:24] *= 100
    settings = AugmentSettings(Operator.NOISE, noise=0.1)
    added = disturb(songs, PRESENT, LAYOUT, settings, generator()) - songs

    for unit, deviation in ((0, 1.0), (1, 100.0)):
        own = added[:, unit * 12 : unit * 12 + 12] / deviation
        assert float(own.abs().max()) == pytest.approx(0.1, rel=0.05)
        assert float(own.mean()) == pytest.approx(0, abs=0.002)


def test_absent_fields_get_no_noise_and_do_not_count_in_the_deviation() -> None:
    songs, present = SONGS.clone(), PRESENT.clone()
    songs[:2000, :12], present[:2000, 0] = 0.0, 0.0

    noisy = disturb(songs, present, LAYOUT, AugmentSettings(Operator.NOISE), generator())

    assert not noisy[:2000, :12].any()
    deviation = unit_deviation(songs, present[:, LAYOUT.field_of_column], LAYOUT)
    torch.testing.assert_close(deviation, torch.ones(WIDTH), atol=0.05, rtol=0)


def test_the_mixture_uses_each_operator() -> None:
    draw, kinds = generator(), set()
    for _ in range(30):
        disturbed = disturb(SONGS[:50], PRESENT[:50], LAYOUT, AugmentSettings(), draw)
        zeros = disturbed == 0
        kinds.add("noise" if not zeros.any() else "span" if (zeros[:, 1:] & zeros[:, :-1]).sum() > 250 else "random")
    assert kinds == {"noise", "span", "random"}


def views(reading: Reading, groups: tuple[torch.Tensor, torch.Tensor] | None = None):  # type: ignore[no-untyped-def]
    first = torch.tensor([[True, True, False, False]])
    settings = AugmentSettings(Operator.NOISE, reading, noise=0.5)
    default = torch.full((WIDTH,), 7.0)
    return two_views(SONGS, PRESENT, groups or (first, ~first), LAYOUT, default, settings, generator())


def test_reading_a_keeps_its_group_and_disturbs_the_others() -> None:
    (one, has_one), (other, has_other) = views(Reading.DISTURB_OTHERS)

    assert torch.equal(one[:, :24], SONGS[:, :24]) and (one[:, 24:] != SONGS[:, 24:]).float().mean() > 0.99
    assert torch.equal(other[:, 24:], SONGS[:, 24:]) and (other[:, :24] != SONGS[:, :24]).float().mean() > 0.99
    assert has_one.all() and has_other.all()


def test_reading_b_holds_its_group_alone_and_disturbed() -> None:
    (one, has_one), (other, has_other) = views(Reading.KEEP_OWN)

    assert (one[:, 24:] == 7).all() and (one[:, :24] != SONGS[:, :24]).float().mean() > 0.99
    assert (other[:, :24] == 7).all() and (other[:, 24:] != SONGS[:, 24:]).float().mean() > 0.99
    assert has_one[0].tolist() == [1, 1, 0, 0] and has_other[0].tolist() == [0, 0, 1, 1]


def test_without_groups_both_views_disturb_everything() -> None:
    settings = AugmentSettings(Operator.NOISE)
    (one, _), (other, _) = two_views(SONGS, PRESENT, None, LAYOUT, None, settings, generator())

    assert (one != SONGS).float().mean() > 0.99 < (other != SONGS).float().mean()
    assert (one != other).any()
