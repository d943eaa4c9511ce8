"""The models of the table differ in the contrastive part alone."""

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from bcl_model.rivals import RIVALS, TABLE
from bcl_model.settings import Grouping, read_settings

MODELS = Path(__file__).parents[3] / "config" / "models"


@pytest.mark.parametrize(("name", "kind"), [("rfm", "random"), ("cfm", "top"), ("bcl", "gumbel")])
def test_a_contrastive_model_is_bpr_with_its_own_grouping(name: str, kind: str) -> None:
    bpr, settings = read_settings(MODELS / "bpr.toml"), read_settings(MODELS / f"{name}.toml")

    assert bpr.contrast.weight == 0 < settings.contrast.weight
    assert settings.grouping.kind is Grouping(kind)
    assert replace(settings, contrast=bpr.contrast, grouping=bpr.grouping) == bpr


def test_every_name_of_the_table_is_a_method_that_can_be_made() -> None:
    for name in TABLE:
        file = MODELS / f"{name}.toml"
        table = tomllib.loads(file.read_text("utf-8")) if file.exists() else {}
        assert callable(RIVALS[table.pop("method", "bcl" if file.exists() else name)].make(table))
    assert TABLE[-1] == "bcl"
