"""Who is chosen equals a slow and simple choice, also where scores are equal and slots are few."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.contracts.ids import keys_of, seed_of, unit_draws
from streams.contracts.queries import AudienceAnswer, Candidates
from streams.contracts.targets import Arm
from streams.targeting.selection import Chosen, best_first, chosen
from tests.builders.contracts import answer, candidates, query
from tests.builders.targeting import random_candidates


def listeners(choice: Chosen, arm: Arm) -> list[str]:
    return [name for name, its in zip(choice.listener_ids.tolist(), choice.arms.tolist(), strict=True) if its == arm]


def scored(column: Candidates) -> list[tuple[float, str]]:
    return list(zip(np.frombuffer(column.scores, "<f4").tolist(), column.listener_ids, strict=True))


def slow_best(columns: list[Candidates], most: int) -> list[str]:
    everyone = [pair for column in columns for pair in scored(column)]
    return [name for _, name in sorted(everyone, key=lambda pair: (-pair[0], pair[1]))[:most]]


@given(
    st.integers(0, 2**32),
    st.lists(st.integers(0, 30), min_size=1, max_size=5),
    st.integers(1, 60),
    st.sampled_from([1, 3, 1_000]),
)
def test_the_best_of_all_answers_are_chosen_exactly_with_ties_by_id(seed, sizes, budget, levels):
    draw = np.random.default_rng(seed)
    columns = [random_candidates(draw, f"p{n}", size, levels=levels) for n, size in enumerate(sizes)]
    answers = {n: answer(query(), column, partition=n) for n, column in enumerate(columns)}

    choice = chosen("q", budget, 0.0, answers)

    assert listeners(choice, Arm.TARGET) == slow_best(columns, budget)
    assert choice.ranks.tolist() == list(range(1, min(budget, sum(sizes)) + 1))
    assert [choice.scores[n] for n in range(len(choice.ranks))] == sorted(choice.scores.tolist(), reverse=True)


def test_a_listener_keeps_their_own_score_crowd_and_partition():
    columns = [random_candidates(np.random.default_rng(3), f"p{n}", 40) for n in range(3)]
    answers = {n: answer(query(), column, partition=n) for n, column in enumerate(columns)}
    facts = {
        name: (n, score, crowd)
        for n, column in enumerate(columns)
        for (score, name), crowd in zip(scored(column), column.crowds, strict=True)
    }

    choice = chosen("q", 60, 0.0, answers)

    for row, name in enumerate(choice.listener_ids.tolist()):
        assert (choice.partitions[row], choice.scores[row], choice.crowds[row]) == facts[name]


def test_the_rows_of_a_partition_come_in_the_order_of_the_release():
    columns = [random_candidates(np.random.default_rng(5), f"p{n}", 50) for n in (0, 1, 4)]
    answers = {n: answer(query(), column, partition=n) for n, column in zip((0, 1, 4), columns, strict=True)}

    choice = chosen("q", 70, 0.0, answers)
    rows = choice.of_partitions()

    assert sorted(rows) == [0, 1, 4] and sorted(np.concatenate(list(rows.values())).tolist()) == list(range(70))
    for partition, its in rows.items():
        assert its.tolist() == sorted(its.tolist())
        assert set(choice.partitions[its].tolist()) == {partition}


def test_best_first_of_nothing_or_none_is_empty():
    assert best_first(np.zeros(0, np.float32), np.zeros(0, object), 3).tolist() == []
    assert best_first(np.ones(2, np.float32), np.array(["a", "b"], object), 0).tolist() == []


def test_a_million_slots_over_equal_scores_are_filled_in_the_order_of_ids():
    names = np.array([f"l{n:07d}" for n in np.random.default_rng(1).permutation(30_000).tolist()], object)

    rows = best_first(np.full(30_000, 0.5, np.float32), names, 1_000_000)

    assert names[rows].tolist() == sorted(names.tolist())


def held_out_of(best: Candidates, held_out: Candidates, budget: int) -> list[str]:
    return listeners(chosen("q", budget, 0.0, {0: answer(query(), best, held_out=held_out)}), Arm.HOLD_OUT)


def test_who_is_held_out_is_compared_only_if_they_would_have_been_chosen():
    best, held_out = candidates(ann=0.9, bob=0.5, cat=0.25), candidates(dan=0.7, eve=0.5, fay=0.3)

    assert held_out_of(best, held_out, budget=2) == ["dan", "eve"]
    assert held_out_of(best, held_out, budget=3) == ["dan", "eve", "fay"]


def test_where_slots_stay_empty_everyone_held_out_would_have_been_chosen():
    assert held_out_of(candidates(ann=0.9), candidates(dan=0.7, eve=-0.5), budget=2) == ["dan", "eve"]


def test_the_hold_out_takes_no_slot():
    best, held_out = candidates(ann=0.9, bob=0.5), candidates(dan=0.95, eve=0.94)

    choice = chosen("q", 2, 0.0, {0: answer(query(), best, held_out=held_out)})

    assert listeners(choice, Arm.TARGET) == ["ann", "bob"]
    assert choice.ranks.tolist() == [1, 2, 0, 0]
    assert choice.propensities.tolist() == [1, 1, 1, 1]


def asked(
    query_id: str, partitions: dict[int, int], *, best: int = 100, drawn: int = 60, seed: int = 1
) -> dict[int, AudienceAnswer]:
    """Answers of partitions with so many eligible listeners, as score_listeners gives them."""
    return {p: scored_partition(query_id, p, eligible, best, drawn, seed) for p, eligible in partitions.items()}


def scored_partition(query_id: str, p: int, eligible: int, best: int, drawn: int, seed: int) -> AudienceAnswer:
    everyone = random_candidates(np.random.default_rng([seed, p]), f"p{p}", eligible)
    outside = range(min(best, eligible), eligible)
    draws = unit_draws(seed_of("explored", query_id), keys_of(everyone.listener_ids))
    lowest = sorted(sorted(outside, key=draws.__getitem__)[:drawn])
    return answer(
        query(), rows_of(everyone, range(min(best, eligible))), partition=p, explored=rows_of(everyone, lowest),
        eligible=eligible,
    )  # fmt: skip


def rows_of(column: Candidates, rows: Sequence[int]) -> Candidates:
    return Candidates(
        tuple(column.listener_ids[row] for row in rows),
        b"".join(column.scores[4 * row : 4 * row + 4] for row in rows),
        bytes(column.crowds[row] for row in rows),
    )


def everybody(partitions: dict[int, int], seed: int = 1) -> list[str]:
    answers = asked("q", partitions, best=10_000, seed=seed)
    return [name for one in answers.values() for name in one.best.listener_ids]


def test_exploration_takes_its_share_of_the_budget_and_the_best_the_rest():
    choice = chosen("q", 100, 0.2, asked("q", dict.fromkeys(range(4), 1_000)))

    assert (len(listeners(choice, Arm.TARGET)), len(listeners(choice, Arm.EXPLORATION))) == (80, 20)


def test_slots_that_exploration_cannot_fill_go_to_the_best():
    everyone = {0: 120}

    choice = chosen("q", 100, 0.5, asked("q", everyone, drawn=0))

    targets, explored = listeners(choice, Arm.TARGET), listeners(choice, Arm.EXPLORATION)
    assert (len(targets), explored) == (100, [])


@given(
    st.lists(st.integers(0, 300), min_size=1, max_size=5),
    st.integers(1, 200),
    st.sampled_from([0.05, 0.3, 1.0]),
    st.integers(0, 1_000),
)
def test_who_is_explored_has_the_lowest_draws_of_all_who_got_no_place(sizes, budget, share, seed):
    """Also those among the best of their partition; and every one of them by the same chance."""
    partitions, query_id = dict(enumerate(sizes)), f"q{seed}"
    choice = chosen(query_id, budget, share, asked(query_id, partitions, best=budget, drawn=budget, seed=seed))

    targets, explored = listeners(choice, Arm.TARGET), listeners(choice, Arm.EXPLORATION)
    pool = sorted(set(everybody(partitions, seed)) - set(targets))
    draws = dict(zip(pool, unit_draws(seed_of("explored", query_id), keys_of(pool)).tolist(), strict=True))
    slots = min(int(budget * share), len(pool))
    assert sorted(explored) == sorted(sorted(pool, key=draws.__getitem__)[:slots])
    chances = choice.propensities[choice.arms == Arm.EXPLORATION]
    assert chances.tolist() == [slots / max(len(pool), 1)] * slots


def test_a_partition_that_drew_too_few_ends_exploration_where_its_draws_end():
    """Whom it did not tell might have come before the others."""
    answers = asked("q", {0: 500, 1: 500}) | asked("q", {2: 500}, drawn=1)

    explored = listeners(chosen("q", 200, 0.5, answers), Arm.EXPLORATION)

    draws = unit_draws(seed_of("explored", "q"), keys_of(explored))
    last = unit_draws(seed_of("explored", "q"), keys_of(answers[2].explored.listener_ids))
    assert len(explored) < 100 and draws.max() <= last[0]


def test_the_draw_is_even_and_not_by_score():
    """4,000 draws of 5 out of 20: each listener 1,000 times, give or take four standard deviations (27)."""
    counts: Counter[str] = Counter()
    for n in range(4_000):
        answers = asked(f"q{n}", {0: 30, 1: 35}, best=30, drawn=20)
        counts.update(listeners(chosen(f"q{n}", 50, 0.1, answers), Arm.EXPLORATION))

    assert sum(counts.values()) == 20_000 and len(counts) == 20
    assert all(abs(count - 1_000) < 110 for count in counts.values()), counts


@pytest.mark.parametrize("share", [0.0, 0.1, 1.0])
def test_the_order_of_the_answers_changes_nothing(share):
    answers = asked("q", dict.fromkeys(range(3), 600))
    backwards = dict(reversed(answers.items()))

    one, other = chosen("q", 90, share, answers), chosen("q", 90, share, backwards)

    assert one.listener_ids.tolist() == other.listener_ids.tolist()
    assert one.propensities.tolist() == other.propensities.tolist()


def test_nobody_is_chosen_from_empty_answers():
    choice = chosen("q", 10, 0.1, {0: answer(query(), Candidates()), 1: answer(query(), Candidates(), partition=1)})

    assert choice.of_partitions() == {}
