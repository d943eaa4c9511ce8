"""`bcl sweep`: a page that needs nothing else, and the same numbers as JSON; goes on, repeats, refuses wrong words."""

import json
from pathlib import Path

import pytest

from streams.cli import main
from tests.builders.data_folder import data_folder

TINY = (
    "--listeners 400 --songs 150 --plays 15000 --seeds 2 --releases 3 --unheard 6 --trials 1 --exponents 0.8 1.4 "
    "--budgets 20 --steps 4"
)


def swept(studies: str, out: Path, *more: str) -> int:
    return main(["sweep", *studies.split(), *TINY.split(), "--out", str(out), *more])


def test_every_question_asked_is_answered_with_a_figure(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert swept("skew rules", tmp_path, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told == json.loads((tmp_path / "report.json").read_text())
    assert told["made"]["simulated"] is True
    assert list(told["studies"]) == ["rules", "skew"]
    assert all(of["answer"].startswith(f"Of {len(of['compared'])} comparisons") for of in told["studies"].values())
    assert told["skew"]["exponent 0.8"]["gini"] < told["skew"]["exponent 1.4"]["gini"]
    measures = {(study, one["measure"]) for study, of in told["studies"].items() for one in of["compared"]}
    page = (tmp_path / "report.html").read_text()
    assert page.count("data:image/svg+xml") == len(measures) >= 4
    assert "http" not in page.replace("http://www.w3.org", "") and "<script" not in page
    assert 'name="viewport"' in page


def test_a_sweep_goes_on_from_what_it_has_and_repeats(tmp_path: Path):
    assert swept("matching", tmp_path / "one") == 0
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "one" / "kept").iterdir()}
    assert swept("vectors matching", tmp_path / "one") == 0
    assert all(path.stat().st_mtime_ns == when for path, when in kept.items())
    assert swept("vectors matching", tmp_path / "other") == 0
    one, other = ((tmp_path / name / "report.json").read_bytes() for name in ("one", "other"))
    assert one == other


def test_of_a_data_folder_the_held_out_songs_are_the_releases(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    data = data_folder(tmp_path)
    words = f"sweep rules --data {data} --out {data} --seeds 2 --releases 4 --budgets 10 --steps 40 --json"
    assert main(words.split()) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["made"]["simulated"] is False and told["made"]["unit"] == "split"
    measured = told["studies"]["rules"]["measured"]["10 targets"]
    assert measured["song"]["precision"]["mean"] > measured["random"]["precision"]["mean"]
    page = (data / "report.html").read_text()
    assert "All figures are of simulated worlds" not in page and "reach is recall" in page


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("colours", "there is no study 'colours'; there are rules, vectors"),
        ("skew --data somewhere", "there is no study 'skew' with --data somewhere"),
        ("rules --seeds 0", "--seeds is 0, wanted at least 1"),
        ("rules --budgets 0", "--budgets has 0, wanted at least 1"),
        ("rules --budgets 500", "--budgets has 500, there are 400 listeners"),
        ("rules --data nowhere", "there is no nowhere/items.parquet"),
    ],
)
def test_wrong_words_are_told_with_their_value(
    words: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert main(["sweep", "--out", str(tmp_path), "--listeners", "400", *words.split()]) == 2
    assert said in capsys.readouterr().err
