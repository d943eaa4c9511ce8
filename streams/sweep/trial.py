"""What a rule may look at in one past with a model: songs, listeners, neighbours and crowds, as live.

A listener's embedding follows from its ring of recent plays, a song's from the trained encoder; a new song is known by
its content alone.
"""

from functools import cached_property
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from bcl_model.inference import SongEncoder
from streams.audience import cat
from streams.contracts.crowds import SongCrowds
from streams.replay import rivals
from streams.settings import CrowdSettings, Settings
from streams.sweep.past import Floats, Ints, Past, units
from streams.sweep.several import Several, several_vectors
from streams.world.plays import DAY_MS

Doubles: TypeAlias = npt.NDArray[np.float64]

ARTIFACT = "compared"
BACKGROUND, BACKGROUND_SAMPLE = 32, 4_000  # crowds of all listeners, and of how many they are made


class Trial:
    """The truth is not in it."""

    def __init__(self, past: Past, encoder: SongEncoder, settings: Settings) -> None:
        self.past, self.encoder, self.settings = past, encoder, settings
        self.songs = encoder.embed(past.songs.contents)
        self._sums = past.rings.sums(self.songs)
        self.listeners = units(self._sums)  # (L, D)
        self.warm: Ints = np.flatnonzero(past.listeners_of_songs >= settings.crowds.warm_at_listeners)
        self._crowds: dict[int, SongCrowds] = {}
        self._listeners: dict[int, SongCrowds] = {}
        self._several: dict[int, Several] = {}

    def neighbours(self, embedding: Floats, count: int, min_similarity: float) -> tuple[Ints, Floats]:
        """Warm songs, nearest first, and their similarities."""
        similarities = self.songs[self.warm] @ embedding
        nearest = rivals.best(similarities, count)
        nearest = nearest[similarities[nearest] > min_similarity]
        return self.warm[nearest], similarities[nearest]

    def several(self, vectors: int) -> Several:
        """Every listener as at most so many vectors."""
        if vectors not in self._several:
            self._several[vectors] = several_vectors(self.past.rings, self.songs, vectors)
        return self._several[vectors]

    @cached_property
    def background(self) -> cat.Merged:
        """The crowds of everybody, whatever the release."""
        known = np.flatnonzero(np.linalg.norm(self._sums, axis=1) > 1e-6)
        drawn = np.random.default_rng(0).permutation(known)[:BACKGROUND_SAMPLE]
        points = np.unique(self.listeners[drawn].astype(np.float64), axis=0)
        count = min(BACKGROUND, len(points))
        members, centroids = cat.spherical_k_means(points, np.ones(len(points)), count, 0)
        masses = np.bincount(members, minlength=count) / len(points)
        return cat.Merged(centroids.astype(np.float32), masses.astype(np.float32))

    def crowds_of(self, row: int) -> SongCrowds:
        """From the newest distinct listeners of the song, each without its plays of the song, as in the live system."""
        if row not in self._crowds:
            points, weights, listeners = self._sample_of(row)
            count = min(self.settings.crowds.crowds_per_song, len(points))
            members, centroids = cat.spherical_k_means(points, weights, count, row)
            self._crowds[row] = self._as_crowds(
                row, centroids, np.bincount(members, weights, minlength=count).astype(np.float64), listeners
            )
        return self._crowds[row]

    def listeners_of(self, row: int) -> SongCrowds:
        """The same sample with every listener as a crowd of one: what is clustered where songs keep no crowds."""
        if row not in self._listeners:
            self._listeners[row] = self._as_crowds(row, *self._sample_of(row))
        return self._listeners[row]

    def _sample_of(self, row: int) -> tuple[Doubles, Doubles, int]:
        """Distinct unit vectors, their weights, and how many listeners they are of."""
        rule: CrowdSettings = self.settings.crowds
        order, starts = self.past.by_song
        newest = order[starts[row] : starts[row + 1]]
        _, first = np.unique(self.past.plays.listeners[newest], return_index=True)
        newest = newest[np.sort(first)[: rule.listeners_per_song]]
        who = self.past.plays.listeners[newest]
        own = (self.past.rings.weights[who] * (self.past.rings.songs[who] == row)).sum(axis=1)
        others = self._sums[who] - own[:, None] * self.songs[row]
        knows_others = np.linalg.norm(others, axis=1) > 1e-6
        points = units(others[knows_others]).astype(np.float64)
        age_days = (self.past.at_ms - self.past.plays.played_ms[newest][knows_others]) / DAY_MS
        weights = self.past.strengths[newest][knows_others] * 2.0 ** (-age_days / rule.half_life_days)
        distinct, at = np.unique(points, axis=0, return_inverse=True)
        return distinct, np.bincount(at.ravel(), weights).astype(np.float64), len(newest)

    def _as_crowds(self, row: int, centroids: Doubles, masses: Doubles, listeners: int) -> SongCrowds:
        return SongCrowds(
            song_id=self.past.songs.ids[row],
            artifact=ARTIFACT,
            samples=listeners,
            listeners=listeners,
            centroids=centroids.astype(np.float32).tobytes(),
            masses=masses.astype(np.float32).tobytes(),
            at_ms=self.past.at_ms,
        )
