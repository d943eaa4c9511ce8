"""`bcl htcl world` writes a folder that the model's loader reads."""

import json
from pathlib import Path

import pytest

from bcl_model.htcl.corpus import read_corpus
from streams.cli import main

SMALL = ("--songs", "60", "--listeners", "300", "--seconds", "0.5", "--processes", "1", "--seed", "5")


def test_the_folder_that_is_written_is_a_corpus(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["htcl", "world", "--out", str(tmp_path / "songs"), *SMALL, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["songs"] == 60 and told["artists"] > 10
    assert len(read_corpus(tmp_path / "songs").songs) == 60


@pytest.mark.parametrize(("word", "least"), [("--songs", "50"), ("--seconds", "0.5"), ("--processes", "1")])
def test_a_number_that_is_too_small_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str], word: str, least: str):
    assert main(["htcl", "world", "--out", str(tmp_path), *SMALL, word, "0"]) == 2
    assert f"{word} is 0" in (said := capsys.readouterr().err) and f"at least {least}" in said
