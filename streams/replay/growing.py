"""Tables by number that grow as a log is read."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

N = TypeVar("N", bound=np.generic)


def longer(table: NDArray[N], length: int, filling: int = 0) -> NDArray[N]:
    """At least so long; at least twice as long where it grows, so that it does so seldom."""
    if length <= len(table):
        return table
    shape = (max(length, 2 * len(table)), *table.shape[1:])
    grown = np.full(shape, filling, table.dtype) if filling else np.zeros(shape, table.dtype)  # zeros cost when used
    grown[: len(table)] = table
    return grown
