"""Plays are folded into the audience, and of each song some are drawn that tell who listens to it.

The n-th play of a song in this partition is drawn if n <= sampled_plays, or else with a chance of sampled_plays / n: a
hit does not flood the topic. Columns in, columns out: what a draw leads to is said by whoever asked.
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from streams.audience.audience import STALE_AT_MOST, Audience, Folded, Plays
from streams.audience.listener import thousandths
from streams.audience.rings import Embeddings, Flags, Keys, Times
from streams.contracts.ids import unit_draws
from streams.settings import ListeningSettings

SAMPLING = 0x73616D70  # so that sampling and other draws are independent

Numbers: TypeAlias = NDArray[np.int64]


class Counting(Protocol):
    """How often each song was played."""

    def count(self, songs: Numbers, counts: Flags) -> Numbers:
        """For each play the how-manieth of its song it is, in order; one that does not count gets the next one's."""


class Sampled(NamedTuple):
    """Of the plays that were drawn, in their order, those whose listener had an embedding before."""

    plays: Numbers
    listener_keys: Keys
    embeddings: Embeddings  # the listener as they were before the play


@dataclass
class SampledPlays:
    audience: Audience
    songs: Counting
    settings: ListeningSettings

    def fold(self, heard: Plays, songs: Numbers) -> Sampled:
        """`songs`: the number of each play's song. What is drawn does not depend on where a batch was cut."""
        folded, drawn = self.drawn(heard, songs)
        embeddings = folded.embeddings_before(drawn)
        told = embeddings.any(axis=1)
        if not told.all():
            drawn, embeddings = drawn[told], embeddings[told]
        self.audience.refresh(stale_at_most=STALE_AT_MOST)
        return Sampled(drawn, folded.listener_keys[drawn], embeddings)

    def drawn(self, heard: Plays, songs: Numbers) -> tuple[Folded, Numbers]:
        """The plays, folded, and which of them were drawn, whether their listeners had an embedding before or not."""
        folded = self.audience.fold(heard)
        nth = self.songs.count(songs, folded.is_counted)
        draws = unit_draws(SAMPLING, folded.listener_keys, heard.song_keys, heard.played_ms.astype(np.uint64))
        return folded, np.flatnonzero(folded.is_counted & (draws * nth < self.settings.sampled_plays))


def strengths(listened_ms: Times, song_ms: Times, is_liked: Flags, settings: ListeningSettings) -> Times:
    """`listener.strength_of` each play in thousandths; 0 for one that is not effective."""
    is_effective = listened_ms >= settings.effective_s * 1_000
    is_effective |= (song_ms > 0) & (listened_ms >= settings.effective_share * song_ms)
    is_completed = (song_ms > 0) & (listened_ms >= settings.completed_share * song_ms)
    strengths = np.where(is_completed, thousandths(settings.strength_completed), thousandths(settings.strength_played))
    strengths[is_liked] = thousandths(settings.strength_liked)
    return np.where(is_effective, strengths, 0)
