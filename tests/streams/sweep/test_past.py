"""Rings of all listeners at once, held to the live rule for one of them."""

from dataclasses import replace

import numpy as np

from streams.audience.listener import embedding_of, ring_with
from streams.audience.listener import heard as heard_live
from streams.contracts.ids import key_of
from streams.contracts.plays import Play
from streams.settings import Settings
from streams.sweep.past import heard, rings, units
from streams.sweep.sources import Simulated
from streams.world.plays import DAY_MS, Plays, history
from streams.world.world import World


def test_embeddings_of_all_listeners_are_those_of_the_rule_for_one(settings: Settings, source: Simulated):
    rule, world = replace(settings.listening, keep_plays=12, half_life_days=10.0), World(source.world)
    every = Plays.joined(list(history(world, 40_000)))
    vectors = np.random.default_rng(1).normal(size=(source.world.songs, 16)).astype(np.float32)
    songs = {key_of(song_id): vector for song_id, vector in zip(world.catalogue.ids, vectors, strict=False)}
    plays, strengths, counts = heard([every], rule, source.world.listeners)
    found = units(rings(plays, strengths, source.world.listeners, rule).sums(vectors))
    for number in (0, 17, 400, 1_499):
        own = every.take((every.listeners == number) & every.effective())
        ring = ring_with(
            (),
            (heard_live(one, rule) for one in as_plays(own, world)),
            keep=rule.keep_plays,
            forget_after_ms=int(rule.forget_after_days * DAY_MS),
        )
        slow = embedding_of(ring, songs, half_life_ms=rule.half_life_days * DAY_MS, dimension=16)
        np.testing.assert_allclose(found[number], slow, atol=1e-6)
    assert counts.sum() == len(every)


def as_plays(plays: Plays, world: World) -> list[Play]:
    columns = (plays.listeners, plays.songs, plays.played_ms, plays.listened_ms, plays.song_ms, plays.liked)
    return [
        Play(f"p{n}", f"l{listener}", world.catalogue.ids[song], played, listened, song_ms, liked)
        for n, (listener, song, played, listened, song_ms, liked) in enumerate(
            zip(*(column.tolist() for column in columns), strict=True)
        )
    ]
