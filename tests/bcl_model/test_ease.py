"""EASE: the published least-squares property, and no weight of a word on itself."""

import numpy as np
from scipy import sparse

from bcl_model.ease import ease


def test_each_column_is_the_ridge_regression_on_the_other_columns() -> None:
    counts = np.random.default_rng(1).poisson(0.7, (40, 6)).astype(np.float32)

    wanted = np.array([1, 3, 4])

    weights = ease(sparse.csr_array(counts), 3.0, wanted)

    for column, target in enumerate(wanted):
        others = np.delete(np.arange(6), target)
        gram = counts[:, others].T @ counts[:, others] + 3.0 * np.eye(5)
        best = np.linalg.solve(gram, counts[:, others].T @ counts[:, target])
        np.testing.assert_allclose(weights[others, column], best, atol=1e-5)
        assert weights[target, column] == 0


def test_the_weights_wanted_equal_those_of_the_whole_inverse() -> None:
    counts = np.random.default_rng(2).poisson(0.5, (60, 9)).astype(np.float32)
    inverse = np.linalg.inv(counts.T @ counts + 2.0 * np.eye(9))
    every = np.where(np.eye(9), 0.0, -inverse / np.diag(inverse))

    for wanted in ([], [0], [2, 5, 8], range(9)):
        some = np.array(wanted, dtype=np.int64)
        np.testing.assert_allclose(ease(sparse.csr_array(counts), 2.0, some), every[:, some], atol=1e-5)
