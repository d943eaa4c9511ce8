"""A log merged by time: the same bytes as the live stages say record by record, however it is cut and shared out."""

from collections.abc import Sequence
from dataclasses import fields, is_dataclass, replace
from functools import cache

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as trial
from hypothesis import strategies as st

from streams.contracts.codec import encode
from streams.contracts.messages import Message
from streams.contracts.plays import Play
from streams.contracts.targets import Arm, Reason
from streams.contracts.topics import DAY_MS, PLAYS, SONG_RELEASES
from streams.judging.prequential import Judge
from streams.recording.log import Log
from streams.replay import merged, rivals, waiting_samples
from streams.replay import timeline as timelines
from streams.replay.choices import ARM_ROWS, REASONS, Fixed, Heard
from streams.replay.driver import exact
from streams.replay.lanes import Contestant
from streams.replay.merged import MergedReplay
from streams.replay.timeline import Timeline
from streams.settings import Settings
from tests.builders.contracts import settings
from tests.builders.in_time import log_of, said_live
from tests.builders.small_world import encoder, world
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
def events(seed: int = 1) -> tuple[Event, ...]:
    """The catalogue, what was played before the start, and a stream of everything after it; songs become others."""
    past = [Event(PLAYS, *record) for record in play_records(world(), 2_000)]
    first_ms = min(one.time_ms for one in past)
    old = [msgspec.structs.replace(song, released_ms=first_ms - 100 * DAY_MS) for song in world().songs()]
    songs = [event(SONG_RELEASES, song.song_id, song, first_ms - 1) for song in old]
    story = told(world(), Story(plays=500, releases=8, settings=60, erasures=6, budget=60), seed)
    altered = [
        event(SONG_RELEASES, one.song_id, msgspec.structs.replace(one, attributes=other.attributes), again.time_ms)
        for one, other, again in zip(old, old[20:], past[1_000::25], strict=False)
    ]
    return tuple(sorted([*songs, *past, *story, *altered], key=lambda one: one.time_ms))


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


def replayed(log: Log, policies: dict[str, Settings] | None = None, workers: int = 1) -> Bench:
    bench = Bench()
    contestants = [Contestant(name, own, encoder()) for name, own in (policies or {"a": SMALL}).items()]
    timeline = Timeline.of(log, SMALL.contracts)
    MergedReplay(contestants, timeline, bench, said=bench.saying, workers=workers).run()
    return bench


def of_policy(name: str, said: Said) -> Said:
    return {f"{name} {song_id}": messages for song_id, messages in said.items()}


def in_order(said: Said) -> Said:
    return {name: sorted(messages) for name, messages in said.items()}


@pytest.mark.parametrize("seed", [1])
def test_the_targets_are_those_of_the_live_stages_to_the_byte(seed: int) -> None:
    log = log_of(events(seed), SMALL)
    live = of_policy("a", said_live(log, exact(SMALL, encoder())))
    assert in_order(replayed(log).said) == in_order(live)
    assert len(live) == 8 and all(len(messages) > 20 for messages in live.values())


@cache
def whole() -> Bench:
    return replayed(log_of(events(), SMALL))


def test_what_the_story_has_met() -> None:
    reasons = {REASONS[row] for one in whole().released for row in one.policies["a"].reasons.tolist()}
    assert {None, Reason.HELD_OUT, Reason.COOLING_DOWN} <= reasons
    assert all(len(one.policies["a"].because) > 5 for one in whole().released)
    assert {ARM_ROWS[arm] for arm in Arm} == {
        row for one in whole().released for row in one.policies["a"].arms.tolist()
    }


@pytest.mark.parametrize(("plays_per_block", "most_waiting", "at_once"), [(1, 1_000, 1), (17, 50, 7), (300, 1, 900)])
def test_where_a_block_is_cut_and_when_crowds_fold_changes_no_byte(
    monkeypatch: pytest.MonkeyPatch, plays_per_block: int, most_waiting: int, at_once: int
) -> None:
    monkeypatch.setattr(timelines, "PLAYS_PER_BLOCK", plays_per_block)
    monkeypatch.setattr(waiting_samples, "PER_CHUNK", at_once)
    monkeypatch.setattr(waiting_samples, "READ_AT_ONCE", at_once)
    monkeypatch.setattr(merged, "MOST_WAITING", most_waiting)
    assert replayed(log_of(events(), SMALL)).said == whole().said


