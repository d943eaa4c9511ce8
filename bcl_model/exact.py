"""Products and lengths whose result does not depend on the order of addition.

Floating-point sums differ with the order in which a library adds, and that order changes with the size of a batch,
the count of threads and the processor. Here the factors are first rounded to whole numbers of so few bits that
every product and every sum of products is a whole number below 2^53, which float64 holds exactly. What is exact
comes out the same in any order: same song, same bits, in every batch and on every machine. The price is the
rounding: each row keeps about 21 bits below its largest value, float32 keeps 24.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]


def bits_for(length: int) -> int:
    """Of each factor, so that a sum of `length` products stays below 2^53."""
    return (53 - (length - 1).bit_length()) // 2 if length > 1 else 26


def on_grid(rows: npt.NDArray[Any], bits: int) -> tuple[Doubles, npt.NDArray[np.int32]]:
    """Rows as whole numbers of at most 2^bits, times 2^exponent: (n, length), (n, 1)."""
    _, exponents = np.frexp(np.abs(rows).max(axis=1, keepdims=True, initial=0.0))
    return np.rint(np.ldexp(rows.astype(np.float64), bits - exponents)), exponents - bits


def unit_rows(rows: npt.NDArray[Any]) -> Doubles:
    """Rows of length one; a row of zeros stays one."""
    whole, _ = on_grid(rows, bits_for(rows.shape[1]))
    length = np.sqrt(np.einsum("nd,nd->n", whole, whole))[:, None]
    return whole / np.where(length == 0, 1.0, length)


class ExactLinear:
    """x -> x weightᵀ + bias."""

    def __init__(self, weight: npt.NDArray[Any], bias: npt.NDArray[Any]) -> None:
        self._bits = bits_for(weight.shape[1])
        whole, exponents = on_grid(weight, self._bits)  # a row of the weight makes one output
        self._whole = np.ascontiguousarray(whole.T)
        self._exponents = exponents.T
        self._bias = bias.astype(np.float64)

    def __call__(self, rows: Doubles) -> Doubles:
        whole, exponents = on_grid(rows, self._bits)
        product: Doubles = np.ldexp(whole @ self._whole, exponents + self._exponents) + self._bias
        return product
