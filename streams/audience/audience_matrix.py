"""What is known of the listeners of a partition, as contiguous arrays: a slot each.

L slots, K plays remembered of each, D dimensions. Zeros, and song rows and markets of -1, where a slot is free.
"""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from streams.audience.rings import UNKNOWN, Embeddings, Flags, Keys, Rings, Rows, Times

NO_MARKET = -1


@dataclass(frozen=True, slots=True, eq=False)
class AudienceMatrix:
    embeddings: Embeddings  # (L, D); what a query is scored against
    rings: Rings  # (L, K, 2); the truth that embeddings follow from
    song_rows: Rows  # (L, K); of the rings' songs in the song view
    listener_keys: Keys
    newest_ms: Times  # play; 0: the slot is free
    erased_ms: Times  # plays up to then count nothing
    market_ms: Times
    market: NDArray[np.int32]
    consents: Flags
    has_settings: Flags  # of their own, in the store
    is_held_out: Flags
    has_embedding: Flags
    is_stale: Flags  # the embedding is not that of the ring
    is_waiting: Flags  # a song of the ring may not be known yet
    is_continued: Flags  # the ring has changed by newer and newer plays alone since the last play but one

    @classmethod
    def of(cls, slots: int, keep: int, dimension: int) -> "AudienceMatrix":
        return cls(
            embeddings=np.zeros((slots, dimension), np.float32),
            rings=np.zeros((slots, keep, 2), np.uint64),
            song_rows=np.full((slots, keep), UNKNOWN, np.int32),
            listener_keys=np.zeros(slots, np.uint64),
            newest_ms=np.zeros(slots, np.int64),
            erased_ms=np.zeros(slots, np.int64),
            market_ms=np.zeros(slots, np.int64),
            market=np.full(slots, NO_MARKET, np.int32),
            consents=np.zeros(slots, np.bool_),
            has_settings=np.zeros(slots, np.bool_),
            is_held_out=np.zeros(slots, np.bool_),
            has_embedding=np.zeros(slots, np.bool_),
            is_stale=np.zeros(slots, np.bool_),
            is_waiting=np.zeros(slots, np.bool_),
            is_continued=np.zeros(slots, np.bool_),
        )

    def __len__(self) -> int:
        return len(self.newest_ms)

    def grown(self, slots: int) -> "AudienceMatrix":
        larger = AudienceMatrix.of(slots, self.rings.shape[1], self.embeddings.shape[1])
        for name, array in self._arrays().items():
            getattr(larger, name)[: len(self)] = array
        return larger

    def clear(self, slot: int) -> None:
        free = AudienceMatrix.of(1, self.rings.shape[1], self.embeddings.shape[1])
        for name, array in self._arrays().items():
            array[slot] = getattr(free, name)[0]

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for array in self._arrays().values())

    def _arrays(self) -> dict[str, NDArray[np.generic]]:
        return {field.name: getattr(self, field.name) for field in fields(self)}
