"""The port through which songs find the warm songs near them, and what every song index has in common."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]
Embeddings = npt.NDArray[np.float32]
Scores = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
Allowed = Callable[[Rows], Bools]  # which of these rows may be answered
Offsets = Mapping[str, Sequence[int]]  # of a topic: where reading goes on in each partition

# The scores that choose the candidates are float32 sums in whatever order a library likes: 64 to 512 unit products
# differ from the true sum by less than this, and so songs this close together are compared again, in one way.
SCORE_ERROR = 1e-5


class Near(NamedTuple):
    row: int
    similarity: float


class Frozen(Protocol):
    """A song index as it was at one moment."""

    def save(self, folder: Path, *, artifact: str, offsets: Offsets) -> None:
        """Complete or not at all; a folder that is there already is replaced."""
        ...


class SongIndex(Protocol):
    """Unit embeddings by row, and the rows nearest to an embedding.

    One thread writes; any number search beside it, and each search sees the index as after some write, whole.
    What is handed over is neither kept nor changed. Embeddings are brought to unit length.
    """

    def __len__(self) -> int: ...

    def rows(self) -> Rows:
        """Sorted."""
        ...

    def upsert(self, rows: npt.NDArray[np.integer], embeddings: Embeddings) -> None:
        """Of a row that stands in `rows` repeatedly, the last one counts."""
        ...

    def remove(self, rows: npt.NDArray[np.integer]) -> None:
        """Rows that are not there are not missed."""
        ...

    def nearest(self, embedding: Embeddings, k: int, allowed: Allowed | None = None) -> list[Near]:
        """The most similar first, ties by row; k of them if so many are allowed."""
        ...

    def frozen(self) -> Frozen: ...

    def restore(self, folder: Path, *, artifact: str) -> dict[str, tuple[int, ...]]:
        """Take the content of a saved index of whatever kind instead of the present one, and return its offsets.

        Raises SnapshotRefused, and changes nothing, if the folder is damaged or of another artifact or dimension.
        """
        ...

    def close(self) -> None:
        """End what runs in the background."""
        ...


def last_of_each(rows: npt.NDArray[np.integer], embeddings: Embeddings, dimension: int) -> tuple[Rows, Embeddings]:
    """Sorted rows and a copy of their last embeddings, at unit length."""
    rows, embeddings = np.asarray(rows, dtype=np.int64), np.asarray(embeddings, dtype=np.float32)
    if rows.ndim != 1 or embeddings.shape != (len(rows), dimension):
        raise ValueError(f"{rows.shape} rows and {embeddings.shape} embeddings, wanted (n,) and (n, {dimension})")
    if len(rows) and rows.min() < 0:
        raise ValueError(f"row {rows.min()} is negative")
    distinct, last = np.unique(rows[::-1], return_index=True)
    return distinct, unit(embeddings[len(rows) - 1 - last])


def unit(embeddings: Embeddings) -> Embeddings:
    """A copy at unit length along the last axis."""
    lengths = np.sqrt(np.square(embeddings, dtype=np.float64).sum(axis=-1, keepdims=True))
    if not (np.isfinite(lengths) & (lengths > 0)).all():
        raise ValueError("an embedding is zero or not finite: it is near to nothing")
    result: Embeddings = (embeddings / lengths).astype(np.float32)
    return result


def unit_query(embedding: Embeddings, dimension: int) -> Embeddings:
    embedding = np.asarray(embedding, dtype=np.float32)
    if embedding.shape != (dimension,):
        raise ValueError(f"an embedding of shape {embedding.shape}, wanted ({dimension},)")
    return unit(embedding)


def best(rows: Rows, embeddings: Embeddings, positions: Rows, scores: Scores, query: Embeddings, k: int) -> list[Near]:
    """The k best of the candidates at these positions, which have these scores.

    Similarities do not depend on who else is a candidate, nor on the order.
    """
    if k <= 0 or len(positions) == 0:
        return []
    if len(positions) > k:
        kth = np.partition(scores, len(scores) - k)[len(scores) - k]
        positions = positions[scores >= kth - SCORE_ERROR]
    rows, embeddings = rows[positions], embeddings[positions]
    # Products first and then one row's sum at a time: a matrix product would add in an order of its own.
    similarities = (embeddings.astype(np.float64) * query.astype(np.float64)).sum(axis=1)
    order = np.lexsort((rows, -similarities))[:k]
    return [Near(int(rows[n]), float(similarities[n])) for n in order]


def best_exactly(rows: Rows, embeddings: Embeddings, positions: Rows, query: Embeddings, k: int) -> list[Near]:
    """The k best of the candidates at these positions, all of them looked at."""
    most_of_them = 4 * len(positions) > len(rows)  # one product over all is faster than gathering
    scores = (embeddings @ query)[positions] if most_of_them else embeddings[positions] @ query
    return best(rows, embeddings, positions, scores, query, k)
