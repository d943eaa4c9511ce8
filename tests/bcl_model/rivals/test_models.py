"""The models of the table differ in the contrastive part alone."""

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from bcl_model.rivals import RIVALS, TABLE
from bcl_model.settings import Grouping, read_settings

MODELS = Path(__file__).parents[3] / "config" / "models"


@pytest.mark.parametrize("folder", [MODELS, MODELS / "worlds"], ids=["models", "worlds"])
@pytest.mark.parametrize(("name", "kind"), [("rfm", "random"), ("cfm", "top"), ("bcl", "gumbel")])
def test_a_contrastive_model_is_bpr_with_its_own_grouping(folder: Path, name: str, kind: str) -> None:
    bpr, settings, bcl = (read_settings(folder / f"{one}.toml") for one in ("bpr", name, "bcl"))

    assert bpr.contrast.weight == 0 < settings.contrast.weight
    assert settings.grouping.kind is Grouping(kind)
    assert replace(settings, grouping=bcl.grouping) == bcl
    contrastive = {part: getattr(bpr, part) for part in ("contrast", "grouping", "correlation", "augment")}
    assert replace(settings, **contrastive) == bpr


def test_every_name_of_the_table_is_a_method_that_can_be_made() -> None:
    for name in TABLE:
        file = MODELS / f"{name}.toml"
        table = tomllib.loads(file.read_text("utf-8")) if file.exists() else {}
        assert callable(RIVALS[table.pop("method", "bcl" if file.exists() else name)].make(table))
    assert TABLE[-1] == "bcl"
