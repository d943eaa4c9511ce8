"""A small simulated world with a model of its own, once for all tests of the sweeps."""

import pytest

from bcl_model.inference import SongEncoder
from bcl_model.settings import EncoderSettings, RunSettings, TrainSettings
from bcl_model.train import train
from streams.config import load_settings
from streams.settings import Settings
from streams.sweep.sources import Simulated
from streams.sweep.trial import Trial
from streams.world.world import WorldSettings

QUICK = TrainSettings(
    encoder=EncoderSettings(layers=(64, 32)),
    run=RunSettings(steps=100, pairs_per_step=256, learning_rate=3e-3, validate_every=50),
)


@pytest.fixture(scope="package")
def settings() -> Settings:
    return load_settings((), {})


@pytest.fixture(scope="package")
def source() -> Simulated:
    return Simulated(WorldSettings(listeners=1_500, songs=500, new_songs=16, tastes=12), plays=50_000)


@pytest.fixture(scope="package")
def trial(source: Simulated, settings: Settings) -> Trial:
    past = source.past(settings.listening)
    return Trial(past, SongEncoder(train(past.songs.contents, past.interactions, QUICK)), settings)
