"""`bcl htcl`: from a folder of songs to a model of both stages, its vectors and what it knows; as two processes too."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import tomli_w
import torch
from safetensors.torch import load_file

from bcl_model.htcl.artifact import read_htcl
from bcl_model.htcl.settings import HtclSettings
from bcl_model.settings import to_table
from streams.cli import main
from tests.builders.htcl import bert_folder, tiny_corpus, tiny_settings, without_dropout

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("htcl")
    tiny_corpus(root / "songs")
    bert_folder(root / "bert")
    write_settings(root / "tiny.toml", tiny_settings(root / "bert"))
    return root


def write_settings(file: Path, settings: HtclSettings) -> None:
    with file.open("wb") as opened:
        tomli_w.dump(to_table(settings), opened)


def said(capsys, *words: object) -> dict:
    assert main(["htcl", *map(str, words), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_from_songs_to_vectors_by_both_stages(folder, tmp_path, capsys):
    songs, out = folder / "songs", tmp_path / "models"
    one = said(capsys, "train", songs, "--model", folder / "tiny.toml", "--stage", 1, "--out", out, "--seed", 3)
    assert one["stage"] == 1 and len(one["epoch_losses"]) == 4
    two = said(capsys, "train", songs, "--stage", 2, "--from", one["folder"], "--out", out, "--epochs", 1)
    assert two["stage"] == 2 and len(two["epoch_losses"]) == 1 and two["held_out_songs"] == one["held_out_songs"]
    assert read_htcl(Path(two["folder"])).model.settings.run.seed == 3

    done = said(capsys, "embed", songs, "--with", two["folder"], "--out", tmp_path / "v.parquet", "--threads", 1)
    assert (done["embedded"], done["refused"]) == (24, 0)
    table = pq.read_table(tmp_path / "v.parquet")
    assert table["song_id"].to_pylist()[:2] == ["s00", "s01"] and len(table["audio"][0]) == len(table["text"][0]) == 8

    known = said(capsys, "probe", songs, "--with", two["folder"], "--threads", 1)
    assert known["held_out_songs"] == 6 and known["tags"]["genre"]["words"] == 3
    assert known["tags"]["genre"]["linear_probe"] >= 0.8  # three tones that any spectrum tells apart
    for way in ("text_to_audio", "audio_to_text"):
        assert known[way]["recall_at_1"] <= known[way]["recall_at_5"] <= known[way]["recall_at_10"] == 1.0


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--stage", "2"], "name it with --from"),
        (["--stage", "1", "--from", "x"], "stage 1 takes none"),
        (["--stage", "1", "--model", "huge"], r"there are no HTCL settings at .*huge\.toml"),
        (["--stage", "1", "--model", "tiny", "--device", "cuda"], "this machine has no such device"),
    ],
)
def test_wrong_usage_is_told_with_what_to_do(folder, words, reason, capsys):
    if "cuda" in words and torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    words = [str(folder / "tiny.toml") if word == "tiny" else word for word in words]
    assert main(["htcl", "train", str(folder / "songs"), *words]) == 2
    assert re.search(reason, capsys.readouterr().err)


def test_stage_two_cannot_be_another_model(folder, tmp_path, capsys):
    one = said(
        capsys,
        "train",
        folder / "songs",
        "--model",
        folder / "tiny.toml",
        "--stage",
        1,
        "--out",
        tmp_path,
        "--epochs",
        1,
    )
    words = ["htcl", "train", str(folder / "songs"), "--stage", "2", "--from", one["folder"], "--model", "small"]
    assert main(words) == 2
    assert "[sound] of small is not that of the model of stage 1" in capsys.readouterr().err


def test_the_authors_weights_become_a_model(folder, tmp_path, capsys):
    file = tmp_path / "weights.pth"
    torch.save({"nothing": torch.zeros(1)}, file)
    assert main(["htcl", "import", str(file), "--model", str(folder / "tiny.toml"), "--out", str(tmp_path)]) == 2
    assert "wanted the authors' layout" in capsys.readouterr().err


def test_the_named_configurations_can_be_read_and_the_published_one_has_the_published_size():
    from streams.commands.htcl import MODELS, _settings

    assert {file.stem for file in MODELS.glob("*.toml")} == {"published", "small"}
    published = _settings("published")
    assert replace(published, run=HtclSettings().run) == HtclSettings()
    assert _settings("small").size == 100


@pytest.mark.slow
def test_two_processes_train_the_model_that_one_trains(folder, tmp_path, capsys):
    """By torchrun, with gathered negatives: each has half of every batch. Stage 2: its losses hold that of stage 1."""
    settings = without_dropout(tiny_settings(folder / "bert"))
    write_settings(tmp_path / "start.toml", settings)
    words = ("--model", tmp_path / "start.toml", "--stage", 1, "--epochs", 1, "--out", tmp_path)
    start = said(capsys, "train", folder / "songs", *words)["folder"]
    for name, per_batch in (("one", 8), ("two", 4)):
        plan = replace(settings.stage1, per_batch=per_batch, epochs=1)
        write_settings(tmp_path / f"{name}.toml", replace(settings, stage1=plan, stage2=plan))
    words = ["htcl", "train", str(folder / "songs"), "--stage", "2", "--from", start, "--json"]
    one = said(capsys, *words[1:-1], "--model", tmp_path / "one.toml", "--out", tmp_path / "one")
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "streams.cli")
    launched = subprocess.run(
        [sys.executable, *torchrun, *words, "--model", str(tmp_path / "two.toml"), "--out", str(tmp_path / "two")],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"},
        timeout=200,
    )
    assert launched.returncode == 0, launched.stderr[-2_000:]
    two = json.loads(launched.stdout.strip().splitlines()[-1])
    assert two["epoch_losses"] == pytest.approx(one["epoch_losses"], abs=1e-3) and two["steps"] == one["steps"] > 1
    first, second = (load_file(Path(told["folder"]) / "weights.safetensors") for told in (one, two))
    for name, weight in first.items():
        if name.endswith("in_proj_bias"):  # a key's bias has no gradient but rounding, of which Adam makes steps
            continue
        torch.testing.assert_close(second[name], weight, rtol=1e-2, atol=1e-3, msg=name)
    begin = read_htcl(Path(start)).model.state_dict()
    for name in ("audio_encoder.projection.weight", "text_head.0.weight"):
        assert not torch.allclose(first[name], begin[name], atol=5e-3)
