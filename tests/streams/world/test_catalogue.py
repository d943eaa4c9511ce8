"""A world as a catalogue: ten fields and more, effective plays alone, and a power law that can be made steeper."""

import numpy as np

from streams.world.catalogue import simulated, skewed
from streams.world.plays import Plays, history
from streams.world.world import World, WorldSettings

SMALL = WorldSettings(listeners=300, songs=200, new_songs=1, seed=3)


def gini(plays: np.ndarray) -> float:
    ascending = np.sort(plays)
    share = np.cumsum(ascending) / ascending.sum()
    return float(1 - 2 * share.mean() + 1 / len(plays))


def test_a_world_says_ten_fields_of_its_songs_and_who_played_them_effectively() -> None:
    found = simulated(SMALL, 6_000)
    played = Plays.joined(list(history(World(SMALL), 6_000)))

    assert len(found.fields) >= 10 and "artist" not in {one.name for one in found.fields.fields}
    assert all("artist" in content.attributes for content in found.contents)
    assert len(found.song_ids) == len(found.contents) == 200 and len(found.listener_ids) == 300
    assert len(found.interactions.songs) == int(played.effective().sum()) < len(played)


def test_a_larger_exponent_makes_plays_steeper_in_another_world() -> None:
    even, steep = (simulated(skewed(SMALL, exponent, 3), 6_000) for exponent in (0.6, 1.8))
    shares = [gini(np.bincount(one.interactions.songs, minlength=200)) for one in (even, steep)]
    assert shares[0] + 0.15 < shares[1]
    assert skewed(SMALL, 0.6, 4).seed == 4
