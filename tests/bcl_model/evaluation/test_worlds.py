"""Worlds of several skews: a world for each seed, gaps by skew, figures in the page."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from bcl_model.catalogue import Catalogue
from bcl_model.evaluation.contenders import Contender
from bcl_model.evaluation.page import page
from bcl_model.evaluation.report import report
from bcl_model.evaluation.rounds import Plan, Source
from bcl_model.evaluation.worlds import gaps, run_worlds, way_of
from bcl_model.fields import inferred
from tests.builders.songs import world

PLAN = Plan(("song",), 2, 0.2, 40)
METHODS = [Contender("bpr", "random", {}), Contender("content", "content", {})]
VALUES = (0.5, 2.0)
RECALL = "song_to_songs_recall_at_50"


def small(songs: int, seed: int) -> Catalogue:
    contents, plays = world(songs, seed=seed)
    return Catalogue(tuple(map(str, range(songs))), tuple(contents), plays, (), inferred(contents))


def source_of(value: float, seed: int) -> Source:
    return partial(small, int(160 + 20 * value), seed)


def test_every_value_has_a_world_for_each_seed_and_a_gap(tmp_path: Path) -> None:
    steps: list[int] = []
    outcome = run_worlds(source_of, VALUES, METHODS, PLAN, tmp_path, progress=lambda step, _: steps.append(step.seed))
    found = gaps(outcome, PLAN, VALUES, "content")

    assert list(outcome.compared) == [way_of("song", value) for value in VALUES]
    assert sorted(steps) == [1] * 4 + [2] * 4 and len(list((tmp_path / "judged").iterdir())) == 8
    first = outcome.compared[way_of("song", 0.5)]
    [gap, _] = found["by"]["song"][RECALL]["bpr"]
    apart = np.subtract(first.values("content", RECALL), first.values("bpr", RECALL))
    assert gap["mean"] == pytest.approx(apart.mean()) and gap["low"] < gap["mean"] < gap["high"]
    assert not set(first.rounds[0].facts.unit) & set(first.rounds[1].facts.unit)  # artists of two worlds


def test_the_page_draws_gaps_by_skew_and_by_decile(tmp_path: Path) -> None:
    outcome = run_worlds(source_of, VALUES, METHODS, PLAN, tmp_path)
    found = report(outcome, METHODS, PLAN, "content", "made up")
    bare = page(found)
    found["worlds"] = gaps(outcome, PLAN, VALUES, "content")

    html = page(found)

    assert html.count("<img") == bare.count("<img") + 6  # a figure for each measure
    assert html.count("by popularity decile: content − bpr</h3>") == 2 * 5
    assert f"{RECALL.replace('_', ' ')}, held out by song: content above the others" in html
