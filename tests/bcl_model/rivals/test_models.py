"""The models of the table differ in the contrastive part alone."""

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from bcl_model.familiarity import WEIGHT
from bcl_model.rivals import RIVALS, TABLE
from bcl_model.rivals.bcl import SPACE
from bcl_model.settings import Grouping, Operator, Reading, TrainSettings, read_settings

MODELS = Path(__file__).parents[3] / "config" / "models"


@pytest.mark.parametrize("folder", [MODELS, MODELS / "worlds"], ids=["models", "worlds"])
@pytest.mark.parametrize(("name", "kind"), [("rfm", "random"), ("cfm", "top"), ("bcl", "gumbel")])
def test_a_contrastive_model_is_bpr_with_its_own_views(folder: Path, name: str, kind: str) -> None:
    bpr, settings = (read_settings(folder / f"{one}.toml") for one in ("bpr", name))

    assert bpr.contrast.weight == 0 < settings.contrast.weight
    assert settings.grouping.kind is Grouping(kind)
    contrastive = {part: getattr(bpr, part) for part in ("contrast", "grouping", "correlation", "augment")}
    assert untuned(replace(settings, **contrastive)) == untuned(bpr)


@pytest.mark.parametrize("folder", [MODELS, MODELS / "worlds"], ids=["models", "worlds"])
@pytest.mark.parametrize("name", ["rfm", "cfm"])
def test_the_ancestors_mask_whole_fields(folder: Path, name: str) -> None:
    augment = read_settings(folder / f"{name}.toml").augment
    assert (augment.reading, augment.operator) == (Reading.KEEP_OWN, Operator.RANDOM)


@pytest.mark.parametrize(
    ("name", "of"), [*((f"{one}_live", one) for one in ("bpr", "rfm", "cfm", "bcl")), ("evidence", "bpr")]
)
def test_an_ablation_changes_only_how_listeners_are_found(name: str, of: str) -> None:
    ablated, whole = (read_settings(MODELS / f"{one}.toml") for one in (name, of))

    assert replace(ablated, reach=whole.reach) == whole
    assert whole.reach.fitted and whole.reach.similarity
    assert not (ablated.reach.fitted and ablated.reach.similarity)


@pytest.mark.parametrize("name", ["bpr", "rfm", "cfm", "bcl"])
def test_worlds_are_compared_by_the_vectors_alone_and_as_live(name: str) -> None:
    alone, live = (read_settings(MODELS / "worlds" / of / f"{name}.toml") for of in ("", "live"))
    assert (alone.reach.familiarity, live.reach.familiarity) == (0.0, WEIGHT)
    assert replace(alone, reach=live.reach) == live
    assert live.reach == read_settings(MODELS / "bcl_live.toml").reach


def untuned(settings: TrainSettings) -> TrainSettings:
    """Without what a search may have chosen."""
    for section, name in (key.split(".") for key in SPACE):
        usual = getattr(getattr(TrainSettings(), section), name)
        settings = replace(settings, **{section: replace(getattr(settings, section), **{name: usual})})
    return settings


def test_every_name_of_the_table_is_a_method_that_can_be_made() -> None:
    for name in TABLE:
        file = MODELS / f"{name}.toml"
        table = tomllib.loads(file.read_text("utf-8")) if file.exists() else {}
        assert callable(RIVALS[table.pop("method", "bcl" if file.exists() else name)].make(table))
    assert TABLE[-1] == "bcl"
