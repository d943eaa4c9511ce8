"""Which songs please the same listeners: the truth of the simulated world, and what a platform could log of it.

truth      neighbours by the cosine of their appeal over many listeners, the means of songs and listeners taken out
feedback   who liked the trigger is shown songs that were played beside it, and some of chance
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bcl_model.pairs import Interactions, item_cf
from bcl_model.settings import PairSettings
from streams.world.draws import Ints
from streams.world.plays import history
from streams.world.world import World

Appeal = npt.NDArray[np.float32]  # (songs, listeners): the probability of an effective play

_LISTENERS_SEED, _FEEDBACK_SEED = 64, 65
_SONGS_AT_ONCE = 256


@dataclass(frozen=True)
class FeedbackSettings:
    plays_per_song: int = 500  # on average; from these it is seen what is played together
    together: int = 30  # candidates of a trigger, played beside it
    at_random: int = 10
    shown: int = 100  # listeners who are shown a candidate


@dataclass(frozen=True)
class Feedback:
    """Rows of songs; columns of equal length."""

    triggers: Ints
    recalled: Ints
    shown: Ints
    liked: Ints


def appeal(world: World, listeners: int = 4_000) -> Appeal:
    """Of every song for listeners that are drawn once."""
    drawn = np.random.default_rng([world.settings.seed, _LISTENERS_SEED]).integers(
        world.settings.listeners, size=listeners
    )
    found = np.empty((len(world.catalogue), listeners), dtype=np.float32)
    who = world.listeners(drawn)
    for row in range(len(found)):
        found[row] = world.probabilities(np.full(listeners, row), who)
    return found


def true_neighbours(found: Appeal, count: int) -> Ints:
    """(songs, count): the songs of the most similar appeal, nearest first; never the song itself."""
    centred = found - found.mean(axis=0)
    centred -= centred.mean(axis=1, keepdims=True)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True) + 1e-12
    nearest = np.empty((len(found), count), dtype=np.int64)
    for first in range(0, len(found), _SONGS_AT_ONCE):
        some = slice(first, min(first + _SONGS_AT_ONCE, len(found)))
        near = centred[some] @ centred.T
        near[np.arange(len(near)), np.arange(len(found))[some]] = -2
        nearest[some] = np.argsort(-near, axis=1, kind="stable")[:, :count]
    return nearest


def feedback(world: World, found: Appeal, settings: FeedbackSettings) -> Feedback:
    """Triggers are songs that have been played; their fans are the listeners of `found`, by what they like."""
    rng = np.random.default_rng([world.settings.seed, _FEEDBACK_SEED])
    together = _played_together(world, settings)
    answers = [np.empty((4, 0), dtype=np.int64)]
    for trigger, beside in enumerate(together):
        if not len(beside):
            continue
        chance = rng.integers(len(found), size=settings.at_random)
        candidates = np.setdiff1d(np.concatenate([beside, chance]), [trigger])
        fans = np.cumsum(found[trigger], dtype=np.float64)
        drawn = np.searchsorted(fans, rng.random((len(candidates), settings.shown)) * fans[-1])
        liked = rng.random(drawn.shape) < found[candidates[:, None], np.minimum(drawn, len(fans) - 1)]
        ever = np.full((2, len(candidates)), [[trigger], [settings.shown]])
        answers.append(np.stack([ever[0], candidates, ever[1], liked.sum(axis=1)]))
    return Feedback(*np.concatenate(answers, axis=1))


def _played_together(world: World, settings: FeedbackSettings) -> list[Ints]:
    """Of each song the best by item-based collaborative filtering; none of a song that nobody has played."""
    plays = settings.plays_per_song * len(world.catalogue)
    blocks = [block.take(block.effective()) for block in history(world, plays)]
    heard = Interactions(
        np.concatenate([block.listeners for block in blocks]), np.concatenate([block.songs for block in blocks])
    )
    pairs = item_cf(heard, len(world.catalogue), PairSettings(per_song=settings.together, min_common=2))
    return np.split(pairs.similar, np.searchsorted(pairs.songs, np.arange(1, len(world.catalogue))))
