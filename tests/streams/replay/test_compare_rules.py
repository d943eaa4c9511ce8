"""The offline comparison on a small world: the live rules, and figures that hold together."""

from dataclasses import replace

import numpy as np
import pytest

from bcl_model.settings import EncoderSettings, RunSettings, TrainSettings
from streams.audience.listener import embedding_of, heard, ring_with
from streams.config import load_settings
from streams.contracts.ids import key_of
from streams.contracts.plays import Play
from streams.replay.compare_rules import Trial, audience, compare, table, usual_rules, verdicts
from streams.replay.compare_rules import heard as effective_plays
from streams.settings import Settings
from streams.world.plays import DAY_MS, Plays, history
from streams.world.world import World, WorldSettings

SMALL = WorldSettings(listeners=2_000, songs=600, new_songs=16, tastes=12)
QUICK = TrainSettings(
    encoder=EncoderSettings(layers=(64, 32)),
    run=RunSettings(steps=150, pairs_per_step=256, learning_rate=3e-3, validate_every=75, threads=1),
)
PLAYS = 80_000


@pytest.fixture(scope="module")
def settings() -> Settings:
    return load_settings((), {})


@pytest.fixture(scope="module")
def trial(settings: Settings) -> Trial:
    return Trial(World(SMALL), PLAYS, settings, QUICK)


def test_embeddings_of_all_listeners_are_those_of_the_rule_for_one(settings: Settings):
    rule, world = replace(settings.listening, keep_plays=12, half_life_days=10.0), World(SMALL)
    every = Plays.joined(list(history(world, 40_000)))
    vectors = np.random.default_rng(1).normal(size=(SMALL.songs, 16)).astype(np.float32)
    songs = {key_of(song_id): vector for song_id, vector in zip(world.catalogue.ids, vectors, strict=False)}
    plays, strengths, counts = effective_plays([every], rule)
    found = audience(plays, strengths, counts, vectors, SMALL.listeners, rule)
    for number in (0, 17, 400, 1_999):
        own = every.take((every.listeners == number) & every.effective())
        ring = ring_with(
            (),
            (heard(one, rule) for one in as_plays(own, world)),
            keep=rule.keep_plays,
            forget_after_ms=int(rule.forget_after_days * DAY_MS),
        )
        slow = embedding_of(ring, songs, half_life_ms=rule.half_life_days * DAY_MS, dimension=16)
        np.testing.assert_allclose(found.embeddings[number], slow, atol=1e-6)
    assert found.plays.sum() == len(every)


def test_crowds_of_a_song_are_unit_vectors_of_listeners_who_played_it(trial: Trial):
    row = int(trial.warm[0])
    crowds = trial.crowds_of(row)
    centroids = np.frombuffer(crowds.centroids, np.float32).reshape(-1, trial.songs.shape[1])
    np.testing.assert_allclose(np.linalg.norm(centroids, axis=1), 1, atol=1e-5)
    assert len(centroids) <= trial.settings.crowds.crowds_per_song
    assert crowds.listeners <= trial.settings.crowds.listeners_per_song


def test_every_rule_chooses_its_budget_and_beats_chance_where_it_looks_at_the_song(trial: Trial, settings: Settings):
    rules = usual_rules(settings)
    found = verdicts(trial, 16, rules, [100])
    precision = {rule.name: np.mean([one.precision for one in found[rule.name, 100]]) for rule in rules}
    for name in ("cat", "mass", "blend", "song", "single_mean", "weighted_count"):
        assert precision[name] > 2.5 * precision["random"], precision
    assert precision["popularity"] < 1.5 * precision["random"]


def test_the_comparison_repeats_and_says_that_it_is_simulated(settings: Settings):
    tiny = replace(SMALL, listeners=400, songs=150)
    quick = replace(QUICK, run=replace(QUICK.run, steps=5))
    asked = {"plays": 15_000, "releases": 4, "seeds": 1, "budgets": [20], "training": quick}
    once, again = (compare(settings, tiny, **asked) for _ in range(2))
    assert once == again
    assert once["simulated"] is True
    assert once["budgets"]["20"]["cat"]["cat_minus_this"] == {"mean": 0.0, "low": 0.0, "high": 0.0}
    assert "simulated world: 400 listeners, 4 releases" in table(once)


def as_plays(plays: Plays, world: World) -> list[Play]:
    columns = (plays.listeners, plays.songs, plays.played_ms, plays.listened_ms, plays.song_ms, plays.liked)
    return [
        Play(f"p{n}", f"l{listener}", world.catalogue.ids[song], played, listened, song_ms, liked)
        for n, (listener, song, played, listened, song_ms, liked) in enumerate(
            zip(*(column.tolist() for column in columns), strict=True)
        )
    ]
