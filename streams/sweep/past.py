"""What was played before the first release, and what every listener is remembered by.

By the rules of the live system, for all listeners at once. L listeners, K places in a ring, D dimensions.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from bcl_model.fields import Content, Fields
from bcl_model.pairs import Interactions
from streams.settings import ListeningSettings
from streams.world.plays import DAY_MS, Plays

Floats: TypeAlias = npt.NDArray[np.float32]
Ints: TypeAlias = npt.NDArray[np.int64]
Heard: TypeAlias = tuple[Plays, Floats, Ints]  # effective plays, their strengths, plays of each listener


@dataclass(frozen=True)
class Catalogue:
    """The songs that have plays; columns of equal length."""

    ids: tuple[str, ...]
    contents: tuple[Content, ...]
    fields: Fields | None = None  # what their contents mean, if that is described

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Rings:
    songs: npt.NDArray[np.int32]  # (L, K) song rows, newest last; -1: empty
    weights: Floats  # (L, K), strength and age
    newest_ms: Ints  # (L,)
    played_ms: Ints  # (L, K)

    def sums(self, embeddings: Floats) -> Floats:
        """(L, D), the listeners' embeddings before they are made unit length."""
        sums = np.zeros((len(self.songs), embeddings.shape[1]), dtype=np.float32)
        for column in range(self.songs.shape[1]):  # place by place: no (L, K, D) in memory
            sums += self.weights[:, column, None] * embeddings[self.songs[:, column]]
        return sums


class Past:
    """All plays before the first release, and the songs; no model yet, and nothing of the releases."""

    def __init__(self, songs: Catalogue, heard: Heard, listeners: int, at_ms: int, rule: ListeningSettings) -> None:
        self.songs, self.at_ms = songs, at_ms
        self.plays, self.strengths, self.counts = heard
        self.rings = rings(self.plays, self.strengths, listeners, rule)

    @property
    def interactions(self) -> Interactions:
        return Interactions(self.plays.listeners, self.plays.songs)

    @cached_property
    def listeners_of_songs(self) -> Ints:
        """How many distinct listeners each song of the catalogue has."""
        listeners = len(self.counts)
        distinct = np.unique(self.plays.songs * listeners + self.plays.listeners)
        return np.bincount(distinct // listeners, minlength=len(self.songs))

    @cached_property
    def by_song(self) -> tuple[Ints, Ints]:
        """Plays in the order of songs, newest first, and where each song's begin."""
        order = np.lexsort((-self.plays.played_ms, self.plays.songs))
        return order, np.searchsorted(self.plays.songs[order], np.arange(len(self.songs) + 1))


def heard(blocks: Iterator[Plays] | Sequence[Plays], rule: ListeningSettings, listeners: int = 0) -> Heard:
    """Effective plays with their strengths, and how often each of at least so many listeners played at all."""
    every = Plays.joined(list(blocks))
    counts = np.bincount(every.listeners, minlength=listeners)
    plays = every.take(every.effective(rule.effective_s, rule.effective_share))
    completed = plays.listened_ms >= rule.completed_share * plays.song_ms
    strengths = np.where(completed, rule.strength_completed, rule.strength_played)
    return plays, np.where(plays.liked, rule.strength_liked, strengths).astype(np.float32), counts


def rings(plays: Plays, strengths: Floats, listeners: int, rule: ListeningSettings) -> Rings:
    order = np.lexsort((plays.songs, plays.played_ms, plays.listeners))
    who, when = plays.listeners[order], plays.played_ms[order]
    ends = np.searchsorted(who, np.arange(listeners), side="right")
    place = rule.keep_plays - (ends[who] - np.arange(len(who)))  # counted from the newest, which is the last place
    kept = place >= 0
    at = (who[kept], place[kept])
    songs = np.full((listeners, rule.keep_plays), -1, dtype=np.int32)
    played = np.zeros((listeners, rule.keep_plays), dtype=np.int64)
    weights = np.zeros((listeners, rule.keep_plays), dtype=np.float32)
    songs[at], played[at] = plays.songs[order][kept], when[kept]
    newest = played[:, -1]
    age_days = (newest[who] - when) / DAY_MS
    weights[at] = (strengths[order] * 2.0 ** (-age_days / rule.half_life_days))[kept]
    weights[newest[:, None] - played > rule.forget_after_days * DAY_MS] = 0
    return Rings(songs, weights, newest, played)


def units(rows: Floats) -> Floats:
    unit: Floats = rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12)
    return unit
