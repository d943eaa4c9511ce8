"""Plays of the simulated world: in order, in sessions, skewed, and the same for the same question."""

from collections.abc import Sequence

import msgspec
import numpy as np
import pytest

from streams.contracts.plays import Play
from streams.contracts.targets import Arm, Target
from streams.world.plays import DAY_MS, HOUR_MS, Playing, Plays, history, played_after_push, records
from streams.world.world import World, WorldSettings, listener_id

SETTINGS = WorldSettings(listeners=2_000, songs=1_000, new_songs=20)
START_MS = SETTINGS.start_ms


@pytest.fixture(scope="module")
def world() -> World:
    return World(SETTINGS)


@pytest.fixture(scope="module")
def heard(world: World) -> Plays:
    return Plays.joined(list(history(world, 100_000, days=30)))


def test_the_history_has_as_many_plays_as_wanted_in_order_and_before_the_start(heard: Plays):
    assert len(heard) == pytest.approx(100_000, rel=0.01)
    assert (np.diff(heard.played_ms) >= 0).all()
    assert heard.played_ms[0] >= START_MS - 30 * DAY_MS
    assert heard.played_ms[-1] < START_MS


def test_the_same_question_has_the_same_answer(world: World):
    blocks = [list(Playing(world).plays(START_MS, 5_000, 50.0)) for _ in range(2)]
    once, again = (records(Plays.joined(some), world.catalogue.ids) for some in blocks)
    assert once == again


def test_exactly_the_wanted_plays_come_at_about_the_wanted_rate(world: World):
    plays = Plays.joined(list(Playing(world).plays(START_MS, 30_000, 500.0)))
    assert len(plays) == 30_000
    assert plays.played_ms[-1] - START_MS == pytest.approx(60_000, rel=0.1)


@pytest.mark.parametrize("seed", [3, 7])
def test_the_plays_per_song_follow_a_power_law(seed: int):
    every = Plays.joined(list(history(World(WorldSettings(seed=seed)), 300_000)))
    counts = np.bincount(every.songs, minlength=5_000)
    assert gini(counts) == pytest.approx(0.7, abs=0.05)
    assert counts.max() < 0.03 * len(every)  # no single song is all that is played


def test_a_steeper_law_makes_plays_more_unequal(world: World):
    ginis = []
    for exponent in (0.8, 1.25, 1.8):
        steep = World(WorldSettings(listeners=2_000, songs=1_000, new_songs=1, popularity_exponent=exponent))
        every = Plays.joined(list(history(steep, 50_000)))
        ginis.append(gini(np.bincount(every.songs, minlength=1_000)))
    assert ginis[0] < ginis[1] < ginis[2]


def test_listeners_play_several_songs_in_a_row_of_one_taste(world: World, heard: Plays):
    order = np.lexsort((heard.played_ms, heard.listeners))
    who, when, songs = heard.listeners[order], heard.played_ms[order], heard.songs[order]
    same_session = (who[1:] == who[:-1]) & (np.diff(when) < 10 * 60_000)
    assert same_session.mean() > 0.7
    affinity = world.catalogue.affinity
    centred = affinity - affinity.mean(axis=1, keepdims=True)
    likeness = np.einsum("nt,nt->n", centred[songs[1:]], centred[songs[:-1]])
    strangers = who[1:] != who[:-1]
    assert likeness[same_session].mean() > likeness[strangers].mean() + 5


def test_plays_do_not_overlap_within_a_session(heard: Plays):
    order = np.lexsort((heard.played_ms, heard.listeners))
    who, when = heard.listeners[order], heard.played_ms[order]
    ends = when + heard.listened_ms[order]
    overlapping = (who[1:] == who[:-1]) & (when[1:] < ends[:-1])
    assert overlapping.mean() < 0.02  # only where two sessions of a listener meet


