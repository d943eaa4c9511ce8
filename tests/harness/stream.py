"""A stream of everything at once, from one seed: plays, releases, settings, erasures, withdrawals; and who sends it."""

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

import msgspec
from kafka import KafkaProducer

from streams.broker.security import kafka_python_arguments
from streams.contracts.listeners import Erasure, ListenerSettings, QuietHours
from streams.contracts.plays import Play
from streams.contracts.releases import Release
from streams.contracts.topics import (
    HOUR_MS,
    LISTENER_ERASURES,
    LISTENER_SETTINGS,
    PLAYS,
    SONG_RELEASES,
    Topic,
)
from streams.world.world import World, listener_id
from tests.harness.live import COMES_WITHIN_S, Live
from tests.harness.scene import later_play_records

BETWEEN_RELEASES_MS = 5 * HOUR_MS  # so that every cap is met: 4 h cool-down, quiet hours, a day, a week
EAGER, EAGER_FOR = 150, 0.1  # fans who play a song in this share of the story after its release, told of it or not


class Event(NamedTuple):
    topic: Topic
    key: bytes
    value: bytes | None
    time_ms: int


@dataclass(frozen=True)
class Story:
    """How much of everything happens; the same seed tells the same story."""

    plays: int = 4_000
    releases: int = 8
    settings: int = 150
    erasures: int = 6
    withdrawals: int = 2
    first: int = 0  # new song, where an earlier story has told of others
    budget: int = 250


def told(world: World, story: Story, seed: int) -> list[Event]:
    """Rare events lie scattered among the plays; each topic's own order is that of its times."""
    random = Random(seed)
    plays = [Event(PLAYS, *record) for record in later_play_records(world, story.plays, story.first + story.releases)]
    releases = _scattered(_releases(world, story), len(plays), random)
    rare = [
        _settings(world, story, random),
        _erasures(world, story, random),
        _withdrawals(world, story, random),
    ]
    places = [*((float(n), event) for n, event in enumerate(plays)), *releases]
    for events in rare:
        places += _scattered(events, len(plays), random)
    for at, release in releases:
        places += _eager(world, release.key.decode(), plays, at, random)
    return [event for _, event in sorted(places, key=lambda place: place[0])]


def _scattered(events: Sequence[Event], over: int, random: Random) -> list[tuple[float, Event]]:
    return list(zip(sorted(random.uniform(0, 0.9 * over) for _ in events), events, strict=True))


def _releases(world: World, story: Story) -> list[Event]:
    events = []
    for n, song in enumerate(world.new_releases(story.releases, story.first)):
        at_ms = world.settings.start_ms - (60 - story.first - n) * BETWEEN_RELEASES_MS // 3
        release = msgspec.structs.replace(song, released_ms=at_ms, budget=story.budget)
        events.append(event(SONG_RELEASES, release.song_id, release, at_ms))
    return events


def _eager(
    world: World, song_id: str, plays: Sequence[Event], released: float, random: Random
) -> Iterator[tuple[float, Event]]:
    """So that some have heard the song by the time that they would be told of it."""
    fits = world.truth_of(world.row_of(song_id), world.listeners()).probabilities
    for fan in fits.argsort()[::-1][:EAGER].tolist():
        at, who = released + random.random() * EAGER_FOR * len(plays), listener_id(fan)
        at_ms = plays[min(int(at), len(plays) - 1)].time_ms
        play = Play(f"{song_id}-{who}", who, song_id, at_ms, listened_ms=180_000, song_ms=200_000)
        yield at, event(PLAYS, who, play, at_ms)


def _withdrawals(world: World, story: Story, random: Random) -> list[Event]:
    songs: list[Release] = random.sample(list(world.songs()), story.withdrawals)
    return [event(SONG_RELEASES, song.song_id, None, world.settings.start_ms) for song in songs]


def _settings(world: World, story: Story, random: Random) -> list[Event]:
    events = []
    for n in range(story.settings):
        name = listener_id(random.randrange(world.settings.listeners))
        said = ListenerSettings(
            listener_id=name,
            consent=random.random() < 0.8,
            changed_ms=world.settings.start_ms + n - random.choice((0, 0, 0, 50)),
            time_zone=random.choice((None, "Europe/Berlin", "America/New_York", "Asia/Tokyo")),
            quiet_hours=random.choice(
                (None, QuietHours(22 * 60, 7 * 60), QuietHours(0, 0), QuietHours(9 * 60, 17 * 60))
            ),
        )
        events.append(event(LISTENER_SETTINGS, name, said if n % 25 else None, world.settings.start_ms + n))
    return events


def _erasures(world: World, story: Story, random: Random) -> list[Event]:
    """Every other one is asked for by somebody who goes on playing later."""
    events = []
    for n in range(story.erasures):
        name = listener_id(random.randrange(world.settings.listeners))
        asked_ms = world.settings.start_ms + (HOUR_MS // 2 if n % 2 else 10_000)
        events.append(event(LISTENER_ERASURES, name, Erasure(asked_ms=asked_ms), asked_ms))
    return events


def event(topic: Topic, key: str, value: msgspec.Struct | None, time_ms: int) -> Event:
    return Event(topic, key.encode(), None if value is None else msgspec.json.encode(value), time_ms)


class Stream(threading.Thread):
    """Sends a story at an even pace while a test does its worst; `joined` says that all was acknowledged."""

    def __init__(self, live: Live, events: Sequence[Event], *, lasts_s: float) -> None:
        super().__init__(daemon=True)
        self._live, self._events, self._lasts_s = live, events, lasts_s
        self._error: BaseException | None = None
        self.sent = 0
        self.start()

    def run(self) -> None:
        try:
            self._send()
        except BaseException as error:
            self._error = error

    def _send(self) -> None:
        producer = KafkaProducer(**kafka_python_arguments(self._live.kafka), acks="all", linger_ms=5)
        prefix, begun = self._live.topics.prefix, time.monotonic()
        acknowledged = []
        try:
            while self.sent < len(self._events):
                due = len(self._events) * min(1.0, (time.monotonic() - begun) / self._lasts_s)
                for one in self._events[self.sent : round(due)]:
                    acknowledged.append(
                        producer.send(prefix + one.topic.name, key=one.key, value=one.value, timestamp_ms=one.time_ms)
                    )
                self.sent = max(self.sent, round(due))
                time.sleep(0.02)
            producer.flush(timeout=60)
            for future in acknowledged:
                future.get(timeout=60)
        finally:
            producer.close()

    @property
    def share(self) -> float:
        return self.sent / len(self._events)

    def reaches(self, share: float, within_s: float = COMES_WITHIN_S) -> None:
        until = time.monotonic() + within_s
        while self.share < share:
            if self._error is not None:
                raise self._error
            assert time.monotonic() < until, f"the stream stands at {self.share:.0%}, wanted {share:.0%}"
            time.sleep(0.02)

    def joined(self, within_s: float = COMES_WITHIN_S) -> None:
        self.join(within_s)
        if self._error is not None:
            raise self._error
        assert not self.is_alive(), f"the stream stands at {self.share:.0%} after {within_s} s"
