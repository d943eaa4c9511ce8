"""A followed log is judged by what its decisions knew: targets as recorded, rivals from the same state, no future."""

from collections import Counter
from collections.abc import Callable
from functools import cache

import numpy as np

from streams.contracts.partitions import partition_of
from streams.contracts.queries import AudienceAnswer, TargetsSelected
from streams.contracts.topics import (
    AUDIENCE_ANSWERS,
    PLAYS,
    PUSH_SUPPRESSIONS,
    PUSH_TARGETS,
    SONG_DECISIONS,
    SONG_RELEASES,
    TOPICS,
)
from streams.judging.judge_log import REPLAYED, judged
from streams.judging.prequential import Judge
from streams.recording.log import Log
from streams.replay.choices import ARM_ROWS, Choice, Fixed
from streams.replay.driver import exact
from streams.replay.rivals import NAMES
from streams.replay.timeline import Timeline
from streams.wiring import Wiring
from tests.builders.contracts import settings
from tests.builders.lived import lived
from tests.builders.small_world import encoder, world
from tests.harness.scene import catalogue_records, later_play_records, play_records
from tests.harness.stream import Event, Story, event, told

SMALL = settings(
    topics={"listener_partitions": 2, "song_partitions": 2},
    crowds={"warm_at_listeners": 4},
    selection={"candidates_per_message": 20, "exploration_share": 0.2},
)


class Remembering(Judge):
    def __init__(self) -> None:
        super().__init__(3_600_000)
        self.told: list[Fixed] = []

    def fixed(self, release: Fixed) -> None:
        self.told.append(release)
        super().fixed(release)


def wiring() -> Callable[[], Wiring]:
    return exact(SMALL, encoder())


@cache
def log() -> Log:
    """More plays come than any decision knows."""
    events = [event(SONG_RELEASES, *record) for record in catalogue_records(world())]
    events += [Event(PLAYS, *record) for record in play_records(world(), 2_500)]
    story = Story(plays=300, releases=6, settings=40, erasures=2, budget=60)
    later = [Event(PLAYS, *record) for record in later_play_records(world(), 400, 6)]
    return lived([events, told(world(), story, 3), later], SMALL, wiring(), 1)


@cache
def whole() -> tuple[list[Fixed], Timeline]:
    return releases(log())


def releases(some: Log) -> tuple[list[Fixed], Timeline]:
    judge = Remembering()
    replayed, timeline = judged(some, wiring(), SMALL, judge)
    assert replayed.differences(some) == []
    return judge.told, timeline


def names(choice: Choice, timeline: Timeline) -> list[str]:
    return [timeline.tables.listeners.all[n] for n in choice.listeners.tolist()]


def test_the_targets_of_every_decided_release_are_those_of_the_log():
    told_of, timeline = whole()
    targets, suppressed = (
        {
            (one.song_id, one.listener_id): one
            for partition in log().partitions(topic)
            for _, one in log().contracts(topic, partition)
        }
        for topic in (PUSH_TARGETS, PUSH_SUPPRESSIONS)
    )
    found = {}
    for release in told_of:
        choice = release.policies[REPLAYED]
        for name, arm, reason in zip(names(choice, timeline), choice.arms, choice.reasons, strict=True):
            found[release.song_id, name] = (int(arm), bool(reason))
    said = {**targets, **suppressed}
    assert found == {key: (ARM_ROWS[one.arm], key in suppressed) for key, one in said.items()}
    assert len(targets) > 20 and len({arm for arm, _ in found.values()}) == 3


def test_rivals_choose_among_those_who_could_be_told_and_popularity_counts_what_was_known():
    told_of, timeline = whole()
    for release in told_of:
        answers = selected(release.song_id)
        counts: Counter[str] = Counter()
        for answer in answers:
            for record, play in log().contracts(PLAYS, answer.listener_partition):
                counts[play.listener_id] += record.offset < answer.plays_offset
        popular = release.rivals["popularity"]
        assert popular.scores.tolist() == [counts[name] for name in names(popular, timeline)]
        assert popular.eligible == sum(answer.eligible for answer in answers)
        heard_it = {
            play.listener_id
            for answer in answers
            for record, play in log().contracts(PLAYS, answer.listener_partition)
            if play.song_id == release.song_id and record.offset < answer.plays_offset and play.listened_ms >= 30_000
        }
        for rival in NAMES:
            assert not heard_it & set(names(release.rivals[rival], timeline))
            assert (np.diff(release.rivals[rival].scores) <= 0).all()


def selected(song_id: str) -> list[AudienceAnswer]:
    """The answers that were merged for a song."""
    return [
        answers[offset]
        for partition in log().partitions(SONG_DECISIONS)
        for answers in [{record.offset: one for record, one in log().contracts(AUDIENCE_ANSWERS, partition)}]
        for _, decision in log().contracts(SONG_DECISIONS, partition)
        if isinstance(decision, TargetsSelected) and decision.song_id == song_id
        for offset in decision.answers.values()
    ]


def test_what_no_decision_knew_changes_nothing_that_was_fixed():
    ends = {
        partition: max(
            one.plays_offset
            for topic in (AUDIENCE_ANSWERS, PUSH_TARGETS, PUSH_SUPPRESSIONS)
            for p in log().partitions(topic)
            for _, one in log().contracts(topic, p)
            if belongs(one, partition)
        )
        for partition in log().partitions(PLAYS)
    }
    topics = {
        topic.name: {partition: list(log().records(topic, partition)) for partition in log().partitions(topic)}
        for topic in TOPICS.values()
    }
    topics[PLAYS.name] = {
        partition: [record for record in records if record.offset < ends[partition]]
        for partition, records in topics[PLAYS.name].items()
    }
    assert sum(map(len, topics[PLAYS.name].values())) < sum(len(log().records(PLAYS, p)) for p in ends)
    judge = Remembering()
    _, timeline = judged(Log(topics, SMALL.contracts), wiring(), SMALL, judge)
    for cut, release in zip(judge.told, whole()[0], strict=True):
        assert (cut.song_id, cut.at_ms, cut.artist_ids) == (release.song_id, release.at_ms, release.artist_ids)
        for ours, theirs in (
            (cut.policies[REPLAYED], release.policies[REPLAYED]),
            *((cut.rivals[name], release.rivals[name]) for name in NAMES),
        ):
            assert names(ours, timeline) == names(theirs, whole()[1])
            assert ours.scores.tolist() == theirs.scores.tolist()


def belongs(one: object, partition: int) -> bool:
    if (said := getattr(one, "listener_partition", None)) is not None:
        return bool(said == partition)
    return partition_of(str(getattr(one, "listener_id", "")).encode(), 2) == partition
