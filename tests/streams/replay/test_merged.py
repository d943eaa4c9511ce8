"""A log merged by time: the same bytes as the live stages say record by record, however it is cut and shared out."""

from collections.abc import Sequence
from functools import cache
from random import Random

import pytest

from bcl_model.inference import SongEncoder
from streams.catalogue.content import content_of
from streams.contracts.codec import encode
from streams.contracts.messages import Message
from streams.contracts.topics import DAY_MS, PLAYS, SONG_RELEASES
from streams.replay import timeline as timelines
from streams.replay.choices import Fixed, Heard
from streams.replay.driver import exact
from streams.replay.lanes import Contestant
from streams.replay.log import Log
from streams.replay.merged import MergedReplay
from streams.replay.timeline import Timeline
from streams.settings import Settings
from streams.world.world import World, WorldSettings
from tests.builders.catalogue import untrained_encoder
from tests.builders.contracts import settings
from tests.builders.in_time import log_of, said_live
from tests.harness.scene import play_records
from tests.harness.stream import Event, Story, event, told

Said = dict[str, list[tuple[bytes, bytes | None]]]

SMALL = settings(
    topics={"listener_partitions": 3, "song_partitions": 2},
    crowds={"warm_at_listeners": 4},
    listening={"sampled_plays": 6},
    selection={"candidates_per_message": 20},
)


@cache
def world() -> World:
    return World(WorldSettings(listeners=250, songs=60, new_songs=12, seed=5))


@cache
def encoder() -> SongEncoder:
    return untrained_encoder(*map(content_of, world().songs()), dimension=16)


@cache
def events(seed: int = 1) -> tuple[Event, ...]:
    """The catalogue, what was played before the start, and a stream of everything after it."""
    past = [Event(PLAYS, *record) for record in play_records(world(), 3_000)]
    first_ms = min(one.time_ms for one in past)
    songs = [event(SONG_RELEASES, song.song_id, song, first_ms - 1) for song in world().songs()]
    story = told(world(), Story(plays=900, releases=8, settings=60, erasures=6, budget=60), seed)
    return tuple(sorted([*songs, *past, *story], key=lambda one: one.time_ms))


class Bench:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.released: list[Fixed] = []
        self.heard: list[Heard] = []
        self.said: Said = {}

    def fixed(self, release: Fixed) -> None:
        self.released.append(release)

    def plays(self, block: Heard) -> None:
        self.heard.append(block)

    def saying(self, policy: str, messages: Sequence[Message]) -> None:
        for message in messages:
            self.said.setdefault(f"{policy} {message.value.song_id}", []).append(encode(message))  # type: ignore[union-attr]


def replayed(log: Log, policies: dict[str, Settings] | None = None) -> Bench:
    bench = Bench()
    contestants = [Contestant(name, own, encoder()) for name, own in (policies or {"a": SMALL}).items()]
    MergedReplay(contestants, Timeline.of(log, SMALL.contracts), bench, said=bench.saying).run()
    return bench


def of_policy(name: str, said: Said) -> Said:
    return {f"{name} {song_id}": messages for song_id, messages in said.items()}


def in_order(said: Said) -> Said:
    return {name: sorted(messages) for name, messages in said.items()}


@pytest.mark.parametrize("seed", range(2))
def test_the_targets_are_those_of_the_live_stages_to_the_byte(seed: int) -> None:
    log = log_of(events(seed), SMALL)
    live = of_policy("a", said_live(log, exact(SMALL, encoder())))
    assert in_order(replayed(log).said) == in_order(live)
    assert len(live) == 8 and all(len(messages) > 20 for messages in live.values())
