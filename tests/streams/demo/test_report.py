import io
import json

import pytest
from rich.console import Console

from streams.demo.comparison import RIVALS, RULES, Comparison, Sent
from streams.demo.options import Options
from streams.demo.report import Measured, shown, to_json
from streams.demo.timing import Timing
from streams.judging.judge import Estimate, Judged

WANTED = {
    "releases",
    "targets",
    "suppressions",
    "dead_letters",
    "plays",
    "plays_per_second",
    "first_target_ms",
    "last_target_ms",
    "precision_at_budget",
    "reach",
    "worker_exit_codes",
    "machine",
    "seed",
    "simulated",
}


def comparison() -> Comparison:
    points = {rule: Estimate(0.2 / n, 0.1 / n, 0.3 / n) for n, rule in enumerate(RULES, 1)}
    return Comparison(
        releases=2,
        chosen=190,
        rules={rule: Judged(point, point, point) for rule, point in points.items()},
        cat_minus={rival: Estimate(0.1, 0.05, 0.15) for rival in RIVALS},
        sent={"target": Sent(2, 0.25), "exploration": Sent(0, None)},
        answers=16,
        answers_again=16,
    )


def measured(**changes: object) -> Measured:
    timing = Timing()
    timing.announced("n1", "Paper Boats")
    timing.acknowledged("n1", 1.0)
    timing.chosen("n1", ["ann", "bob", "cem"])
    timing.targeted("n1", "ann", 1.1)
    timing.targeted("n1", "bob", 1.2)
    timing.suppressed("n1", "cem", "held-out", 1.3)
    usual: dict[str, object] = {"timing": timing, "plays": 120, "plays_per_second": 60.0, "worker_exit_codes": {"w": 0}}
    return Measured(**{**usual, "comparison": comparison(), **changes})


def test_the_json_has_what_the_issue_asks_for_and_is_one_line():
    found = to_json(Options(seed=5), measured())
    assert found.keys() >= WANTED
    assert "\n" not in json.dumps(found, allow_nan=False)
    assert found["simulated"] is True and found["seed"] == 5
    assert (found["releases"], found["targets"], found["suppressions"]) == (1, 2, 1)
    assert found["suppressions_by_reason"] == {"held-out": 1}
    assert found["first_target_ms"]["p50"] == pytest.approx(100)
    assert found["last_target_ms"]["p99"] == pytest.approx(300)


def test_every_rule_has_a_precision_and_a_reach_with_their_intervals():
    found = to_json(Options(), measured())
    for figures in ("precision_at_budget", "precision_interval", "reach", "reach_interval"):
        assert found[figures].keys() == {"cat", *RIVALS}
        assert {"single_mean", "weighted_count", "popularity", "random"} <= found[figures].keys()
    assert found["precision_at_budget"]["cat"] == 0.2 and found["precision_interval"]["cat"] == [0.1, 0.3]


def test_where_nobody_was_chosen_there_is_a_report_without_a_comparison():
    found = to_json(Options(), measured(comparison=None, timing=Timing()))
    assert found["targets"] == 0 and found["precision_at_budget"] is None
    assert found["first_target_ms"] == {"p50": None, "p99": None}


@pytest.mark.parametrize(
    ("changes", "is_good"),
    [({}, True), ({"timing": Timing()}, False), ({"worker_exit_codes": {"w": 0, "v": 1}}, False)],
    ids=["all is well", "nothing came out", "a worker failed"],
)
def test_a_run_is_good_if_something_came_out_and_every_worker_ended_well(changes, is_good):
    assert measured(**changes).is_good is is_good


def test_people_read_the_releases_the_rules_and_what_is_compared():
    console = Console(file=io.StringIO(), width=160)
    console.print(shown(Options(), measured()))
    text = console.file.getvalue()
    for said in ("Paper Boats", "weighted_count", "0.200 [0.100, 0.300]", "held-out 1", "simulated world"):
        assert said in text
