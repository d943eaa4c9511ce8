"""The protocol as a whole: what was judged is read back, other settings are not, processes change nothing."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bcl_model.catalogue import Catalogue
from bcl_model.errors import BadModelSettings
from bcl_model.evaluation.contenders import Contender, contenders
from bcl_model.evaluation.page import page
from bcl_model.evaluation.report import report
from bcl_model.evaluation.rounds import Outcome, Plan, Step, run, shared_out
from bcl_model.fields import inferred
from bcl_model.rivals import TABLE
from tests.builders.songs import world

PLAN = Plan(("song", "genre"), 2, 0.2, 40)
TWO = [Contender("random", "random", {}), Contender("content", "content", {})]


def small(songs: int) -> Catalogue:
    contents, plays = world(songs)
    return Catalogue(tuple(map(str, range(songs))), tuple(contents), plays, (), inferred(contents))


SOURCE = partial(small, 200)


def values(outcome: Outcome) -> list[Any]:
    return [
        one.values(name, measure)
        for one in outcome.compared.values()
        for name in one.methods
        for measure in one.measures
    ]


def test_a_cut_run_goes_on_and_ends_as_a_whole_one(tmp_path: Path) -> None:
    whole = run(SOURCE, TWO, PLAN, tmp_path)
    kept = sorted((tmp_path / "judged").iterdir())
    kept[0].unlink()
    kept[1].write_bytes(kept[1].read_bytes()[:100])
    times = [file.stat().st_mtime_ns for file in kept[2:]]
    steps: list[Step] = []

    again = run(SOURCE, TWO, PLAN, tmp_path, progress=lambda step, _: steps.append(step))

    assert len(kept) == len(steps) == 8
    assert values(again) == values(whole)
    assert [file.stat().st_mtime_ns for file in kept[2:]] == times  # read, not written


def test_other_data_meets_no_result_that_is_not_its_own(tmp_path: Path) -> None:
    plan = Plan(("song",), 1, 0.2, 40)
    run(SOURCE, TWO, plan, tmp_path)
    run(partial(small, 220), TWO, plan, tmp_path)
    assert len(list((tmp_path / "judged").iterdir())) == 4


def test_a_split_is_done_by_one_process_but_for_those_left_over() -> None:
    steps = [Step("song", seed, one) for seed in (1, 2, 3) for one in TWO]
    assert [(n, step.seed, step.contender.name) for n, step in shared_out(steps, 2)] == [
        (0, 1, "random"),
        (0, 1, "content"),
        (1, 2, "random"),
        (1, 2, "content"),
        (0, 3, "random"),
        (1, 3, "content"),
    ]


@pytest.mark.slow
def test_several_processes_find_the_same(tmp_path: Path) -> None:
    alone, shared = run(SOURCE, TWO, PLAN, tmp_path / "a"), run(SOURCE, TWO, PLAN, tmp_path / "b", jobs=2)
    assert values(alone) == values(shared)


def test_a_report_is_whole_and_its_page_needs_nothing_else(tmp_path: Path) -> None:
    outcome = run(SOURCE, TWO, PLAN, tmp_path)

    found = report(outcome, TWO, PLAN, "content", "made <up>")
    html = page(found)

    way = found["held_out_by"]["song"]
    assert way["main_against"]["song_to_songs_recall_at_50"]["random"]["units"] < 0.01
    assert way["methods"]["content"]["song_to_songs_recall_at_50"]["by_seed"] == outcome.compared["song"].values(
        "content", "song_to_songs_recall_at_50"
    )
    assert len(way["main_gain_by_decile"]["random"]["plays_found_at_50"]) == 10
    assert "made &lt;up&gt;" in html and html.count("<img") == 2 * (6 + 5)
    assert "http" not in html.replace("data:image", "") and "width=device-width" in html
    assert html == page(found)


def test_a_method_alone_is_reported_and_set_against_nothing(tmp_path: Path) -> None:
    found = report(run(SOURCE, TWO[:1], PLAN, tmp_path), TWO[:1], PLAN, "random", "made")

    assert not any(found["held_out_by"]["song"]["main_against"].values())
    assert "random" in page(found)


def test_names_are_files_models_or_methods(tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text("[run]\nsteps = 3\n")
    (tmp_path / "luck.toml").write_text('method = "random"\n')

    one, two, three = contenders(["small", str(tmp_path / "luck.toml"), "popularity"], tmp_path)

    assert (one.method, one.table) == ("bcl", {"run": {"steps": 3}})
    assert (two.name, two.method, three.method) == ("luck", "random", "popularity")
    assert np.isfinite(len(one.digest())) and one.digest() != two.digest()


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ('method = "magic"', "there is no method 'magic'"),
        ("method = 3", "method is 3, wanted the name"),
        ("[run]\nstepz = 3", "unknown key 'stepz'"),
        ("[run", "odd.toml"),
    ],
)
def test_settings_that_make_no_method_are_refused_before_the_first_split(tmp_path: Path, toml: str, said: str) -> None:
    (tmp_path / "odd.toml").write_text(toml)
    with pytest.raises(BadModelSettings, match=said.replace("[", r"\[")):
        contenders(["odd"], tmp_path)


def test_unknown_and_repeated_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadModelSettings, match="'nobody' is no file and no method; there are"):
        contenders(["nobody"], tmp_path)
    with pytest.raises(BadModelSettings, match="same name: random"):
        contenders(["random", "random"], tmp_path)


def test_every_method_of_the_whole_table_can_be_made() -> None:
    assert [one.name for one in contenders(TABLE, Path(__file__).parents[3] / "config" / "models")] == list(TABLE)
