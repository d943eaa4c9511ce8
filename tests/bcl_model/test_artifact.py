"""Artifacts: named by their content, refused when damaged, put in use and rolled back."""

import json
from pathlib import Path

import numpy as np
import pytest

from bcl_model.artifact import Artifact, read_artifact, write_artifact
from bcl_model.audiences import Audiences, Table
from bcl_model.errors import ArtifactDamaged, ModelError, UnknownArtifact
from bcl_model.registry import history, listed, promote, resolve, roll_back
from bcl_model.settings import EncoderSettings, TrainSettings
from tests.builders.songs import FIELDS, content

FILES = ["weights.safetensors", "settings.json", "fields.json", "vocabulary.json", "metrics.json", "manifest.json"]


def written(models: Path, value: float = 1.0, **metrics: float) -> Path:
    weights = {"backbone.0.weight": np.full((2, 3), value, np.float32)}
    settings = TrainSettings(encoder=EncoderSettings((2,), ()))
    return write_artifact(models, Artifact.of(weights, settings, FIELDS.learned([content()]), metrics))


def test_what_is_written_is_read(tmp_path: Path) -> None:
    artifact = read_artifact(written(tmp_path, 0.5, recall=0.25))

    assert artifact.weights["backbone.0.weight"].tolist() == [[0.5] * 3] * 2
    assert artifact.settings == TrainSettings(encoder=EncoderSettings((2,), ()))
    assert artifact.fields == FIELDS.learned([content()])
    assert artifact.metrics == {"recall": 0.25}
    assert artifact.dimension == 2


def test_where_the_audiences_of_words_lie_is_kept(tmp_path: Path) -> None:
    table = Table(("a", "b"), np.eye(2, 3, dtype=np.float32), np.ones(2, np.float32), np.full(2, 7, np.float32))
    without = read_artifact(written(tmp_path))
    artifact = Artifact.of(
        without.weights, without.settings, without.fields, without.metrics, Audiences({"artist": table})
    )

    kept = read_artifact(write_artifact(tmp_path, artifact))

    assert kept.name != without.name and without.audiences.tables == {}
    assert kept.weights.keys() == without.weights.keys()
    again = kept.audiences.tables["artist"]
    assert again.words == table.words
    for part in ("places", "songs", "listeners"):
        np.testing.assert_array_equal(getattr(again, part), getattr(table, part))


def test_the_name_follows_from_what_was_learned_and_not_from_how_good_it_was(tmp_path: Path) -> None:
    first, again, other = written(tmp_path, recall=0.1), written(tmp_path, recall=0.2), written(tmp_path, 2.0)

    assert first == again != other
    assert first.name == read_artifact(first).name
    assert first.name.startswith("bcl-") and len(first.name) == 16
    assert sorted(path.name for path in first.iterdir()) == sorted(FILES)


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_a_damaged_file_is_named(tmp_path: Path, file: str, damage: str) -> None:
    path = written(tmp_path) / file
    data = bytearray(path.read_bytes())
    if damage == "remove":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(data[:-1] if file != "manifest.json" else data[: len(data) // 2])
    else:
        data[len(data) // 2] ^= 1
        path.write_bytes(data)

    with pytest.raises((ArtifactDamaged, UnknownArtifact)) as refusal:
        read_artifact(path.parent)
    assert file in str(refusal.value)


def test_weights_swapped_together_with_their_checksum_do_not_keep_the_name(tmp_path: Path) -> None:
    one, other = written(tmp_path), written(tmp_path, 2.0)
    manifest = json.loads((other / "manifest.json").read_text())
    manifest["name"] = one.name
    (other / "manifest.json").write_text(json.dumps(manifest))

    with pytest.raises(ArtifactDamaged, match=one.name):
        read_artifact(other)


def test_an_artifact_of_a_later_format_is_refused(tmp_path: Path) -> None:
    folder = written(tmp_path)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"format": 99}))

    with pytest.raises(ArtifactDamaged, match="format 99"):
        read_artifact(folder)


def test_artifacts_are_promoted_and_rolled_back(tmp_path: Path) -> None:
    first, second = written(tmp_path), written(tmp_path, 2.0)
    assert history(tmp_path) == []

    promote(tmp_path, first.name)
    promote(tmp_path, second.name)
    promote(tmp_path, second.name)  # again: nothing happens
    assert resolve(tmp_path) == resolve(tmp_path / "current") == second
    assert {one.name: one.in_use for one in listed(tmp_path)} == {first.name: False, second.name: True}

    assert roll_back(tmp_path) == first.name
    assert resolve(tmp_path) == first
    with pytest.raises(ModelError, match="nothing to roll back to"):
        roll_back(tmp_path)


def test_a_damaged_artifact_is_listed_as_such_and_never_put_in_use(tmp_path: Path) -> None:
    first, second = written(tmp_path), written(tmp_path, 2.0)
    promote(tmp_path, first.name)
    (second / "fields.json").write_text("{}")

    with pytest.raises(ArtifactDamaged):
        promote(tmp_path, second.name)
    assert resolve(tmp_path) == first
    assert [bool(one.damage) for one in sorted(listed(tmp_path), key=lambda one: one.name == second.name)] == [
        False,
        True,
    ]


def test_an_artifacts_own_folder_is_itself(tmp_path: Path) -> None:
    folder = written(tmp_path)

    assert resolve(folder) == folder
    with pytest.raises(UnknownArtifact, match="promote"):
        resolve(tmp_path)
