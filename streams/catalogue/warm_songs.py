"""The warm songs near an embedding: keeps the song index in step with the views it follows from."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager

import numpy as np

from streams.catalogue.song_crowds import CrowdsOfSongs
from streams.catalogue.song_index import Allowed, Embeddings, Rows, SongIndex
from streams.catalogue.songs import Songs


class WarmSongs:
    """In the index is a song that is known, warm and not withdrawn; nothing else is.

    Whoever applies records to the views calls `catch_up` after each batch of them. Every question catches up first,
    so no answer holds a song that the views have lost, whatever thread asks.
    """

    def __init__(self, songs: Songs, crowds: CrowdsOfSongs, index: SongIndex) -> None:
        self.songs, self.crowds, self.index = songs, crowds, index
        self._songs_seen = self._turns_seen = 0
        with self.as_of_one_moment():  # the index may have been restored: only what it lacks is written
            self._songs_seen, self._turns_seen = songs.changes, crowds.turns
            warm, there = self._warm(np.flatnonzero(songs.known)), index.rows()
            self._write(_without(warm, there), _without(there, warm))

    def __len__(self) -> int:
        return len(self.index)

    @contextmanager
    def as_of_one_moment(self) -> Iterator[None]:
        """Views and index stand still, at offsets that can be named."""
        with self.songs.lock, self.crowds.lock:
            yield

    def catch_up(self) -> None:
        with self.as_of_one_moment():
            if (self.songs.changes, self.crowds.turns) == (self._songs_seen, self._turns_seen):
                return
            turned = self.songs.rows(self.crowds.turned_since(self._turns_seen))
            rows = np.union1d(self.songs.changed_since(self._songs_seen), turned[turned >= 0]).astype(np.int64)
            self._songs_seen, self._turns_seen = self.songs.changes, self.crowds.turns
            warm = self._warm(rows)
            self._write(warm, _without(rows, warm))

    def near(
        self, embedding: Embeddings, k: int, *, markets: Collection[str] = (), but_not: str = ""
    ) -> list[tuple[str, float]]:
        """(song, similarity), the most similar first, ties by name: rows differ from worker to worker."""
        if k <= 0:
            return []
        with self.as_of_one_moment():
            self.catch_up()
            allowed = self._allowed(markets, but_not)
            wanted = k + 1
            near = self.index.nearest(embedding, wanted, allowed)
            while len(near) == wanted and near[-1].similarity == near[k - 1].similarity:
                wanted *= 2  # the tie goes on beyond the answer: all of it takes part
                near = self.index.nearest(embedding, wanted, allowed)
            named = [(str(self.songs.song_ids[row]), similarity) for row, similarity in near]
        return sorted(named, key=lambda song: (-song[1], song[0]))[:k]

    def _allowed(self, markets: Collection[str], but_not: str) -> Allowed | None:
        in_market, own_row = self.songs.sold_in(markets), self.songs.row_of.get(but_not)
        if own_row is None:
            return in_market
        if in_market is None:
            return lambda rows: rows != own_row
        return lambda rows: in_market(rows) & (rows != own_row)

    def _warm(self, rows: Rows) -> Rows:
        is_warm, song_ids = self.crowds.is_warm, self.songs.song_ids
        warm = [song_id is not None and is_warm(song_id) for song_id in (song_ids[row] for row in rows.tolist())]
        found: Rows = rows[np.array(warm, dtype=bool)]
        return found

    def _write(self, warm: Rows, others: Rows) -> None:
        if len(others):
            self.index.remove(others)
        if len(warm):
            self.index.upsert(warm, self.songs.embeddings[warm])


def _without(rows: Rows, others: Rows) -> Rows:
    """Both hold each row once."""
    return rows[np.isin(rows, others, assume_unique=True, invert=True)]