@pytest.mark.parametrize("workers", [5])
def test_the_number_of_processes_changes_nothing(workers: int) -> None:
    shared = replayed(log_of(events(), SMALL), workers=workers)
    assert shared.said == whole().said
    assert list(map(plain, shared.released)) == list(map(plain, whole().released))
    assert [plain(one) for one in shared.heard] == [plain(one) for one in whole().heard]


def plain(told: object) -> object:
    """Arrays as lists, so that it can be compared."""
    if isinstance(told, np.ndarray):
        return told.tolist()
    if isinstance(told, dict):
        return {name: plain(one) for name, one in told.items()}
    if is_dataclass(told):
        return {field.name: plain(getattr(told, field.name)) for field in fields(told)}
    return told


@trial(max_examples=15, deadline=None)
@given(st.integers(0, 999))
def test_nothing_later_than_a_release_changes_its_targets(share: int) -> None:
    """The log is cut anywhere; whatever was released before is decided as in the whole one."""
    every = sorted(events(), key=lambda one: one.time_ms)
    cut_ms = every[len(every) * share // 1_000].time_ms
    said = replayed(log_of([one for one in every if one.time_ms < cut_ms], SMALL)).said
    before = [one for one in whole().released if one.at_ms < cut_ms]
    assert said == {name: whole().said[name] for name in (f"a {one.song_id}" for one in before)}


def test_a_release_is_decided_before_the_plays_of_its_own_millisecond() -> None:
    """They are its truth already."""
    [release, *_] = (one for one in events() if one.topic is SONG_RELEASES and one.time_ms == whole().released[0].at_ms)
    at_once = [replace_time(one, release.time_ms) for one in events() if one.topic is PLAYS][-40:]
    late = replayed(log_of([*events(), *at_once], SMALL))
    name = f"a {whole().released[0].song_id}"
    assert late.said[name] == whole().said[name]


def replace_time(one: Event, time_ms: int) -> Event:
    play = msgspec.structs.replace(msgspec.json.decode(one.value or b"", type=Play), played_ms=time_ms, play_id="again")
    return Event(PLAYS, one.key, msgspec.json.encode(play), time_ms)


def test_policies_are_each_decided_as_if_they_were_alone() -> None:
    """Also where one knows other crowds than the others."""
    log = log_of(events(), SMALL)
    others = {
        "few": replace(
            SMALL, matching=replace(SMALL.matching, neighbours=5), scoring=replace(SMALL.scoring, rule="max")
        ),
        "small": replace(SMALL, crowds=replace(SMALL.crowds, crowds_per_song=2)),
        "rare": replace(SMALL, admission=replace(SMALL.admission, cooldown_h=100.0)),
    }
    together = replayed(log, {"a": SMALL, **others})
    alone = {name: replayed(log, {name: own}) for name, own in others.items()}
    for name, one in {"a": whole(), **alone}.items():
        assert {key: said for key, said in together.said.items() if key.startswith(f"{name} ")} == one.said
    assert all(list(one.policies) == ["a", *others] for one in together.released)
    assert len({str(plain(one.policies[name])) for one in together.released[:1] for name in one.policies}) > 2


def test_rivals_choose_from_the_same_listeners_and_the_judge_can_be_fed() -> None:
    judge = Judge(DAY_MS)
    MergedReplay(
        [Contestant("a", SMALL, encoder())], Timeline.of(log_of(events(), SMALL), SMALL.contracts), judge
    ).run()
    found = judge.verdict(max(one.time_ms for one in events()) + 400 * DAY_MS, 250)
    assert found.releases == len(whole().released) == 8
    for one in whole().released:
        assert list(one.rivals) == list(rivals.NAMES) and len(one.rivals["random"]) == one.budget
        assert one.rivals["random"].eligible == one.policies["a"].eligible


def test_plays_are_told_as_they_were() -> None:
    heard = sum(map(len, whole().heard))
    assert heard == sum(one.topic is PLAYS for one in events())
    assert 0 < sum(int(one.is_effective.sum()) for one in whole().heard) < heard


def test_what_cannot_be_read_is_named_by_where_it_stood() -> None:
    broken = Event(SONG_RELEASES, b"s1", b"{oops", events()[0].time_ms)
    bench, timeline = Bench(), Timeline.of(log_of([*events(), broken], SMALL), SMALL.contracts)
    replay = MergedReplay([Contestant("a", SMALL, encoder())], timeline, bench, said=bench.saying)
    replay.run()
    [letter] = replay.dead_letters
    assert (letter.topic, letter.key, letter.value) == (SONG_RELEASES.name, b"s1", b"{oops")
    assert bench.said == whole().said
