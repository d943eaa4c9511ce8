"""`bcl train` and `bcl model` as a user meets them."""

import json
import tomllib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bcl_model.inference import SongEncoder
from streams.cli import main
from tests.builders.songs import world

FIELDS = """
[items]
song = "song"
[interactions]
listener = "listener"
song = "song"
[fields.language]
kind = "token"
[fields.genre]
kind = "token"
[fields.tempo]
kind = "number"
[fields.moods]
kind = "tokens"
[fields.audio]
kind = "vector"
width = 6
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    contents, plays = world()
    items = [
        {
            "song": f"s{n}",
            **one.attributes,
            "audio": list(one.vectors["audio"]),
        }
        for n, one in enumerate(contents)
    ]
    pq.write_table(pa.Table.from_pylist(items), tmp_path / "items.parquet")
    pq.write_table(
        pa.table({"listener": plays.listeners, "song": [f"s{song}" for song in plays.songs]}),
        tmp_path / "interactions.parquet",
    )
    (tmp_path / "fields.toml").write_text(FIELDS)
    return tmp_path


def test_a_model_is_trained_promoted_and_rolled_back(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = tmp_path / "models"
    names = []
    quick = "pairs_per_step = 128\nthreads = 1\n"
    (tmp_path / "bpr.toml").write_text(f"[run]\n{quick}")
    (tmp_path / "bcl.toml").write_text(f"[contrast]\nweight = 0.1\nsongs = 64\n[run]\n{quick}")
    for model in (tmp_path / "bpr.toml", tmp_path / "bcl.toml"):
        done = main(f"train --data {data} --model {model} --out {models} --steps 20 --seed 3 --promote --json".split())
        told = json.loads(capsys.readouterr().out)
        assert done == 0 and told["in_use"] and told["songs"] == 300
        names.append(told["artifact"])
    assert SongEncoder.load(models).artifact == names[1]

    assert main(["model", "rollback", "--models", str(models)]) == 0
    capsys.readouterr()
    assert main(["model", "list", "--models", str(models)]) == 0
    assert f"* {names[0]}" in capsys.readouterr().out
    assert SongEncoder.load(models).artifact == names[0]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("train --data nowhere --model bpr", 2, "there is no nowhere"),
        ("train --data {data} --model nothing", 2, "there are no model settings at"),
        ("model promote", 2, "promote needs the name"),
        ("model promote bcl-000000000000 --models {data}", 1, "is no artifact"),
        ("model rollback --models {data}", 1, "nothing to roll back to"),
    ],
)
def test_what_cannot_be_done_is_said_with_an_exit_code(
    data: Path, words: str, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words.format(data=data).split()) == code
    assert said in capsys.readouterr().err


def test_a_folder_without_artifacts_says_how_to_make_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model", "list", "--models", str(tmp_path)]) == 0
    assert "bcl train" in capsys.readouterr().out


def test_models_and_rivals_are_compared_on_the_same_cold_songs(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tiny.toml").write_text("[contrast]\nweight = 0.0\n[run]\nsteps = 40\npairs_per_step = 128\n")
    out = tmp_path / "evaluation"
    words = ["evaluate", "--data", str(data), "--methods", "random", "content", str(tmp_path / "tiny.toml")]

    assert main([*words, "--seeds", "2", "--share", "0.2", "--out", str(out), "--json"]) == 0

    told = json.loads(capsys.readouterr().out)
    assert told == json.loads((out / "report.json").read_text())
    assert (out / "report.html").read_text().startswith("<!doctype html>")
    assert list(told["methods"]) == ["random", "content", "tiny"] and told["main"] == "tiny"
    methods = told["held_out_by"]["song"]["methods"]
    recall = {name: values["song_to_songs_recall_at_50"] for name, values in methods.items()}
    assert recall["tiny"]["mean"] > recall["random"]["mean"]
    assert recall["tiny"]["low"] < recall["tiny"]["mean"] < recall["tiny"]["high"]


def test_worlds_of_several_skews_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = "evaluate --worlds 0.6 1.8 --listeners 200 --songs 150 --plays 4000 --methods random content --seeds 2"

    assert main([*words.split(), "--out", str(tmp_path), "--json"]) == 0

    told = json.loads(capsys.readouterr().out)
    assert list(told["held_out_by"]) == ["song, power law 0.6", "song, power law 1.8"]
    gaps = told["worlds"]["by"]["song"]["song_to_songs_recall_at_50"]["random"]
    assert told["worlds"]["values"] == [0.6, 1.8] and all(gap["mean"] > 0 for gap in gaps)


def test_a_folder_or_worlds_and_not_both(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["evaluate"], ["evaluate", "--data", str(data), "--worlds"]):
        assert main(words) == 2
        assert "say --data DIR or --worlds" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--methods nobody", "'nobody' is no file and no method"),
        ("--methods random --main bcl", "--main bcl is none of the methods random"),
        ("--methods random --seeds 0", "--seeds is 0, wanted at least 1"),
        ("--methods random --by label", "no song says anything in the field 'label'"),
    ],
)
def test_a_comparison_that_cannot_be_made_says_why(
    data: Path, tmp_path: Path, words: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", "--data", str(data), "--out", str(tmp_path / "out"), *words.split()]) == 2
    assert said in capsys.readouterr().err


def test_a_search_writes_the_settings_that_it_chose(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = tmp_path / "config"
    words = ["train", "--data", str(data), "--search", "headroom", "random", "--trials", "3", "--by", "song"]

    assert main([*words, "--out", str(tmp_path / "search"), "--models", str(models), "--json"]) == 0

    told = json.loads(capsys.readouterr().out)
    scores = [one["score"] for one in told["headroom"]["trials"]]
    assert len(scores) == 3 and told["headroom"]["chosen"] == scores.index(max(scores))
    assert len(told["random"]["trials"]) == 1  # nothing to choose
    chosen = told["headroom"]["trials"][told["headroom"]["chosen"]]["settings"]
    assert tomllib.loads((models / "headroom.toml").read_text()) == {"method": "headroom", **chosen}


def test_a_search_may_be_made_on_worlds_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = ["--worlds", "1.8", "--listeners", "200", "--songs", "120", "--plays", "3000"]
    words = ["train", "--search", "headroom", "--trials", "2", "--seeds", "2", *small]

    assert main([*words, "--out", str(tmp_path / "search"), "--models", str(tmp_path / "config")]) == 0

    assert "on worlds apart by song, power laws 1.8, 2 of each." in capsys.readouterr().out
    assert "on worlds apart by song" in (tmp_path / "config" / "headroom.toml").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--worlds", "say --data DIR or --worlds, one of the two"),
        ("--search random --promote", "--promote is for training one model"),
        ("--search random --trials 0", "--trials is 0, wanted at least 1"),
        ("--search nobody", "'nobody' is no file and no method"),
        ("--search headroom --vary depth", "headroom: a search knows nothing of depth"),
        ("--search headroom --measure fame", "there is no measure 'fame'"),
    ],
)
def test_a_search_that_cannot_be_made_says_why(
    data: Path, tmp_path: Path, words: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "--data", str(data), "--out", str(tmp_path / "out"), *words.split()]) == 2
    assert said in capsys.readouterr().err
