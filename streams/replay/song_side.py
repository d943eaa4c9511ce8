"""The crowds of songs in a replay: samples fold as columns, and what live would have published can be asked for."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streams.audience.crowds import Audiences, Doubles, Floats, Keys, Rows, rounds, song_crowds
from streams.contracts.crowds import SongCrowds
from streams.contracts.partitions import partition_of
from streams.replay.growing import longer
from streams.replay.waiting_samples import Samples, WaitingSamples
from streams.settings import CrowdSettings

Numbers = NDArray[np.int64]
NO_ROW = -1


class Turned(NamedTuple):
    """What folding changed for the view of all songs."""

    warm: list[str]
    cold: list[str]
    published: list[int]  # records in each song partition


class SongSide:
    """Some songs of one lane. A song is known by its number in the log; `names` has them all, and grows."""

    def __init__(
        self, settings: CrowdSettings, artifact: str, dimension: int, song_partitions: int, names: list[str]
    ) -> None:
        self._names = names
        self._warm_at = settings.warm_at_listeners
        self._partitions = song_partitions
        self._audiences = Audiences(settings, artifact, dimension)
        self._told = _Told(settings.crowds_per_song, dimension)
        self._waiting = WaitingSamples()
        self._turns: Iterator[Samples] | None = None  # of all that waits
        self._was_warm: NDArray[np.bool_] = np.zeros(0, np.bool_)  # when samples were last told
        self._published = np.zeros(song_partitions, np.int64)  # since it was last told
        self._row_of: Rows = np.zeros(0, np.int64)  # by number of the song
        self._partition_of: Rows = np.zeros(0, np.int64)  # by row

    @property
    def waiting(self) -> int:
        """Samples."""
        return len(self._waiting)

    def told(self, samples: Samples) -> Samples:
        """Those that are to be folded now.

        A sample of a song that is warm, and cannot turn cold by more of them, waits until somebody asks for the song's
        crowds or very many wait: what it comes to is the same.
        """
        rows = self._rows(samples.songs)
        can_wait = self._told.is_warm[rows] & (self._audiences.listeners[rows] >= self._warm_at)
        self._was_warm = self._told.is_warm.copy()
        if can_wait.all():
            self._waiting.add(samples, rows)
            return Samples.none()
        self._waiting.add(samples.at(np.flatnonzero(can_wait)), rows[can_wait])
        return samples.at(np.flatnonzero(~can_wait))

    def turned(self) -> Turned:
        """Since samples were last told."""
        published, self._published = self._published, np.zeros(self._partitions, np.int64)
        rows = np.flatnonzero(self._told.is_warm != self._was_warm)
        names, is_warm = self._audiences.song_ids, self._told.is_warm[rows]
        return Turned(
            [names[row] for row in rows[is_warm].tolist()],
            [names[row] for row in rows[~is_warm].tolist()],
            published.tolist(),
        )

    def taken(self, songs: list[str]) -> Samples:
        """What waits for these songs."""
        rows = self._audiences.rows_known(songs)
        return self._waiting.taken(np.array([row for row in rows if row is not None], np.int64))

    def next_taken(self) -> Samples:
        """Some of what waits; none: nothing does any more."""
        self._turns = self._turns or self._waiting.all_taken()
        for some in self._turns:
            if len(some.places):
                return some
        self._turns = None
        return Samples.none()

    def crowds(self, songs: list[str]) -> list[SongCrowds | None]:
        """Of songs for which nothing waits."""
        rows = self._audiences.rows_known(songs)
        return [None if row is None else self._told.crowds(self._audiences, row) for row in rows]

    def forget(self, listener_keys: Keys) -> None:
        """While nothing waits."""
        self._audiences.forget(listener_keys)

    def untell(self, song_id: str) -> None:
        """What was published about the song is taken back; nothing waits for it."""
        [row] = self._audiences.rows_known([song_id])
        if row is not None:
            self._told.take_back(row)

    def fold(self, samples: Samples, embeddings: Floats) -> None:
        """In the order of the log, whatever order they come in. A listener without an embedding tells nothing."""
        told = np.flatnonzero(embeddings.any(axis=1))
        order, audiences = told[np.argsort(samples.places[told], kind="stable")], self._audiences
        rows = self._row_of[samples.songs[order]]
        draws = audiences.draws(samples.listener_keys, samples.played_ms, samples.strengths)
        for n in rounds(rows):
            at = order[n]
            audiences.fold(
                rows[n],
                samples.listener_keys[at],
                draws[at],
                samples.played_ms[at],
                embeddings[at].astype(np.float64),
                samples.strengths[at],
            )
            due = rows[n][audiences.is_due(rows[n])]
            if len(due):
                self._told.note(audiences, due, self._warm_at)
                self._published += np.bincount(self._partition_of[due], minlength=self._partitions)

    def _rows(self, songs: Numbers) -> Rows:
        self._row_of = longer(self._row_of, len(self._names), NO_ROW)
        new = songs[self._row_of[songs] == NO_ROW]
        if len(new):
            new = np.unique(new)
            names = [self._names[song] for song in new.tolist()]
            self._row_of[new] = rows = self._audiences.rows(names)
            self._partition_of = longer(self._partition_of, len(self._audiences))
            self._partition_of[rows] = [partition_of(name.encode(), self._partitions) for name in names]
            self._told.room(len(self._audiences.samples))
        return self._row_of[songs]


class _Told:
    """What was last published of each song, by row; kept as columns, made a record where somebody asks."""

    def __init__(self, crowds: int, dimension: int) -> None:
        self.is_warm = np.zeros(0, np.bool_)
        self.samples, self.listeners, self.used, self.at_ms = np.zeros((4, 0), np.int64)
        self.masses: Doubles = np.zeros((0, crowds))
        self.means: Floats = np.zeros((0, crowds, dimension), np.float32)

    def room(self, songs: int) -> None:
        if songs > len(self.is_warm):
            for name in ("is_warm", "samples", "listeners", "used", "at_ms", "masses", "means"):
                setattr(self, name, longer(getattr(self, name), songs))

    def note(self, audiences: Audiences, rows: Rows, warm_at: int) -> None:
        audiences.published[rows] = self.samples[rows] = audiences.samples[rows]
        self.listeners[rows] = listeners = audiences.listeners[rows]
        self.used[rows], self.at_ms[rows] = audiences.used[rows], audiences.at_ms[rows]
        self.masses[rows], self.means[rows] = audiences.masses[rows], audiences.means[rows]
        self.is_warm[rows] = listeners >= warm_at

    def take_back(self, row: int) -> None:
        self.samples[row], self.is_warm[row] = 0, False

    def crowds(self, audiences: Audiences, row: int) -> SongCrowds | None:
        if row >= len(self.samples) or self.samples[row] == 0:
            return None
        used = int(self.used[row])
        return song_crowds(
            audiences.song_ids[row],
            audiences.artifact,
            samples=int(self.samples[row]),
            listeners=int(self.listeners[row]),
            means=self.means[row, :used],
            masses=self.masses[row, :used],
            at_ms=int(self.at_ms[row]),
        )
