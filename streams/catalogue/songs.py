"""Every song of the artifact in use, as the records of song-embeddings tell it: rows, keys, embeddings, facts."""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from threading import RLock

import numpy as np
import numpy.typing as npt

from streams.catalogue.key_table import UNKNOWN, Keys, KeyTable, Rows
from streams.catalogue.song_index import Allowed, Embeddings
from streams.contracts.embeddings import SongEmbedded
from streams.contracts.ids import key_of
from streams.errors import Stop

RECENT = 4_096  # changes that are found without looking at every song
UNINDEXED = 8_192  # new songs that may wait until somebody asks for a key


class Songs:
    """A view: the latest of each song of one artifact, and how far each partition has been read.

    A song keeps its row as long as the process lives, also when it is withdrawn and comes back; no other song gets
    it. A withdrawn song has a zero embedding and is found neither by name nor by key.

    One thread applies, others may read. Hold `lock` to read several things as of the same offsets.
    """

    def __init__(
        self, artifact: str, dimension: int, partitions: int, *, keyed_by: Callable[[str], int] = key_of
    ) -> None:
        self.artifact, self.dimension = artifact, dimension
        self.lock = RLock()
        self.row_of: dict[str, int] = {}
        self.song_ids: list[str | None] = []  # by row; None: withdrawn
        self.of_other_artifacts = 0  # records left out
        self.changes = 0
        self._withdrawn: dict[str, int] = {}
        self._facts: list[SongEmbedded | None] = []
        self._offsets = [0] * partitions
        self._keyed_by = keyed_by
        self._table = KeyTable()
        self._recent: deque[int] = deque(maxlen=RECENT)  # rows, the latest change last
        self._market_sets: list[frozenset[str]] = []
        self._market_set_of: dict[tuple[str, ...], int] = {}
        self._keys = np.zeros(1_024, dtype=np.uint64)
        self._embeddings = np.zeros((1_024, dimension), dtype=np.float32)
        self._known = np.zeros(1_024, dtype=bool)
        self._changed_at = np.zeros(1_024, dtype=np.int64)
        self._markets = np.zeros(1_024, dtype=np.int32)  # which of the market sets

    def __len__(self) -> int:
        """Songs that are known and not withdrawn."""
        return len(self.row_of)

    @property
    def keys(self) -> Keys:
        return self._keys[: len(self.song_ids)]

    @property
    def embeddings(self) -> Embeddings:
        return self._embeddings[: len(self.song_ids)]

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """By row: not withdrawn."""
        return self._known[: len(self.song_ids)]

    @property
    def offsets(self) -> tuple[int, ...]:
        """Where reading goes on in each partition of song-embeddings."""
        return tuple(self._offsets)

    def apply(self, partition: int, next_offset: int, song_id: str, embedded: SongEmbedded | None) -> None:
        """One record; what was read before changes nothing. Another artifact's record leaves the song as it was."""
        with self.lock:
            if next_offset <= self._offsets[partition]:
                return
            if embedded is None:
                self._withdraw(song_id)
            elif embedded.artifact != self.artifact:
                self.of_other_artifacts += 1
            else:
                self._embed(song_id, embedded)
            self._offsets[partition] = next_offset

    def read_up_to(self, partition: int, next_offset: int) -> None:
        """Compaction and other readers' records leave gaps: nothing of ours lies before this offset any more."""
        with self.lock:
            self._offsets[partition] = max(self._offsets[partition], next_offset)

    def facts(self, row: int) -> SongEmbedded:
        facts = self._facts[row]
        if facts is None:
            raise KeyError(f"the song in row {row} has been withdrawn")
        return facts

    def by_row(self) -> list[SongEmbedded | str]:
        """Of each row the facts, or the id of a song that has been withdrawn."""
        with self.lock:
            withdrawn = self._withdrawn_by_row()
            return [withdrawn[row] if facts is None else facts for row, facts in enumerate(self._facts)]

    def restore(self, by_row: Iterable[SongEmbedded | str], offsets: Sequence[int]) -> None:
        """Into a new view; every song gets the row it had."""
        with self.lock:
            for song in by_row:
                if isinstance(song, str):
                    self._withdrawn[song] = self._new_row(song)
                    self.song_ids[-1] = None
                else:
                    self._embed(song.song_id, song)
            self._offsets = list(offsets)

    def rows(self, song_ids: Sequence[str]) -> Rows:
        find = self.row_of.get
        return np.fromiter((find(song_id, UNKNOWN) for song_id in song_ids), dtype=np.int32, count=len(song_ids))

    def rows_of_keys(self, keys: Keys) -> Rows:
        """The row of each key, -1 where no known song has it; of the shape of `keys`."""
        if len(self._table) < len(self.song_ids):
            self._index_new_songs()
        rows = self._table.find(keys)
        if self._withdrawn:
            rows[~self._known[rows]] = UNKNOWN  # row -1 reads some other row: it is -1 already
        return rows

    def changed_since(self, change: int) -> Rows:
        """The songs that became known, were embedded again or withdrawn after `changes` was `change`; sorted."""
        with self.lock:
            ago = self.changes - change
            if ago <= len(self._recent):
                recent = (self._recent[-n] for n in range(1, ago + 1))
                return np.unique(np.fromiter(recent, dtype=np.int32, count=ago))
            return np.flatnonzero(self._changed_at[: len(self.song_ids)] > change).astype(np.int32)

    def sold_in(self, markets: Collection[str]) -> Allowed | None:
        """Which rows share a market with these; None if all do. A song without markets is in every one."""
        if not markets:
            return None
        with self.lock:
            each = [not markets_of or not markets_of.isdisjoint(markets) for markets_of in self._market_sets]
        shared = np.array(each, dtype=bool)
        return None if shared.all() else lambda rows: shared[self._markets[rows]]

    def _embed(self, song_id: str, embedded: SongEmbedded) -> None:
        embedding = np.frombuffer(embedded.embedding, dtype="<f4", count=len(embedded.embedding) // 4)
        fits = len(embedded.embedding) == 4 * self.dimension
        if not fits or not 0.99 < float(embedding @ embedding) < 1.01:
            raise Stop(
                f"the embedding of song {song_id!r} in song-embeddings has {len(embedded.embedding)} bytes, wanted a "
                f"unit vector of {self.dimension} float32 by artifact {self.artifact}; publish it again (`bcl embed`)"
            )
        row = self.row_of.get(song_id)
        if row is None:
            row = self.row_of[song_id] = self._new_row(song_id)
        self._embeddings[row] = embedding
        self._markets[row] = self._market_set(embedded.markets)
        self._known[row] = True
        self.song_ids[row] = song_id
        self._facts[row] = embedded
        self._changed(row)

    def _withdraw(self, song_id: str) -> None:
        row = self.row_of.pop(song_id, None)
        if row is None:
            return
        self._withdrawn[song_id] = row
        self._known[row] = False
        self._embeddings[row] = 0.0
        self.song_ids[row] = self._facts[row] = None
        self._changed(row)

    def _changed(self, row: int) -> None:
        self.changes += 1
        self._changed_at[row] = self.changes
        self._recent.append(row)

    def _new_row(self, song_id: str) -> int:
        row = self._withdrawn.pop(song_id, None)
        if row is not None:
            return row
        row = len(self.song_ids)
        if row == len(self._keys):
            self._grow()
        self._keys[row] = self._keyed_by(song_id)
        self._facts.append(None)
        self.song_ids.append(song_id)
        if row - len(self._table) >= UNINDEXED:
            self._index_new_songs()
        return row

    def _grow(self) -> None:
        """Into new arrays: whoever holds the old ones reads them as they were."""
        for name in ("_keys", "_embeddings", "_known", "_changed_at", "_markets"):
            old = getattr(self, name)
            larger = np.zeros((2 * len(old), *old.shape[1:]), dtype=old.dtype)
            larger[: len(old)] = old
            setattr(self, name, larger)

    def _index_new_songs(self) -> None:
        with self.lock:
            first, end = len(self._table), len(self.song_ids)
            new = self._keys[first:end]
            self._check_distinct(new, first)
            self._table.add(new, np.arange(first, end, dtype=np.int32))

    def _check_distinct(self, new: Keys, first: int) -> None:
        met = self._table.find(new)
        order = np.argsort(new, kind="stable")
        again = np.flatnonzero(new[order][1:] == new[order][:-1])
        pairs = [(int(met[n]), first + int(n)) for n in np.flatnonzero(met != UNKNOWN)]
        pairs += [(first + int(order[n]), first + int(order[n + 1])) for n in again]
        if pairs:
            withdrawn = self._withdrawn_by_row()
            one, other = (self.song_ids[row] or withdrawn.get(row) for row in pairs[0])
            raise Stop(
                f"songs {one!r} and {other!r} have the same 64-bit key {int(self._keys[pairs[0][1]])}; "
                "rename one of them: plays of the two cannot be told apart"
            )

    def _withdrawn_by_row(self) -> dict[int, str]:
        return {row: song_id for song_id, row in self._withdrawn.items()}

    def _market_set(self, markets: tuple[str, ...]) -> int:
        number = self._market_set_of.get(markets)
        if number is None:
            number = self._market_set_of[markets] = len(self._market_sets)
            self._market_sets.append(frozenset(markets))
        return number
