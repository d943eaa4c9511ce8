"""The crowds of every warm song, as the records of song-crowds tell them, and which songs are warm."""

from collections.abc import Iterable, Sequence
from threading import RLock

from streams.contracts.crowds import SongCrowds


class CrowdsOfSongs:
    """A view: of each song of one artifact the record with the most samples, and how far each partition has been read.

    A song is warm from `warm_at_listeners` distinct listeners on, for as long as its crowds are not taken back.
    One thread applies, others may read. Hold `lock` to read several things as of the same offsets.
    """

    def __init__(self, artifact: str, partitions: int, warm_at_listeners: int) -> None:
        self.artifact, self.warm_at_listeners = artifact, warm_at_listeners
        self.lock = RLock()
        self.of_other_artifacts = 0  # records left out
        self._crowds: dict[str, SongCrowds] = {}
        self._offsets = [0] * partitions
        self._turned: list[str] = []

    def __len__(self) -> int:
        return len(self._crowds)

    @property
    def offsets(self) -> tuple[int, ...]:
        """Where reading goes on in each partition of song-crowds."""
        return tuple(self._offsets)

    def apply(self, partition: int, next_offset: int, song_id: str, crowds: SongCrowds | None) -> None:
        """One record; what was read before changes nothing, nor does one that a slow worker published late.

        Of two records with equally many samples the later one stands: an erasure takes listeners away and adds none.
        """
        with self.lock:
            if next_offset <= self._offsets[partition]:
                return
            was_warm = self.is_warm(song_id)
            if crowds is None:
                self._crowds.pop(song_id, None)
            elif crowds.artifact != self.artifact:
                self.of_other_artifacts += 1
            elif (kept := self._crowds.get(song_id)) is None or crowds.samples >= kept.samples:
                self._crowds[song_id] = crowds
            if self.is_warm(song_id) != was_warm:
                self._turned.append(song_id)
            self._offsets[partition] = next_offset

    def read_up_to(self, partition: int, next_offset: int) -> None:
        """Compaction leaves gaps: nothing of ours lies before this offset any more."""
        with self.lock:
            self._offsets[partition] = max(self._offsets[partition], next_offset)

    def of(self, song_id: str) -> SongCrowds | None:
        return self._crowds.get(song_id)

    def is_warm(self, song_id: str) -> bool:
        crowds = self._crowds.get(song_id)
        return crowds is not None and crowds.listeners >= self.warm_at_listeners

    def all(self) -> list[SongCrowds]:
        with self.lock:
            return list(self._crowds.values())

    def restore(self, each: Iterable[SongCrowds], offsets: Sequence[int]) -> None:
        """Into a new view."""
        with self.lock:
            self._crowds = {crowds.song_id: crowds for crowds in each}
            self._turned = [song_id for song_id in self._crowds if self.is_warm(song_id)]
            self._offsets = list(offsets)

    @property
    def turns(self) -> int:
        """How often a song became warm or cold."""
        return len(self._turned)

    def turned_since(self, turn: int) -> list[str]:
        """The songs that became warm or cold after `turns` was `turn`, maybe repeatedly."""
        return self._turned[turn:]
