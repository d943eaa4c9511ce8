"""What a replay says of a simulated world is true: its precision lies where the world knows it to be."""

import numpy as np
import pytest

from streams.catalogue.content import content_of
from streams.contracts.partitions import partition_of
from streams.contracts.topics import HOUR_MS
from streams.replay.choices import BY_SCORE, Fixed
from streams.replay.findings import Findings
from streams.replay.lanes import Contestant
from streams.replay.log import Log, Logged
from streams.replay.merged import MergedReplay
from streams.replay.prequential import Judge
from streams.replay.timeline import Timeline
from streams.world.world import World, WorldSettings, listener_number
from tests.builders.catalogue import untrained_encoder
from tests.builders.contracts import settings
from tests.builders.told import DAY_MS, log_of, quick_past_of

SEEDS, PARTITIONS, BUDGET = 20, 2, 40
SMALL = settings(
    topics={"listener_partitions": PARTITIONS, "song_partitions": PARTITIONS}, crowds={"warm_at_listeners": 5}
)


class Remembering(Judge):
    """And what was fixed."""

    def __init__(self, horizon_ms: int) -> None:
        super().__init__(horizon_ms)
        self.fixed_ones: list[Fixed] = []

    def fixed(self, release: Fixed) -> None:
        self.fixed_ones.append(release)
        super().fixed(release)


def log_in_memory(world: World, *, plays: int, releases: int, budget: int) -> Log:
    topics: dict[str, dict[int, list[Logged]]] = {}
    for one in log_of(world, quick_past_of(world, plays), releases=releases, budget=budget, every_ms=HOUR_MS):
        there = topics.setdefault(one.topic.name, {p: [] for p in range(PARTITIONS)})
        partition = there[partition_of(one.key, PARTITIONS)]
        partition.append(Logged(len(partition), one.time_ms, one.key, one.value))
    return Log(topics, SMALL.contracts)


def replayed_and_true(seed: int) -> tuple[Findings, float]:
    """What the replay found, and the precision that the world knows: the mean chance that the chosen ones like it."""
    world = World(WorldSettings(listeners=700, songs=150, new_songs=20, seed=seed, base_rate=0.08))
    timeline = Timeline.of(log_in_memory(world, plays=6_000, releases=20, budget=BUDGET), SMALL.contracts)
    judge, encoder = Remembering(DAY_MS), untrained_encoder(*map(content_of, world.songs()), dimension=16)
    MergedReplay([Contestant("p", SMALL, encoder)], timeline, judge).run()
    names = timeline.tables.listeners.all
    true = []
    for release in judge.fixed_ones:
        choice = release.policies["p"]
        numbers = np.array([listener_number(names[n]) for n in choice.listeners[choice.arms == BY_SCORE].tolist()])
        probabilities = world.truth_of(world.row_of(release.song_id), world.listeners(numbers)).probabilities
        true.append(float(probabilities.sum()) / len(numbers))
    return judge.verdict(timeline.span_ms[1], len(names)), float(np.mean(true))


@pytest.mark.slow
def test_the_precision_of_the_world_lies_in_the_interval_in_eighteen_of_twenty_seeds():
    held, off = 0, []
    for seed in range(SEEDS):
        found, true = replayed_and_true(seed)
        precision = found.policies["p"].quality.precision
        assert found.releases == 20 and precision is not None
        held += precision.low <= true <= precision.high
        off.append(precision.mean - true)
    assert held >= 18
    assert abs(np.mean(off)) < 3 * np.std(off, ddof=1) / SEEDS**0.5, "on the whole too low or too high"
