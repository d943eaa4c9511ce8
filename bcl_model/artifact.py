"""A trained model as one folder whose name follows from its content.

    bcl-3f9a…/                first 12 hex digits of the hash over weights, settings, fields and vocabulary
      weights.safetensors     what the encoder learned, and where the audiences of words lie
      settings.json           how it was trained
      fields.json             which fields it reads, with the knots of numbers and the words whose audiences it knows
      vocabulary.json         the words of each token field, in the order of their rows
      metrics.json            how good it was; not part of the name
      manifest.json           format, name, and the SHA-256 of every other file

It is written aside and renamed, so a folder is whole or not there. Only NumPy is needed to read it.
"""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load as load_weights
from safetensors.numpy import save as save_weights

from bcl_model.audiences import Audiences, Table
from bcl_model.errors import ArtifactDamaged, UnknownArtifact
from bcl_model.fields import Fields
from bcl_model.settings import TrainSettings, section, to_table

FORMAT = 1
OF_AUDIENCES = "audiences."  # how their arrays begin, beside the weights
MANIFEST = "manifest.json"
NAMING = ("weights.safetensors", "settings.json", "fields.json", "vocabulary.json")
Weights = Mapping[str, npt.NDArray[np.float32]]


@dataclass(frozen=True)
class Artifact:
    name: str
    weights: Weights
    settings: TrainSettings
    fields: Fields
    metrics: Mapping[str, Any]
    audiences: Audiences = field(default_factory=Audiences)

    @property
    def dimension(self) -> int:
        return self.settings.encoder.layers[-1]

    @classmethod
    def of(
        cls,
        weights: Weights,
        settings: TrainSettings,
        fields: Fields,
        metrics: Mapping[str, Any],
        audiences: Audiences | None = None,
    ) -> "Artifact":
        """One not written yet, under the name that it will have."""
        unnamed = cls("", weights, settings, fields, metrics, audiences or Audiences())
        return replace(unnamed, name=_name(_sums(_files(unnamed))))


def write_artifact(models: Path, artifact: Artifact) -> Path:
    """A new folder in the models folder; the same content again is the same folder."""
    files = _files(artifact)
    sums = _sums(files)
    name = _name(sums)
    folder, aside = models / name, models / f".{name}.{os.getpid()}"
    if folder.exists():
        read_artifact(folder)
        return folder
    aside.mkdir(parents=True)
    try:
        for file, data in files.items():
            (aside / file).write_bytes(data)
        (aside / MANIFEST).write_bytes(_json({"format": FORMAT, "name": name, "sha256": sums}))
        aside.rename(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return folder


def read_artifact(folder: Path) -> Artifact:
    """Every byte is compared with the manifest first."""
    if not (folder / MANIFEST).is_file():
        raise UnknownArtifact(f"{folder} is no artifact: it has no {MANIFEST}; `bcl model list` shows those there are")
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        found, name, sums = manifest["format"], str(manifest["name"]), dict(manifest["sha256"])
    except (ValueError, KeyError, TypeError) as error:
        raise ArtifactDamaged(f"{folder / MANIFEST} cannot be read: {error}; train again or roll back") from error
    if found != FORMAT:
        raise ArtifactDamaged(f"{folder} is of format {found!r}, this program reads format {FORMAT}")
    if name != _name(sums):
        raise ArtifactDamaged(f"{folder / MANIFEST} names {name}, its checksums make {_name(sums)}")
    files: dict[str, bytes] = {}
    for file in (*NAMING, "metrics.json"):
        try:
            files[file] = (folder / file).read_bytes()
        except OSError as error:
            raise ArtifactDamaged(f"{folder / file} cannot be read: {error}; copy the artifact again") from error
        if sha256(files[file]).hexdigest() != sums.get(file):
            raise ArtifactDamaged(f"{folder / file} is not what was written (SHA-256); copy the artifact again")
    try:
        weights, fields = load_weights(files["weights.safetensors"]), json.loads(files["fields.json"])
        return Artifact(
            name,
            {key: weight for key, weight in weights.items() if not key.startswith(OF_AUDIENCES)},
            section(TrainSettings, json.loads(files["settings.json"]), "settings.json"),
            Fields.from_json(fields, json.loads(files["vocabulary.json"])),
            json.loads(files["metrics.json"]),
            _audiences(fields.get("audiences", {}), weights),
        )
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ArtifactDamaged(f"{folder} cannot be understood by this program: {error}") from error


def _files(artifact: Artifact) -> dict[str, bytes]:
    tables = artifact.audiences.tables
    weights = dict(artifact.weights)
    for name, table in tables.items():
        parts = {"places": table.places, "songs": table.songs, "listeners": table.listeners}
        weights |= {f"{OF_AUDIENCES}{part}.{name}": rows for part, rows in parts.items()}
    words = {"audiences": {name: list(table.words) for name, table in tables.items()}} if tables else {}
    return {
        "weights.safetensors": save_weights({name: np.ascontiguousarray(weights[name]) for name in sorted(weights)}),
        "settings.json": _json(to_table(artifact.settings)),
        "fields.json": _json(artifact.fields.to_json() | words),
        "vocabulary.json": _json({name: list(words) for name, words in artifact.fields.words.items()}),
        "metrics.json": _json(artifact.metrics),
    }


def _audiences(words: Mapping[str, Sequence[str]], weights: Weights) -> Audiences:
    tables = {}
    for name, of_name in words.items():
        parts = (weights[f"{OF_AUDIENCES}{part}.{name}"] for part in ("places", "songs", "listeners"))
        tables[name] = Table(tuple(of_name), *parts)
    return Audiences(tables)


def _sums(files: Mapping[str, bytes]) -> dict[str, str]:
    return {file: sha256(data).hexdigest() for file, data in files.items()}


def _name(sums: Mapping[str, str]) -> str:
    return "bcl-" + sha256("".join(f"{file} {sums.get(file)}\n" for file in NAMING).encode()).hexdigest()[:12]


def _json(value: Any) -> bytes:
    return (json.dumps(value, ensure_ascii=False, allow_nan=False, indent=1, sort_keys=True) + "\n").encode()
