"""Grouping: sizes, who is drawn how often, and what each kind promises."""

import itertools

import pytest
import torch

from bcl_model.errors import BadModelSettings
from bcl_model.grouping import FLOOR, first_group, group_size, two_groups
from bcl_model.settings import Grouping, GroupingSettings

DRAWS = 60_000


def groups(correlation: torch.Tensor, rows: int = DRAWS, **settings: object) -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    return first_group(correlation, rows, GroupingSettings(**settings), generator)  # type: ignore[arg-type]


def from_seed_zero(shares: list[float]) -> torch.Tensor:
    """A matrix whose first row makes partners 1, 2, … have these shares, the floor counted."""
    size = len(shares) + 1
    matrix = torch.full((size, size), 0.5, dtype=torch.float64)
    matrix[0, 1:] = torch.tensor(shares, dtype=torch.float64) - FLOOR
    return matrix


def without_replacement(shares: list[float], drawn: int) -> dict[frozenset[int], float]:
    """The chance of each set, by going through every order."""
    chances: dict[frozenset[int], float] = {}
    for order in itertools.permutations(range(len(shares)), drawn):
        chance, left = 1.0, sum(shares)
        for one in order:
            chance *= shares[one] / left
            left -= shares[one]
        chances[frozenset(order)] = chances.get(frozenset(order), 0.0) + chance
    return chances


def test_gumbel_draws_partners_without_replacement() -> None:
    shares = [0.5, 0.3, 0.15, 0.05, 0.2]
    matrix = from_seed_zero(shares).repeat(1, 1)
    matrix[1:] = matrix[0]  # whatever the seed is, look at those of seed 0
    generator = torch.Generator().manual_seed(6)
    seeds = torch.randint(6, (DRAWS,), generator=torch.Generator().manual_seed(6))
    drawn = first_group(matrix, DRAWS, GroupingSettings(), generator)[seeds == 0]

    expected = without_replacement(shares, 2)
    for pair, chance in expected.items():
        both = drawn[:, [one + 1 for one in pair]].all(dim=1).float().mean()
        assert float(both) == pytest.approx(chance, abs=0.015)  # 10,000 draws: three deviations are .014


@pytest.mark.parametrize("kind", [Grouping.RANDOM, Grouping.TOP, Grouping.GUMBEL])
@pytest.mark.parametrize(
    ("units", "share", "size"), [(4, 0.5, 2), (5, 0.5, 2), (12, 0.5, 6), (8, 0.25, 2), (8, 0.75, 6)]
)
def test_a_group_has_its_size_and_the_groups_are_complementary(
    kind: Grouping, units: int, share: float, size: int
) -> None:
    matrix = torch.rand(units, units, generator=torch.Generator().manual_seed(1))
    first, second = two_groups(matrix, 100, GroupingSettings(kind, share, seed_per_sample=True), torch.Generator())

    assert first.shape == (100, units)
    assert (first.sum(dim=1) == size).all()
    assert (first ^ second).all()
    assert first.any(dim=0).all()  # every unit is drawn now and then


def test_top_takes_the_most_correlated_partners_of_the_seed() -> None:
    matrix = torch.tensor([[1, 0.9, 0.1, 0.2], [0.9, 1, 0.3, 0.1], [0.1, 0.3, 1, 0.8], [0.2, 0.1, 0.8, 1]])

    drawn = {tuple(row) for row in groups(matrix, 500, kind=Grouping.TOP).int().tolist()}

    assert drawn == {(1, 1, 0, 0), (0, 0, 1, 1)}


def test_random_ignores_the_correlation_and_gumbel_follows_it() -> None:
    matrix = torch.full((6, 6), 0.01)
    matrix[0, 1] = matrix[1, 0] = 0.9
    together = {
        kind: float(groups(matrix, kind=kind)[:, :2].all(dim=1).float().mean())
        for kind in (Grouping.RANDOM, Grouping.GUMBEL)
    }

    assert together[Grouping.RANDOM] == pytest.approx(0.2, abs=0.01)  # 3 of 6: 3/6 * 2/5
    assert together[Grouping.GUMBEL] > 0.35


def test_a_seed_that_tells_of_nothing_has_even_partners() -> None:
    drawn = groups(torch.zeros(5, 5))

    torch.testing.assert_close(drawn.float().mean(dim=0), torch.full((5,), 0.4), atol=0.01, rtol=0)


def test_temperature_sharpens_and_flattens() -> None:
    matrix = torch.full((6, 6), 0.1)
    matrix[0, 1] = matrix[1, 0] = 0.4
    sharp, usual, flat = (
        float(groups(matrix, temperature=t)[:, :2].all(dim=1).float().mean()) for t in (0.25, 1.0, 4.0)
    )

    assert sharp > usual > flat


def test_one_seed_for_the_batch_or_one_for_each_song() -> None:
    matrix = torch.rand(6, 6, generator=torch.Generator().manual_seed(2))

    assert two_groups(matrix, 50, GroupingSettings(), torch.Generator())[0].shape == (1, 6)
    first, second = two_groups(matrix, 50, GroupingSettings(complementary=False), torch.Generator())
    assert first.shape == second.shape and (first != ~second).any()


@pytest.mark.parametrize("units", [1, 2, 3])
def test_fewer_than_four_units_are_refused_with_a_way_out(units: int) -> None:
    with pytest.raises(BadModelSettings, match=f"at least 4 units of content, there are {units}.*chunk"):
        group_size(units, GroupingSettings())
