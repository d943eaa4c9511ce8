"""A trained HTCL model as one folder whose name follows from its content; no pickle, every byte checked when read.

    htcl-3f9a…/             first 12 hex digits of the hash over weights, settings and text encoder
      weights.safetensors   both encoders, heads, fusion
      settings.json         how it was trained
      text/                 sizes and vocabulary of the text encoder, so that nothing has to be fetched
      metrics.json          how good it was; not part of the name
      manifest.json         name, and the SHA-256 of every other file

It is written aside and renamed, so a folder is whole or not there.
"""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from bcl_model.errors import ArtifactDamaged, UnknownArtifact
from bcl_model.htcl.model import Htcl
from bcl_model.htcl.settings import HtclSettings
from bcl_model.settings import section, to_table

MANIFEST, METRICS = "manifest.json", "metrics.json"


@dataclass(frozen=True)
class HtclArtifact:
    name: str
    model: Htcl
    metrics: Mapping[str, Any]


def write_htcl(models: Path, model: Htcl, metrics: Mapping[str, Any]) -> Path:
    """A new folder below `models`; the same content again is the same folder."""
    aside = models / f".htcl.{os.getpid()}"
    shutil.rmtree(aside, ignore_errors=True)
    (aside / "text").mkdir(parents=True)
    try:
        weights = {name: weight.detach().cpu().contiguous().clone() for name, weight in model.state_dict().items()}
        save_file(dict(sorted(weights.items())), aside / "weights.safetensors")
        (aside / "settings.json").write_text(_json(to_table(model.settings)), "utf-8")
        model.text_encoder.write(aside / "text")
        sums = _sums(aside)
        name = _name(sums)
        (aside / METRICS).write_text(_json(metrics), "utf-8")
        sums[METRICS] = _sum(aside / METRICS)
        (aside / MANIFEST).write_text(_json({"name": name, "sha256": sums}), "utf-8")
        if not (models / name).exists():
            aside.rename(models / name)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return models / name


def read_htcl(folder: Path) -> HtclArtifact:
    """Every byte is compared with the manifest first."""
    if not (folder / MANIFEST).is_file():
        raise UnknownArtifact(f"{folder} is no HTCL model: it has no {MANIFEST}; `bcl htcl train` makes one")
    try:
        manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
        name, sums = str(manifest["name"]), dict(manifest["sha256"])
    except (ValueError, KeyError, TypeError) as error:
        raise ArtifactDamaged(f"{folder / MANIFEST} cannot be read: {error}; copy the model again") from error
    if name != _name({file: found for file, found in sums.items() if file != METRICS}):
        raise ArtifactDamaged(f"{folder / MANIFEST} names {name}, its checksums make another; copy the model again")
    for file, wanted in sums.items():
        if not (folder / file).is_file() or _sum(folder / file) != wanted:
            raise ArtifactDamaged(f"{folder / file} is not what was written (SHA-256); copy the model again")
    try:
        settings = section(HtclSettings, json.loads((folder / "settings.json").read_text("utf-8")), "settings.json")
        model = Htcl.empty(settings, folder / "text")
        model.load_state_dict(load_file(folder / "weights.safetensors"))
        metrics = json.loads((folder / METRICS).read_text("utf-8"))
    except (SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise ArtifactDamaged(f"{folder} cannot be understood by this program: {error}") from error
    return HtclArtifact(name, model.eval(), metrics)


def _sums(folder: Path) -> dict[str, str]:
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): _sum(file) for file in files}


def _sum(file: Path) -> str:
    with file.open("rb") as opened:
        return file_digest(opened, "sha256").hexdigest()


def _name(sums: Mapping[str, str]) -> str:
    return "htcl-" + sha256("".join(f"{file} {sums[file]}\n" for file in sorted(sums)).encode()).hexdigest()[:12]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, indent=1, sort_keys=True) + "\n"
