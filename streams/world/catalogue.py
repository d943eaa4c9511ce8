"""A simulated world as a catalogue to train on and to judge by: its songs, and who played what of them effectively."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from bcl_model.catalogue import Catalogue
from bcl_model.fields import Content, inferred
from bcl_model.pairs import Interactions
from streams.world.plays import Plays, history
from streams.world.world import World, WorldSettings, listener_id

LEFT_OUT = ("artist",)  # as in ContentSettings: a model may still follow an artist's other songs


def simulated(settings: WorldSettings, plays: int) -> Catalogue:
    world = World(settings)
    songs = list(world.songs())
    played = Plays.joined(list(history(world, plays)))
    effective = played.take(played.effective())
    contents = tuple(Content(song.attributes, song.vectors) for song in songs)
    return Catalogue(
        tuple(song.song_id for song in songs),
        contents,
        Interactions(effective.listeners, effective.songs),
        tuple(map(listener_id, range(settings.listeners))),
        inferred(contents, leave_out=LEFT_OUT),
    )


def worlds(settings: WorldSettings, plays: int) -> Callable[[float, int], Callable[[], Catalogue]]:
    """Of an exponent and a seed: how a process makes that world's catalogue."""
    return lambda exponent, seed: partial(simulated, skewed(settings, exponent, seed), plays)


def skewed(settings: WorldSettings, exponent: float, seed: int) -> WorldSettings:
    """Another world, in which plays fall as rank^-exponent."""
    return replace(settings, popularity_exponent=exponent, seed=seed)
