"""A song index that looks at every song: the reference for the others, and right for a small catalogue."""

from pathlib import Path
from threading import Lock

import numpy as np
import numpy.typing as npt

from streams.catalogue.index_content import IndexContent, read_content
from streams.catalogue.song_index import Allowed, Embeddings, Near, Rows, best_exactly, last_of_each, unit_query


class ExactIndex:
    """Rows and embeddings side by side in no order; the last one fills the gap that a removed one leaves."""

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension
        self._lock = Lock()
        self._slot_of: dict[int, int] = {}
        self._rows: Rows = np.zeros(16, dtype=np.int64)
        self._embeddings: Embeddings = np.zeros((16, dimension), dtype=np.float32)

    def __len__(self) -> int:
        return len(self._slot_of)

    def rows(self) -> Rows:
        with self._lock:
            return np.sort(self._rows[: len(self)])

    def upsert(self, rows: npt.NDArray[np.integer], embeddings: Embeddings) -> None:
        distinct, units = last_of_each(rows, embeddings, self.dimension)
        with self._lock:
            self._make_room(len(self) + len(distinct))
            slots = [self._slot_of.setdefault(row, len(self._slot_of)) for row in distinct.tolist()]
            self._rows[slots], self._embeddings[slots] = distinct, units

    def remove(self, rows: npt.NDArray[np.integer]) -> None:
        with self._lock:
            for row in np.asarray(rows).tolist():
                slot = self._slot_of.pop(row, None)
                last = len(self._slot_of)
                if slot is not None and slot != last:
                    self._rows[slot], self._embeddings[slot] = self._rows[last], self._embeddings[last]
                    self._slot_of[int(self._rows[slot])] = slot

    def nearest(self, embedding: Embeddings, k: int, allowed: Allowed | None = None) -> list[Near]:
        query = unit_query(embedding, self.dimension)
        with self._lock:
            rows, embeddings = self._rows[: len(self)], self._embeddings[: len(self)]
            positions = np.arange(len(rows)) if allowed is None else np.flatnonzero(allowed(rows))
            return best_exactly(rows, embeddings, positions, query, k)

    def frozen(self) -> IndexContent:
        with self._lock:
            order = np.argsort(self._rows[: len(self)])
            return IndexContent(self._rows[order], self._embeddings[order])

    def restore(self, folder: Path, *, artifact: str) -> dict[str, tuple[int, ...]]:
        content, manifest = read_content(folder, artifact=artifact, dimension=self.dimension)
        with self._lock:
            self._rows, self._embeddings = content.rows, content.embeddings
            self._slot_of = {row: slot for slot, row in enumerate(content.rows.tolist())}
        return manifest.offsets

    def close(self) -> None:
        pass

    def _make_room(self, songs: int) -> None:
        if songs <= len(self._rows):
            return
        size = max(16, 2 * songs)
        rows, embeddings = np.zeros(size, dtype=np.int64), np.zeros((size, self.dimension), dtype=np.float32)
        rows[: len(self)], embeddings[: len(self)] = self._rows[: len(self)], self._embeddings[: len(self)]
        self._rows, self._embeddings = rows, embeddings
