"""Off-policy values against a simulated truth, with the propensities of the live selection; and what is refused."""

import numpy as np
import pytest

from streams.audience.score_listeners import with_margin
from streams.contracts.ids import keys_of, seed_of, unit_draws
from streams.contracts.queries import AudienceAnswer, Candidates
from streams.judging.off_policy import Told, off_policy
from streams.replay.choices import ARM_ROWS, Choice
from streams.targeting.selection import chosen
from streams.world.world import World, WorldSettings

LISTENERS, RELEASES, BUDGET, PLACES, PARTITIONS = 600, 40, 300, 150, 2
SIGMAS = 4.0
NAMES = np.array([f"l{n:04d}" for n in range(LISTENERS)], object)


def answer(query_id: str, partition: int, scores: np.ndarray, exploration: float) -> AudienceAnswer:
    """As score_listeners says it: its best with a margin, and the lowest draws among the others."""
    ours = np.arange(partition, LISTENERS, PARTITIONS)
    ours = ours[np.argsort(-scores[ours], kind="stable")]
    best, outside = np.split(ours, [with_margin(BUDGET, 1 / PARTITIONS, SIGMAS)])
    draws = unit_draws(seed_of("explored", query_id), keys_of(NAMES[outside].tolist()))
    drawn = outside[np.argsort(draws)[: with_margin(BUDGET, exploration / PARTITIONS, SIGMAS)]]
    return AudienceAnswer(
        query_id=query_id, song_id="s", artifact="a", listener_partition=partition, listener_partitions=PARTITIONS,
        best=candidates(best, scores), held_out=Candidates(), explored=candidates(drawn, scores),
        eligible=len(ours), scored=len(ours), plays_offset=0, settings_offset=0, erasures_offset=0,
    )  # fmt: skip


def candidates(rows: np.ndarray, scores: np.ndarray) -> Candidates:
    return Candidates(tuple(NAMES[rows].tolist()), scores[rows].astype("<f4").tobytes(), bytes(len(rows)))


def logged(query_id: str, scores: np.ndarray, exploration: float) -> Choice:
    answers = {n: answer(query_id, n, scores, exploration) for n in range(PARTITIONS)}
    who = chosen(query_id, BUDGET, exploration, answers)
    return Choice(
        np.array([int(name[1:]) for name in who.listener_ids]),
        who.scores,
        np.array([ARM_ROWS[arm] for arm in who.arms]),
        who.propensities,
        np.zeros(len(who.scores), np.int8),
    )


def trial(world: World, seed: int, exploration: float = 0.6):
    """What the log tells of another policy, and what that policy is worth in truth."""
    rng = np.random.default_rng([seed, 77])
    told, worth, everyone = [], [], world.listeners()
    for n, row in enumerate(world.new_rows(RELEASES)):
        truth = world.truth_of(int(row), everyone).probabilities
        noise = rng.normal(size=(2, LISTENERS))
        choices = np.argsort(-(np.log(truth) + noise[1]), kind="stable")[:PLACES]
        choice = logged(f"{seed}-{n}", np.log(truth) + noise[0], exploration)
        audience = np.flatnonzero(rng.random(LISTENERS) < truth)
        told.append(Told.of(choice, choices, audience))
        worth.append(truth[choices].mean())
    return told, float(np.mean(worth))


@pytest.fixture(scope="module")
def world() -> World:
    return World(WorldSettings(listeners=LISTENERS, songs=300, new_songs=RELEASES, base_rate=0.1))


@pytest.mark.slow
def test_the_true_value_of_another_policy_lies_in_the_interval_in_eighteen_of_twenty_seeds(world):
    held = {"ips": 0, "snips": 0, "dr": 0}
    off = {name: [] for name in held}
    for seed in range(20):
        told, worth = trial(world, seed)
        value = off_policy(told, seed).value
        assert value is not None
        for name in held:
            found = getattr(value, name)
            held[name] += found.low <= worth <= found.high
            off[name].append(found.mean / worth - 1)
    assert min(held.values()) >= 18, held
    for name, shares in off.items():  # no estimate is too low or too high on the whole: three standard errors
        assert abs(np.mean(shares)) < 3 * np.std(shares, ddof=1) / 20**0.5, (name, np.mean(shares))


@pytest.mark.slow
def test_everybody_whom_the_other_policy_chooses_had_a_chance(world):
    """What the weights add up to is 1 for each choice, but for chance: nobody among the best is out of reach."""
    totals = [
        sum((1 / one.propensities).sum() for one in told) / sum(one.choices for one in told)
        for told, _ in (trial(world, seed) for seed in range(20))
    ]
    assert abs(np.mean(totals) - 1) < 3 * np.std(totals, ddof=1) / 20**0.5, np.mean(totals)


def test_a_log_without_exploration_is_refused(world):
    told, _ = trial(world, 1, exploration=0.0)
    found = off_policy(told)
    assert found.value is None
    assert any("no exploration" in reason for reason in found.refused)


def test_choices_that_the_log_could_hardly_tell_are_refused_with_the_overlap(world):
    told, _ = trial(world, 2)
    rare = [Told(one.choices * 10, one.ranks, one.propensities, one.played, one.explores) for one in told]
    found = off_policy(rare)
    assert found.value is None
    assert found.support.overlap == pytest.approx(0.1, abs=0.01)
    assert any("overlap is" in reason for reason in found.refused)


def test_a_few_rows_with_large_weights_are_refused(world):
    told, _ = trial(world, 3)
    found = off_policy(told[:4])
    assert found.value is None
    assert any("effective sample size" in reason for reason in found.refused)


def test_propensities_that_are_no_chances_are_refused(world):
    told, _ = trial(world, 4)
    wrong = [Told(one.choices, one.ranks, one.propensities / 3, one.played, one.explores) for one in told]
    assert "weights add up" in off_policy(wrong).refused[0]


def test_a_target_that_was_not_sent_has_no_play():
    log = Choice(np.array([4, 9]), np.ones(2), np.zeros(2, np.int8), np.array([1.0, 0.5]), np.array([3, 0]))
    told = Told.of(log, np.array([9, 7, 4]), np.array([4, 9]))
    assert (told.ranks.tolist(), told.played.tolist(), told.propensities.tolist()) == ([2, 0], [False, True], [1, 0.5])
