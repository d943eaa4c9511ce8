"""The sums of distance covariance for columns of numbers in O(n log² n), where a table of distances would be n².

For two columns sorted by x, with c, sx, sy, sxy the count and the sums over earlier points of smaller y (Huo, Szekely
2016; Chaudhuri, Hu 2019):

    P = Σ_i ( x_i y_i c_i - y_i sx_i - x_i sy_i + sxy_i )      T = n Σ x y - Σ x Σ y
    Σ_ij a_ij b_ij = 2 (2 P - T)                               a_i. = (2 i - n) x_i + S_n - 2 S_i
"""

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]
Sums = tuple[float, float, float]  # Σ a b, Σ_i a_i. b_i., a_.. b_..


def sums_of(x: Doubles, y: Doubles) -> Sums:
    """Of the distances a within x and b within y."""
    order = np.lexsort((y, x))
    x, y = x[order], y[order]
    rows_x, rows_y = _row_sums(x), _row_sums(y)
    below = _sums_below(y, np.stack([np.ones(len(x)), x, y, x * y]))
    concordant = float((x * y * below[0] - y * below[1] - x * below[2] + below[3]).sum())
    signed = len(x) * float(x @ y) - float(x.sum()) * float(y.sum())
    return 2 * (2 * concordant - signed), float(rows_x @ rows_y), float(rows_x.sum() * rows_y.sum())


def own_sums_of(x: Doubles) -> Sums:
    """Of one column with itself."""
    rows = _row_sums(x)
    return 2 * float(len(x) * (x @ x) - x.sum() ** 2), float(rows @ rows), float(rows.sum() ** 2)


def _row_sums(x: Doubles) -> Doubles:
    """Σ_j |x_i - x_j| for every i."""
    order = np.argsort(x, kind="stable")
    ascending = x[order]
    i, sums = np.arange(1, len(x) + 1), np.cumsum(ascending)
    rows = np.empty(len(x))
    rows[order] = (2 * i - len(x)) * ascending + x.sum() - 2 * sums
    return rows


def _sums_below(y: Doubles, values: Doubles) -> Doubles:
    """For every i the sum of values[:, j] over j < i with y_j < y_i, by merging blocks of growing size."""
    n = len(y)
    sums = np.zeros_like(values)
    place = np.arange(n)
    size = 1
    while size < n:
        block, is_right = place // (2 * size), (place // size) % 2 == 1
        order = np.lexsort((~is_right, y, block))  # on equal y the right half first: it counts smaller ones only
        left = np.where(is_right[order], 0.0, values[:, order])
        before = np.cumsum(left, axis=1) - left
        start = np.searchsorted(block[order], block[order])
        inside = before - before[:, start]
        right = is_right[order]
        sums[:, order[right]] += inside[:, right]
        size *= 2
    return sums
