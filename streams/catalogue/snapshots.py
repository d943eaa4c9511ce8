"""Folders that can be trusted: written aside and renamed, with a manifest that says what they hold and checks it.

manifest.json   what it holds, of which artifact, up to which offsets, how many; size and SHA-256 of each file;
                and the SHA-256 of all this
"""

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import msgspec

from streams.errors import StreamsError

MANIFEST = "manifest.json"
VERSION = 1


class SnapshotRefused(StreamsError):
    """A snapshot is not, or no longer, what was written, or not what is wanted: do without it, read the topics."""

    def __init__(self, folder: Path, reason: str) -> None:
        super().__init__(f"snapshot {folder.name}: {reason}; read the topics from their start")


class FileSum(msgspec.Struct, frozen=True):
    bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True):
    version: int
    holds: str
    artifact: str
    dimension: int
    offsets: dict[str, tuple[int, ...]]
    counts: dict[str, int]
    files: dict[str, FileSum]
    sha256: str = ""

    def checksum(self) -> str:
        return sha256(msgspec.json.encode(msgspec.structs.replace(self, sha256=""), order="sorted")).hexdigest()


@contextmanager
def written_aside(folder: Path) -> Iterator[Path]:
    """A folder to write into; it takes the name and place of `folder` when the block ends well, else it is gone."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = folder.with_name(f".{folder.name}.{os.getpid()}.aside")
    outdated = folder.with_name(f".{folder.name}.{os.getpid()}.outdated")
    for leftover in (aside, outdated):
        shutil.rmtree(leftover, ignore_errors=True)
    aside.mkdir()
    try:
        yield aside
        for path in [*aside.rglob("*"), aside]:
            _sync(path)
        if folder.exists():
            folder.rename(outdated)
        aside.rename(folder)
        _sync(folder.parent)
    finally:
        for leftover in (aside, outdated):
            shutil.rmtree(leftover, ignore_errors=True)


def write_manifest(
    folder: Path,
    holds: str,
    *,
    artifact: str,
    dimension: int,
    offsets: Mapping[str, Sequence[int]],
    counts: dict[str, int],
) -> None:
    """Of all files in the folder and below it; the last thing to write."""
    files = {path.relative_to(folder).as_posix(): _sum(path) for path in sorted(folder.rglob("*")) if path.is_file()}
    plain = {topic: tuple(int(offset) for offset in at) for topic, at in offsets.items()}
    manifest = Manifest(VERSION, holds, artifact, dimension, plain, counts, files)
    manifest = msgspec.structs.replace(manifest, sha256=manifest.checksum())
    (folder / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=2))


def read_manifest(folder: Path, holds: str, *, artifact: str, dimension: int) -> Manifest:
    """After every file has been checked. Raises SnapshotRefused."""
    try:
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    except OSError as error:
        raise SnapshotRefused(folder, f"{MANIFEST} cannot be read ({error.strerror})") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SnapshotRefused(folder, f"{MANIFEST} is damaged ({error})") from error
    if manifest.checksum() != manifest.sha256:
        raise SnapshotRefused(folder, f"{MANIFEST} is damaged: its checksum is another one")
    if (manifest.version, manifest.holds) != (VERSION, holds):
        raise SnapshotRefused(
            folder, f"it holds {manifest.holds} in version {manifest.version}, wanted {holds} in version {VERSION}"
        )
    if (manifest.artifact, manifest.dimension) != (artifact, dimension):
        raise SnapshotRefused(
            folder,
            f"its vectors come from artifact {manifest.artifact} and have {manifest.dimension} numbers, "
            f"wanted {artifact} and {dimension}",
        )
    for name, wanted in manifest.files.items():
        try:
            found = _sum(folder / name)
        except OSError as error:
            raise SnapshotRefused(folder, f"{name} cannot be read ({error.strerror})") from error
        if found != wanted:
            raise SnapshotRefused(
                folder,
                f"{name} is damaged: {found.bytes} bytes with checksum {found.sha256:.12}, "
                f"wanted {wanted.bytes} with {wanted.sha256:.12}",
            )
    return manifest


def _sum(path: Path) -> FileSum:
    digest = sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
        return FileSum(file.tell(), digest.hexdigest())


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
