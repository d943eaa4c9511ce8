"""A folder of artifacts, and the one that is in use.

The file `current` names the artifacts that were promoted, one a line; the last line is in use. It is replaced as a
whole, so a reader sees the old choice or the new one.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bcl_model.artifact import MANIFEST, read_artifact
from bcl_model.errors import ArtifactDamaged, ModelError, UnknownArtifact

CURRENT = "current"


@dataclass(frozen=True)
class Listed:
    name: str
    in_use: bool
    metrics: dict[str, Any]
    damage: str  # empty: none


def listed(models: Path) -> list[Listed]:
    """All artifacts of the folder, by name; a damaged one says so."""
    in_use = next(reversed(history(models)), None)
    found = []
    for manifest in sorted(models.glob(f"bcl-*/{MANIFEST}")):
        name = manifest.parent.name
        try:
            found.append(Listed(name, name == in_use, dict(read_artifact(manifest.parent).metrics), ""))
        except ArtifactDamaged as error:
            found.append(Listed(name, name == in_use, {}, str(error)))
    return found


def history(models: Path) -> list[str]:
    """What was promoted and not rolled back, newest last."""
    try:
        return (models / CURRENT).read_text("utf-8").split()
    except FileNotFoundError:
        return []


def promote(models: Path, name: str) -> None:
    """Put an artifact in use; it is read first, a damaged one is refused."""
    artifact = read_artifact(models / name)
    if artifact.name != name:
        raise ArtifactDamaged(f"the folder {name} holds the artifact {artifact.name}")
    before = history(models)
    if before[-1:] != [name]:
        _write(models, [*before, name])


def roll_back(models: Path) -> str:
    """Put the artifact in use that was before; gives its name."""
    before = history(models)
    if len(before) < 2:
        raise ModelError(f"nothing to roll back to in {models}: {len(before)} artifacts were promoted")
    read_artifact(models / before[-2])
    _write(models, before[:-1])
    return before[-2]


def resolve(folder: Path) -> Path:
    """An artifact's folder: itself, or the one in use if this is a folder of artifacts or its file `current`."""
    if (folder / MANIFEST).exists():
        return folder
    if folder.is_file() and folder.name == CURRENT:
        folder = folder.parent
    if promoted := history(folder):
        return folder / promoted[-1]
    raise UnknownArtifact(f"{folder} is no artifact, and none in it was promoted; see `bcl model promote --help`")


def _write(models: Path, names: list[str]) -> None:
    aside = models / f".{CURRENT}.{os.getpid()}"
    aside.write_text("".join(f"{name}\n" for name in names), "utf-8")
    aside.replace(models / CURRENT)
