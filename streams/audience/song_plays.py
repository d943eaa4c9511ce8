"""How often each song was played in a listener partition, exactly, and what else sampling needs of a song.

    N song_key     u64 plays                              as of some batch
    M n            { u64 song_key | u64 plays } ...       of the songs of the n-th batch since: newer than N

Most songs of a batch are in the next one too. So a batch writes one value, and every so often the newest count of each
song takes its place: that saves half of the puts of a batch of plays.
"""

from itertools import repeat
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from streams.audience.rings import Flags, Keys
from streams.contracts.ids import key_of
from streams.contracts.partitions import partition_of
from streams.state.layout import RECENT_SONG_PLAYS, SONG_PLAYS, keyed, of_partition
from streams.state.store import Store

SMALLEST = 1_024
SONGS_AT_MOST = 200_000  # found by name without a look into the store; 250 B each
MERGED_AFTER = 64  # batches

Numbers: TypeAlias = NDArray[np.int64]
A = TypeVar("A", bound=np.generic)


class SongPlays:
    """Songs by number; a number holds until the next call of `numbers`."""

    def __init__(
        self,
        store: Store,
        song_partitions: int,
        *,
        at_most: int = SONGS_AT_MOST,
        merged_after: int = MERGED_AFTER,
    ) -> None:
        self._store = store
        self._song_partitions = song_partitions
        self._at_most = at_most
        self._merged_after = merged_after
        self.keys: Keys = np.zeros(SMALLEST, np.uint64)
        self.partitions: Numbers = np.zeros(SMALLEST, np.int64)
        self._plays: Numbers = np.zeros(SMALLEST, np.int64)
        self._number_of: dict[str, int] = {}
        self._recent: dict[int, int] = {}  # plays by song key, newer than what is stored under the song
        self._batches = 0
        for _, value in store.items(RECENT_SONG_PLAYS):
            keys, plays = np.frombuffer(value, "<u8").reshape(-1, 2).T.tolist()
            self._recent.update(zip(keys, plays, strict=True))
            self._batches += 1

    def numbers(self, song_ids: list[str]) -> Numbers:
        if len(self._number_of) > self._at_most:
            self._number_of.clear()
        numbers = np.fromiter(map(self._number_of.get, song_ids, repeat(-1)), np.int64, len(song_ids))
        for n in np.flatnonzero(numbers < 0).tolist():
            numbers[n] = self._number(song_ids[n])
        return numbers

    def count(self, songs: Numbers, counts: Flags) -> Numbers:
        nth, played, new = nth_plays(songs, counts, self._plays)
        self._plays[played] += new
        self._put(played[new > 0])
        return nth

    def _put(self, songs: Numbers) -> None:
        if len(songs) == 0:
            return
        keys, plays = self.keys[songs], self._plays[songs].astype(np.uint64)
        self._recent.update(zip(keys.tolist(), plays.tolist(), strict=True))
        value = np.stack([keys, plays], axis=1).astype("<u8").tobytes()
        self._store.put(of_partition(RECENT_SONG_PLAYS, self._batches), value)
        self._batches += 1
        if self._batches >= self._merged_after:
            self._merge()

    def _merge(self) -> None:
        for key, plays in self._recent.items():
            self._store.put(keyed(SONG_PLAYS, key), plays.to_bytes(8, "little"))
        for n in range(self._batches):
            self._store.delete(of_partition(RECENT_SONG_PLAYS, n))
        self._recent.clear()
        self._batches = 0

    def _number(self, song_id: str) -> int:
        number = self._number_of.get(song_id)
        if number is None:
            number = self._number_of[song_id] = len(self._number_of)
            if number == len(self.keys):
                self.keys, self.partitions = _doubled(self.keys), _doubled(self.partitions)
                self._plays = _doubled(self._plays)
            self.keys[number] = key = key_of(song_id)
            self.partitions[number] = partition_of(song_id.encode(), self._song_partitions)
            stored = self._store.get(keyed(SONG_PLAYS, key)) or b""
            self._plays[number] = self._recent.get(key) or int.from_bytes(stored, "little")
        return number


def nth_plays(songs: Numbers, counts: Flags, before: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """For each play the how-manieth of its song it is, in order; a play that does not count gets the next one's.

    And which songs were played, and how often more. `before`: plays so far, by number of the song.
    """
    order = np.argsort(songs, kind="stable")
    sorted_songs = songs[order]
    counted = np.cumsum(counts[order])
    starts = np.flatnonzero(np.diff(sorted_songs, prepend=-1))
    lengths = np.diff(starts, append=len(songs))
    of_earlier_songs = np.where(starts > 0, counted[starts - 1], 0)
    nth = np.empty(len(songs), np.int64)
    nth[order] = before[sorted_songs] - np.repeat(of_earlier_songs, lengths) + counted + ~counts[order]
    new: Numbers = counted[starts + lengths - 1] - of_earlier_songs
    return nth, sorted_songs[starts], new


def _doubled(array: NDArray[A]) -> NDArray[A]:
    return np.concatenate([array, np.zeros_like(array)])
