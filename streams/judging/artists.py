"""How well an artist was known: the effective plays of all their songs before a moment."""

from collections.abc import Iterable

import numpy as np

from streams.contracts.topics import SONG_RELEASES
from streams.recording.log import Log
from streams.recording.played import NameTable
from streams.replay.choices import Heard


class ArtistPlays:
    """Of the songs whose releases are in the log."""

    def __init__(self, log: Log, songs: NameTable, plays: Heard) -> None:
        self._songs_of: dict[str, set[int]] = {}
        for partition in log.partitions(SONG_RELEASES):
            for _, release in log.contracts(SONG_RELEASES, partition):
                for artist in release.artist_ids if release is not None else ():
                    self._songs_of.setdefault(artist, set()).add(songs.number(release.song_id))
        of, at_ms = plays.songs[plays.is_effective], plays.played_ms[plays.is_effective]
        order = np.lexsort((at_ms, of))
        self._at_ms, self._starts = at_ms[order], np.searchsorted(of[order], np.arange(len(songs) + 1))

    def before(self, artist_ids: Iterable[str], at_ms: int) -> int:
        """Of any of these artists, each song once."""
        songs = {song for artist in artist_ids for song in self._songs_of.get(artist, ())}
        return sum(self._played_before(song, at_ms) for song in songs)

    def _played_before(self, song: int, at_ms: int) -> int:
        start, end = self._starts[song], self._starts[song + 1]
        return int(np.searchsorted(self._at_ms[start:end], at_ms))
