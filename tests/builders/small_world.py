"""One small world and an encoder that was never trained: enough for stages to have something to say."""

from functools import cache

from bcl_model.inference import SongEncoder
from streams.catalogue.content import content_of
from streams.world.world import World, WorldSettings
from tests.builders.catalogue import untrained_encoder


@cache
def world() -> World:
    return World(WorldSettings(listeners=250, songs=60, new_songs=12, seed=5))


@cache
def encoder() -> SongEncoder:
    return untrained_encoder(*map(content_of, world().songs()), dimension=16)
