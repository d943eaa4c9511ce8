"""The losses against slow loops of their formulas, and what they must be by their meaning."""

import math

import pytest
import torch

from bcl_model.losses import bpr, info_nce


def test_bpr_equals_the_loop() -> None:
    generator = torch.Generator().manual_seed(1)
    positive, negative = torch.randn(5, generator=generator), torch.randn(5, 3, generator=generator)

    slow = [
        -math.log(1 / (1 + math.exp(-(float(positive[i]) - float(negative[i, n]))))) for i in range(5) for n in range(3)
    ]
    assert float(bpr(positive, negative)) == pytest.approx(sum(slow) / 15, rel=1e-5)


def test_bpr_of_equal_scores_is_the_log_of_two_and_falls_with_the_margin() -> None:
    assert float(bpr(torch.zeros(4), torch.zeros(4, 2))) == pytest.approx(math.log(2))
    assert float(bpr(torch.full((4,), 50.0), torch.zeros(4, 2))) == pytest.approx(0, abs=1e-6)
    assert float(bpr(torch.full((4,), -200.0), torch.zeros(4, 2))) == pytest.approx(200)  # no overflow


@pytest.mark.parametrize("temperature", [0.05, 0.1, 1.0])
def test_info_nce_equals_the_loop(temperature: float) -> None:
    generator = torch.Generator().manual_seed(2)
    first, second = torch.randn(6, 4, generator=generator), torch.randn(6, 4, generator=generator)

    def cosine(a: torch.Tensor, b: torch.Tensor) -> float:
        return float(a @ b) / (float(a.norm()) * float(b.norm()))

    slow = 0.0
    for i in range(6):
        sims = [math.exp(cosine(first[i], second[j]) / temperature) for j in range(6)]
        slow -= math.log(sims[i] / sum(sims)) / 6
    assert float(info_nce(first, second, temperature)) == pytest.approx(slow, rel=1e-4)


def test_both_directions_are_the_mean_of_each_and_symmetric() -> None:
    generator = torch.Generator().manual_seed(3)
    first, second = torch.randn(6, 4, generator=generator), torch.randn(6, 4, generator=generator)

    both = info_nce(first, second, 0.1, both_directions=True)
    assert float(both) == pytest.approx(float(info_nce(first, second, 0.1) + info_nce(second, first, 0.1)) / 2)
    assert float(both) == pytest.approx(float(info_nce(second, first, 0.1, both_directions=True)))


def test_info_nce_of_views_that_say_nothing_is_the_log_of_the_batch() -> None:
    same = torch.ones(8, 4)

    assert float(info_nce(same, same, 0.1)) == pytest.approx(math.log(8))
    assert float(info_nce(torch.eye(8), torch.eye(8), 0.05)) == pytest.approx(math.log(1 + 7 * math.exp(-20)), abs=1e-6)
