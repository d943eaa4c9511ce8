"""What a replay says of a simulated world is true: precision and off-policy values lie where the world knows them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest

from streams.catalogue.content import content_of
from streams.contracts.partitions import partition_of
from streams.contracts.topics import HOUR_MS
from streams.judging.findings import Findings
from streams.judging.prequential import Judge
from streams.recording.log import Log, Logged
from streams.replay.choices import BY_SCORE, Fixed
from streams.replay.lanes import Contestant
from streams.replay.merged import MergedReplay
from streams.replay.timeline import Timeline
from streams.world.world import World, WorldSettings, listener_number
from tests.builders.catalogue import untrained_encoder
from tests.builders.contracts import settings
from tests.builders.told import DAY_MS, log_of, quick_past_of

SEEDS, RELEASES, PARTITIONS = 20, 16, 2
FREE = {"cooldown_h": 0.0, "rolling_cap": 60, "day_cap": 60, "quiet_from_minute": 0, "quiet_to_minute": 0}
LOGGING = settings(
    topics={"listener_partitions": PARTITIONS, "song_partitions": PARTITIONS},
    crowds={"warm_at_listeners": 5},
    selection={"exploration_share": 0.8},
    admission=FREE,
)
OTHER = replace(
    LOGGING, scoring=replace(LOGGING.scoring, rule="song"), selection=replace(LOGGING.selection, exploration_share=0.0)
)


class Remembering(Judge):
    """What was fixed; and what the policy "logging" chose is taken for what the log tells."""

    def __init__(self, horizon_ms: int) -> None:
        super().__init__(horizon_ms)
        self.fixed_ones: list[Fixed] = []

    def fixed(self, release: Fixed) -> None:
        self.fixed_ones.append(release)
        super().fixed(replace(release, logged=release.policies["logging"]))


def log_in_memory(world: World, *, plays: int, budget: int) -> Log:
    topics: dict[str, dict[int, list[Logged]]] = {}
    for one in log_of(world, quick_past_of(world, plays), releases=RELEASES, budget=budget, every_ms=HOUR_MS):
        there = topics.setdefault(one.topic.name, {p: [] for p in range(PARTITIONS)})
        partition = there[partition_of(one.key, PARTITIONS)]
        partition.append(Logged(len(partition), one.time_ms, one.key, one.value))
    return Log(topics, LOGGING.contracts)


class Told(NamedTuple):
    """What the replay found, and for each policy the mean chance that its choices by score like the song."""

    found: Findings
    true: dict[str, float]


def told(seed: int) -> Told:
    world = World(WorldSettings(listeners=700, songs=150, new_songs=RELEASES, seed=seed, base_rate=0.08))
    timeline = Timeline.of(log_in_memory(world, plays=6_000, budget=300), LOGGING.contracts)
    judge, encoder = Remembering(DAY_MS), untrained_encoder(*map(content_of, world.songs()), dimension=16)
    policies = [Contestant("logging", LOGGING, encoder), Contestant("other", OTHER, encoder, budget=150)]
    MergedReplay(policies, timeline, judge).run()
    names = timeline.tables.listeners.all
    true = {policy.name: true_precision(world, judge.fixed_ones, policy.name, names) for policy in policies}
    return Told(judge.verdict(timeline.span_ms[1], len(names)), true)


def true_precision(world: World, releases: Sequence[Fixed], policy: str, names: Sequence[str]) -> float:
    found = []
    for release in releases:
        choice = release.policies[policy]
        numbers = np.array([listener_number(names[n]) for n in choice.listeners[choice.arms == BY_SCORE].tolist()])
        found.append(world.truth_of(world.row_of(release.song_id), world.listeners(numbers)).probabilities.mean())
    return float(np.mean(found))


@pytest.fixture(scope="module")
def seeds() -> list[Told]:
    return [told(seed) for seed in range(SEEDS)]


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["logging", "other"])
def test_the_precision_of_the_world_lies_in_the_interval_in_eighteen_of_twenty_seeds(seeds, policy):
    precisions = [one.found.policies[policy].quality.precision for one in seeds]
    assert all(one.found.releases == RELEASES for one in seeds)
    assert sum(of.low <= one.true[policy] <= of.high for of, one in zip(precisions, seeds, strict=True)) >= 18
    assert is_centred([of.mean - one.true[policy] for of, one in zip(precisions, seeds, strict=True)])


@pytest.mark.slow
@pytest.mark.parametrize("estimate", ["ips", "snips", "dr"])
def test_what_another_policy_is_worth_is_found_from_a_log_that_explores_in_eighteen_of_twenty_seeds(seeds, estimate):
    values = [one.found.policies["other"].off_policy.value for one in seeds]
    assert all(value is not None for value in values)
    found = [getattr(value, estimate) for value in values]
    assert sum(of.low <= one.true["other"] <= of.high for of, one in zip(found, seeds, strict=True)) >= 18
    assert is_centred([of.mean - one.true["other"] for of, one in zip(found, seeds, strict=True)])


def is_centred(differences: Sequence[float]) -> bool:
    """On the whole neither too low nor too high: within three standard errors."""
    return abs(float(np.mean(differences))) < 3 * float(np.std(differences, ddof=1)) / len(differences) ** 0.5
