"""Model settings: read from TOML, refused with the key, the value and the nearest known name."""

from pathlib import Path
from typing import Any

import pytest

from bcl_model.errors import BadModelSettings
from bcl_model.settings import Grouping, TrainSettings, read_settings, section, to_table

CONFIGS = sorted((Path(__file__).parents[2] / "config" / "models").glob("*.toml"))


def test_settings_survive_the_way_through_a_table() -> None:
    settings = section(TrainSettings, {"grouping": {"kind": "top"}, "encoder": {"layers": [32, 16]}}, "x")

    assert settings.grouping.kind is Grouping.TOP
    assert settings.encoder.layers == (32, 16)
    assert section(TrainSettings, to_table(settings), "x") == settings


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"groping": {}}, "unknown key 'groping', did you mean 'grouping'?"),
        ({"run": {"step": 3}}, "x.run: unknown key 'step', did you mean 'steps'?"),
        ({"run": {"steps": 3.5}}, "x.run.steps is 3.5, wanted int"),
        ({"run": {"steps": True}}, "x.run.steps is True, wanted int"),
        ({"run": 3}, "x.run is 3, wanted a table"),
        ({"grouping": {"kind": "best"}}, "wanted one of none, random, top, gumbel"),
        ({"encoder": {"layers": 64}}, "x.encoder.layers is 64, wanted a list"),
        ({"encoder": {"layers": [64, "b"]}}, "x.encoder.layers[1] is 'b', wanted int"),
    ],
)
def test_a_wrong_setting_is_named(table: dict[str, Any], said: str) -> None:
    with pytest.raises(BadModelSettings) as refusal:
        section(TrainSettings, table, "x")
    assert said in str(refusal.value)


def test_files_that_are_not_there_or_not_toml_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text("[run\n")
    with pytest.raises(BadModelSettings, match=r"x\.toml"):
        read_settings(tmp_path / "x.toml")
    with pytest.raises(BadModelSettings, match="no model settings"):
        read_settings(tmp_path / "y.toml")


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_published_model_can_be_read(path: Path) -> None:
    read_settings(path)


def test_there_are_published_models() -> None:
    assert {"demo", "bpr", "paper"} <= {path.stem for path in CONFIGS}
