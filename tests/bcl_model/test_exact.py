"""Exact sums: the order of addition cannot be seen in a result, and the rounding is small."""

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from bcl_model.exact import ExactLinear, bits_for, on_grid, unit_rows


@pytest.mark.parametrize("length", [1, 2, 3, 64, 513, 2048, 4096, 20_000])
def test_the_largest_possible_sum_is_held_exactly(length: int) -> None:
    assert length * 2 ** (2 * bits_for(length)) <= 2**53


@pytest.mark.parametrize("length", [7, 300, 4096])
def test_the_order_of_addition_cannot_be_seen(length: int) -> None:
    rng = np.random.default_rng(5)
    rows, weight, bias = rng.normal(size=(9, length)) * 1e3, rng.normal(size=(31, length)), rng.normal(size=31)
    order = rng.permutation(length)

    np.testing.assert_array_equal(ExactLinear(weight, bias)(rows), ExactLinear(weight[:, order], bias)(rows[:, order]))
    np.testing.assert_array_equal(unit_rows(rows)[:, order], unit_rows(rows[:, order]))


@pytest.mark.parametrize("threads", [1, 2])
def test_neither_threads_nor_the_rows_beside_it_change_a_row(threads: int) -> None:
    rng = np.random.default_rng(6)
    rows, linear = rng.normal(size=(257, 300)), ExactLinear(rng.normal(size=(130, 300)), rng.normal(size=130))
    alone = np.concatenate([linear(row[None]) for row in rows])

    with threadpool_limits(threads):
        np.testing.assert_array_equal(linear(rows), alone)
        np.testing.assert_array_equal(linear(np.asfortranarray(rows[::-1])), alone[::-1])


def test_the_rounding_is_small() -> None:
    rng = np.random.default_rng(7)
    rows, weight = rng.normal(size=(50, 300)), rng.normal(size=(40, 300))

    np.testing.assert_allclose(
        ExactLinear(weight, np.zeros(40))(rows), rows @ weight.T, atol=5e-5
    )  # 300 terms of 2^-21
    np.testing.assert_allclose(unit_rows(rows), rows / np.linalg.norm(rows, axis=1, keepdims=True), atol=1e-6)


def test_zeros_stay_zeros_and_extreme_sizes_are_no_matter() -> None:
    rows = np.array([[0.0, 0.0], [3e300, 4e300], [3e-300, 4e-300]])

    np.testing.assert_allclose(unit_rows(rows), [[0, 0], [0.6, 0.8], [0.6, 0.8]], atol=1e-6)
    assert np.abs(on_grid(rows, 20)[0]).max() <= 2**20
