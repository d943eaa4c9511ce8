"""The search: what is drawn, what it is judged on, what goes on after a cut, and the file it leaves."""

import json
import tomllib
from functools import partial
from pathlib import Path

import pytest

from bcl_model.catalogue import Catalogue
from bcl_model.errors import BadModelSettings
from bcl_model.evaluation.contenders import Contender, contender
from bcl_model.evaluation.model_file import to_toml, write_model
from bcl_model.evaluation.rounds import Bench, Plan, Source, Step
from bcl_model.evaluation.search import (
    FIRST_APART,
    Found,
    Tried,
    candidates,
    on_validation_songs,
    on_worlds_apart,
    search,
)
from bcl_model.fields import inferred
from bcl_model.rivals import RIVALS
from tests.builders.songs import world

CLCREC, DROPOUT_NET = Contender("clcrec", "clcrec", {}), Contender("dropout_net", "dropout_net", {"dropout": 0.7})
BPR = Contender("bpr", "bcl", {"contrast": {"weight": 0.0}})
BCL = Contender("bcl", "bcl", {"contrast": {"weight": 0.1}})
HEADROOM = Contender("headroom", "headroom", {"fields": ["genre"], "neighbours": 1})
PLAN = Plan(("song", "genre"), budget=30)
MEASURE = "song_to_listeners_precision_at_30"


def small() -> Catalogue:
    contents, plays = world(200)
    return Catalogue(tuple(map(str, range(200))), tuple(contents), plays, (), inferred(contents))


def test_as_many_trials_as_wanted_or_as_there_are() -> None:
    assert [one.name for one in candidates(CLCREC, 6, 1)] == [f"clcrec-{n}" for n in range(6)]
    assert len({one.digest() for one in candidates(CLCREC, 6, 1)}) == 6
    assert candidates(Contender("random", "random", {}), 9, 1)[1:] == []
    assert candidates(DROPOUT_NET, 3, 1)[0].table == DROPOUT_NET.table


def test_a_default_that_is_drawn_is_what_was_given() -> None:
    sizes = [one.table.get("dimension") for one in candidates(Contender("means", "artist_mean", {}), 50, 1)]
    assert sizes[0] is None and sorted(sizes[1:]) == [32, 64, 256]  # and 128, the default
    drawn = candidates(BCL, 9, 1, ["contrast.temperature"])[1:]
    assert sorted(one.table["contrast"]["temperature"] for one in drawn) == [0.05, 0.2, 0.4]


def test_a_trial_draws_the_same_of_what_methods_share() -> None:
    bpr, bcl = (candidates(one, 6, 4) for one in (BPR, BCL))
    by_digest = {json.dumps(one.table["ranking"]) + json.dumps(one.table["run"]) for one in bcl[1:]}
    assert by_digest & {json.dumps(one.table["ranking"]) + json.dumps(one.table["run"]) for one in bpr[1:]}
    assert candidates(BPR, 6, 4) == bpr and candidates(BPR, 6, 5) != bpr


def test_what_is_switched_off_stays_off() -> None:
    assert all(one.table["contrast"] == {"weight": 0.0} for one in candidates(BPR, 8, 1))
    assert any(one.table["contrast"]["weight"] != 0.1 for one in candidates(BCL, 8, 1))


def test_only_what_is_named_is_varied() -> None:
    for one in candidates(BCL, 3, 1, ["contrast.weight"]):
        assert one.table.keys() == {"contrast"}
    with pytest.raises(BadModelSettings, match="clcrec: a search knows nothing of depth; it varies temperature"):
        candidates(CLCREC, 3, 1, ["depth"])


def test_trials_are_judged_on_validation_songs_and_never_on_test_songs(tmp_path: Path) -> None:
    for by in PLAN.by:
        inner, outer = (Bench(small, plan, tmp_path).split(by, 1) for plan in (Plan(PLAN.by, within=True), PLAN))
        assert set(inner.trial.cold) == set(outer.trial.validation)
        assert not set(inner.trial.warm) & set(outer.trial.cold)


def test_the_best_trial_is_chosen_and_a_second_search_tries_nothing_again(tmp_path: Path) -> None:
    steps: list[Step] = []
    judge = on_validation_songs(small, PLAN, tmp_path, progress=lambda step, _: steps.append(step))
    find = partial(search, judge, [HEADROOM], measure=MEASURE, budget=30, trials=3)

    [found] = find()

    kept = {file: file.stat().st_mtime_ns for file in (tmp_path / "judged").iterdir()}
    assert len(steps) == len(kept) == 6  # three trials, each held out in two ways
    assert found.best.score == max(one.score for one in found.tried) > found.given.score
    assert found.best.score == pytest.approx(sum(found.best.by.values()) / 2)
    assert find() == [found] and {file: file.stat().st_mtime_ns for file in kept} == kept


def test_a_measure_that_is_none_is_refused_before_the_first_trial(tmp_path: Path) -> None:
    with pytest.raises(BadModelSettings, match="there is no measure 'fame'; there are song_to_songs_recall_at_50"):
        search(on_validation_songs(small, PLAN, tmp_path), [HEADROOM], measure="fame", trials=1)
    assert not list(tmp_path.iterdir())


def test_worlds_of_a_search_are_none_that_is_compared(tmp_path: Path) -> None:
    asked: list[tuple[float, int]] = []

    def source_of(value: float, seed: int) -> Source:
        asked.append((value, seed))
        return small

    judge = on_worlds_apart(source_of, (0.6, 1.8), Plan(seeds=2, budget=30), tmp_path)
    [found] = search(judge, [HEADROOM], measure=MEASURE, budget=30, trials=2)

    assert asked == [(value, FIRST_APART + n) for value in (0.6, 1.8) for n in range(2)]
    assert list(found.best.by) == ["song, power law 0.6", "song, power law 1.8"]


def test_equal_scores_leave_what_was_given() -> None:
    tried = [Tried(one, 0.5, {}, 0.0) for one in candidates(CLCREC, 3, 1)]
    assert Found("clcrec", tried).best is tried[0]


def test_what_is_chosen_is_read_again_and_the_words_at_the_top_stay(tmp_path: Path) -> None:
    file = tmp_path / "clcrec.toml"
    file.write_text('# Two ties.\n# As in the paper.\n\nmethod = "clcrec"\ntemperature = 0.2\n')
    for why in ("luck.", "bcl train --search: trial 3."):
        write_model(file, Contender("clcrec", "clcrec", {"temperature": 0.5, "steps": 3}), why)

    assert file.read_text().startswith("# Two ties.\n# As in the paper.\n# Chosen by bcl train --search: trial 3.\n\n")
    assert "luck" not in file.read_text()
    again = contender("clcrec", tmp_path)
    assert (again.method, again.table) == ("clcrec", {"temperature": 0.5, "steps": 3})


@pytest.mark.parametrize("name", RIVALS)
def test_any_settings_can_be_written_and_read(name: str) -> None:
    for one in candidates(Contender(name, name, {}), 4, 2):
        assert tomllib.loads(to_toml(one.table)) == one.table
    odd = {"text": 'a "b" ä\n', "on": True, "rate": 1e-05, "many": [1, 2.5], "part": {"name": "x", "empty": []}}
    assert tomllib.loads(to_toml(odd)) == odd
