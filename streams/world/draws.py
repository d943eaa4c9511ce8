"""Random numbers by name: the draw for (seed, purpose, counter) is the same whenever and in whatever order it is asked.

A listener can so be made from its number alone; no block of listeners has to be kept, or made before another.
"""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Ints: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float64]

_GOLDEN = 0x9E3779B97F4A7C15
_MASK = 0xFFFFFFFFFFFFFFFF


class Draws:
    """Uniform numbers of one purpose of one world, by one or two counters (splitmix64's finaliser as the hash)."""

    def __init__(self, seed: int, purpose: int) -> None:
        self._key = _mixed_int(_mixed_int(seed) + purpose * _GOLDEN)

    def uniform(self, counter: npt.NDArray[np.integer], second: npt.NDArray[np.integer] | int | None = None) -> Floats:
        """In [0, 1), of the counters' broadcast shape."""
        hashed = _mixed(counter.astype(np.uint64) * np.uint64(_GOLDEN) + np.uint64(self._key))
        if second is not None:
            other = np.asarray(second).astype(np.uint64) * np.uint64(_GOLDEN)
            hashed = _mixed(hashed + other)
        drawn: Floats = (hashed >> np.uint64(11)).astype(np.float64) * 2.0**-53
        return drawn


def found(flat: Floats, columns: int, group: npt.NDArray[np.integer], draw: Floats) -> Ints:
    """For each draw a column of its group's row, as likely as the row says; `flat` holds the rows end to end."""
    at = np.searchsorted(flat, group + draw, side="right") - group * columns
    return np.minimum(at, columns - 1)


def cumulated(weights: npt.NDArray[np.floating]) -> Floats:
    """Rows of weights as rows of cumulative probabilities."""
    sums = np.cumsum(weights, axis=-1, dtype=np.float64)
    shares: Floats = sums / sums[..., -1:]
    return shares


def laid_end_to_end(cumulative: Floats) -> Floats:
    """Rows of cumulative probabilities as one sorted array: row g lies in (g, g + 1]."""
    return (cumulative + np.arange(len(cumulative))[:, None]).ravel()


def _mixed(x: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: npt.NDArray[np.uint64] = x ^ (x >> np.uint64(31))
    return mixed


def _mixed_int(x: int) -> int:
    x &= _MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK
    return x ^ (x >> 31)