def test_hardly_anyone_plays_at_night_in_their_own_zone(world: World, heard: Plays):
    offsets = world.population.zone_offsets_ms[world.listeners(heard.listeners).zones]
    hours = np.bincount((heard.played_ms + offsets) // HOUR_MS % 24, minlength=24)
    assert hours[2:5].sum() < 0.25 * hours[17:20].sum()


def test_busy_listeners_play_more(world: World, heard: Plays):
    counts = np.bincount(heard.listeners, minlength=SETTINGS.listeners)
    assert np.corrcoef(counts, world.population.activity(np.arange(SETTINGS.listeners)))[0, 1] > 0.7


def test_what_is_played_to_the_end_appeals_more(world: World, heard: Plays):
    effective = heard.effective()
    assert 0.3 < effective.mean() < 0.7
    logits = world.logits(heard.songs, world.listeners(heard.listeners))
    assert logits[effective].mean() > logits[~effective].mean() + 1


def test_fans_play_songs_of_their_artists(world: World, heard: Plays):
    listeners = world.listeners(heard.listeners)
    own = (listeners.favourites == world.catalogue.artists[heard.songs][:, None]).any(axis=1)
    strangers = np.roll(listeners.favourites, len(heard) // 2, axis=0)
    others = (strangers == world.catalogue.artists[heard.songs][:, None]).any(axis=1)
    assert own.mean() > 2 * others.mean()


def test_new_songs_are_played_only_when_they_are_out_and_only_true_fans_stay(world: World, heard: Plays):
    assert heard.songs.max() < SETTINGS.songs
    out = world.new_rows(5)
    plays = Plays.joined(list(Playing(world, out).plays(START_MS, 20_000, 500.0)))
    new = plays.take(plays.songs >= SETTINGS.songs)
    assert 0.02 < len(new) / len(plays) < 0.06
    assert set(new.songs.tolist()) <= set(out.tolist())
    fans = world.would_like(new.songs, world.listeners(new.listeners))
    np.testing.assert_array_equal(new.effective(), fans)


def test_records_are_plays_keyed_by_listener(world: World):
    blocks = list(Playing(world).plays(START_MS, 70_000, 50_000.0))
    assert len(blocks) > 1
    seen: set[str] = set()
    for block in blocks:
        keys, values = records(block, world.catalogue.ids)
        plays = [msgspec.json.decode(value, type=Play) for value in values[:200]]
        assert [play.listener_id.encode() for play in plays] == keys[:200]
        assert [play.listener_id for play in plays] == [listener_id(int(n)) for n in block.listeners[:200]]
        assert [play.song_id for play in plays] == [world.catalogue.ids[row] for row in block.songs[:200]]
        assert [play.liked for play in plays] == block.liked[:200].tolist()
        assert [play.listened_ms for play in plays] == block.listened_ms[:200].tolist()
        ids = {msgspec.json.decode(value)["play_id"] for value in values}
        assert len(ids) == len(values) and not ids & seen
        seen |= ids


def test_a_push_is_answered_as_the_truth_says(world: World):
    song = world.new_releases(1)[0].song_id
    targets = [target(song, listener_id(number)) for number in range(500)]
    plays = {play.listener_id: play for play in played_after_push(world, targets)}
    assert played_after_push(world, targets[::-1])[0] in plays.values()
    truth = world.truth_of(world.row_of(song), world.listeners(np.arange(500)))
    for number, fan in enumerate(truth.would_like.tolist()):
        play = plays.get(listener_id(number))
        assert (play is not None and play.listened_ms >= 30_000) == fan
        assert play is None or (play.played_ms > START_MS and play.target_id is not None)
    assert played_after_push(world, []) == []


def gini(counts: Sequence[int] | np.ndarray) -> float:
    ordered = np.sort(np.asarray(counts))
    n = len(ordered)
    return float(2 * (np.arange(1, n + 1) * ordered).sum() / (n * ordered.sum()) - (n + 1) / n)


def target(song: str, listener: str) -> Target:
    return Target(
        target_id=f"{song}-{listener}", song_id=song, listener_id=listener, score=1.0, rank=1, crowd=0, because=(),
        arm=Arm.TARGET, propensity=1.0, policy="cat-1", artifact="a", query_id="q", decided_ms=START_MS,
        not_before_ms=START_MS, expires_ms=START_MS + DAY_MS, coverage=1.0, plays_offset=0, settings_offset=0,
        erasures_offset=0,
    )  # fmt: skip
