"""What was computed is not computed again for the same content, whatever object holds it, and old results go."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from bcl_model.remembered import remembered


@dataclass(frozen=True)
class Plays:
    songs: np.ndarray


def test_equal_content_is_computed_once_and_any_other_content_anew() -> None:
    asked: list[int] = []

    @remembered(9)
    def total(heard: sparse.csr_array, plays: Plays, width: int, *, seed: int = 1) -> float:
        asked.append(width)
        return float(heard.sum() + plays.songs.sum() + width + seed)

    heard, plays = sparse.csr_array(np.eye(3)), Plays(np.arange(4))

    assert total(heard, plays, 2) == total(heard.copy(), Plays(np.arange(4)), 2) == 12.0
    assert asked == [2]
    other = sparse.csr_array((heard.data, [0, 1, 1], heard.indptr), (3, 3))
    assert [total(other, plays, 2), total(heard, Plays(np.arange(5)), 2), total(heard, plays, 2, seed=2)] == [
        12,
        16,
        13,
    ]
    assert total(heard, Plays(np.arange(4, dtype=np.int32)), 3) == 13.0
    assert asked == [2, 2, 2, 2, 3]


def test_only_the_last_results_are_kept() -> None:
    asked: list[int] = []

    @remembered(2)
    def one(n: int) -> int:
        asked.append(n)
        return n

    assert [one(n) for n in (1, 2, 1, 3, 1, 2)] == [1, 2, 1, 3, 1, 2]
    assert asked == [1, 2, 3, 2]
