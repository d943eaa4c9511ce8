"""Copies of stores from which another worker, or an empty disk, starts: taken, found again, checked, pruned.

    <url>/<shard>/<taken_ms>-<token>/…              the files of a store's checkpoint
    <url>/<shard>/<taken_ms>-<token>/manifest.json  written last: without it there is no checkpoint

The url is a folder, or what fsspec knows: `s3://bucket/path` (then also MinIO and others of its kind).
"""

import re
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import IO

import fsspec
import msgspec

from streams.errors import BadSettings, StoreUnavailable
from streams.state import crash_points
from streams.state.store import Store

MANIFEST = "manifest.json"
NAME = re.compile(r"\d{13}-[0-9a-f]{8}")
CHUNK = 1 << 20
MS_PER_H = 3_600_000
# A copy without a manifest may still be on its way; after this it never arrives.
HALF_WRITTEN_MS = MS_PER_H


class File(msgspec.Struct, frozen=True):
    sha256: str
    size: int


class Manifest(msgspec.Struct, frozen=True):
    shard: str
    name: str
    artifact: str
    taken_ms: int
    offsets: dict[str, int]  # where reading of each topic goes on
    files: dict[str, File]


class _Sealed(msgspec.Struct):
    sha256: str  # of the manifest's own bytes
    manifest: msgspec.Raw


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A store's last commit in a folder of its own, not yet in the checkpoint store."""

    folder: Path
    shard: str
    artifact: str
    taken_ms: int
    offsets: dict[str, int]


@dataclass(frozen=True, slots=True)
class Restored:
    name: str
    artifact: str
    taken_ms: int
    offsets: dict[str, int]


@dataclass(frozen=True, slots=True)
class Refused:
    """A checkpoint that cannot be believed, and why. Listing and restoring go on with the one before."""

    shard: str
    name: str
    reason: str


class _Damaged(Exception):
    pass


class Checkpoints:
    """`scratch` is this process's own folder, best on the disk of the stores: then a snapshot is made of hard links.

    Whatever lies in it is removed at the start: a crash may have left a copy of what has been erased since.
    """

    def __init__(self, url: str, keep: int, keep_h: float, scratch: Path | None = None) -> None:
        try:
            self._files, self._root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise BadSettings(
                f"checkpoints.store is {url!r}; wanted a folder or a url that fsspec can open "
                f"(for s3:// install the extra `s3`): {error}"
            ) from error
        self._keep = keep
        self._keep_ms = keep_h * MS_PER_H
        self._scratch = scratch or Path(tempfile.gettempdir()) / f"bcl-checkpoints-{uuid.uuid4().hex}"
        shutil.rmtree(self._scratch, ignore_errors=True)
        self.refused: list[Refused] = []

    def take(self, store: Store, shard: str, artifact: str, now_ms: int) -> str:
        """The name of the new checkpoint of the store's last commit."""
        return self.upload(self.snapshot(store, shard, artifact, now_ms))

    def snapshot(self, store: Store, shard: str, artifact: str, now_ms: int) -> Snapshot:
        """The part that needs the store: milliseconds, while nobody commits."""
        folder = self._scratch / f"{shard}-{uuid.uuid4().hex}"
        store.checkpoint(folder)
        return Snapshot(folder, shard, artifact, now_ms, store.offsets())

    def upload(self, snapshot: Snapshot) -> str:
        """The part that takes its time, in any thread; the snapshot is gone afterwards, whatever happens."""
        try:
            with self._reaching():
                return self._upload(snapshot)
        finally:
            shutil.rmtree(snapshot.folder, ignore_errors=True)

    def newest(self, shard: str) -> list[Manifest]:
        """Of all complete checkpoints of the shard, the newest first."""
        with self._reaching():
            return list(self._manifests(shard))

    def restore(self, shard: str, into: Path) -> Restored | None:
        """The newest checkpoint that is whole, in a folder that does not exist yet; None if there is none.

        A damaged one is added to `refused`. If the checkpoint store cannot be reached, `StoreUnavailable`: that is no
        reason to start from nothing.
        """
        if into.exists():
            raise StoreUnavailable(f"{into} exists; close its store and remove it, then restore again")
        aside = into.with_name(f".{into.name}.restoring")
        with self._reaching():
            for manifest in self._manifests(shard):
                shutil.rmtree(aside, ignore_errors=True)
                try:
                    self._download(manifest, aside)
                except _Damaged as reason:
                    self._refuse(shard, manifest.name, str(reason))
                    continue
                aside.rename(into)
                return Restored(manifest.name, manifest.artifact, manifest.taken_ms, manifest.offsets)
        shutil.rmtree(aside, ignore_errors=True)
        return None

    def prune(self, now_ms: int) -> list[str]:
        """Remove what is older than `keep_h`, be it the last one, and all but the `keep` newest of each shard."""
        removed = []
        with self._reaching():
            for shard in self._names(self._root):
                complete = 0
                for name in self._checkpoints(shard):
                    age_ms = now_ms - int(name.partition("-")[0])
                    is_complete = bool(self._files.exists(self._path(shard, name, MANIFEST)))
                    complete += is_complete
                    too_many = complete > self._keep or (not is_complete and age_ms > HALF_WRITTEN_MS)
                    if too_many or age_ms > self._keep_ms:
                        self._remove(shard, name)
                        removed.append(f"{shard}/{name}")
        return removed

    def _upload(self, snapshot: Snapshot) -> str:
        name = f"{snapshot.taken_ms:013d}-{uuid.uuid4().hex[:8]}"
        files = {}
        for file in sorted(path for path in snapshot.folder.rglob("*") if path.is_file()):
            relative = file.relative_to(snapshot.folder).as_posix()
            target = self._path(snapshot.shard, name, relative)
            self._files.makedirs(target.rpartition("/")[0], exist_ok=True)
            with file.open("rb") as source, self._files.open(target, "wb") as copy:
                files[relative] = _copied(source, copy)
        crash_points.reached(crash_points.IN_CHECKPOINT)
        manifest = Manifest(snapshot.shard, name, snapshot.artifact, snapshot.taken_ms, dict(snapshot.offsets), files)
        self._files.pipe_file(self._path(snapshot.shard, name, MANIFEST), _sealed(manifest))
        return name

    def _download(self, manifest: Manifest, folder: Path) -> None:
        folder.mkdir(parents=True)
        for relative, wanted in manifest.files.items():
            target = folder / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                with (
                    self._files.open(self._path(manifest.shard, manifest.name, relative), "rb") as source,
                    target.open("wb") as copy,
                ):
                    found = _copied(source, copy)
            except FileNotFoundError as error:
                raise _Damaged(f"{relative} is missing") from error
            if found != wanted:
                raise _Damaged(
                    f"{relative} has {found.size} bytes with sha256 {found.sha256[:12]}, "
                    f"the manifest says {wanted.size} with {wanted.sha256[:12]}"
                )

    def _manifests(self, shard: str) -> Iterator[Manifest]:
        for name in self._checkpoints(shard):
            try:
                raw = self._files.cat_file(self._path(shard, name, MANIFEST))
            except FileNotFoundError:
                continue  # half-written, or being pruned
            try:
                yield _opened(raw, shard, name)
            except _Damaged as reason:
                self._refuse(shard, name, str(reason))

    def _names(self, folder: str) -> list[str]:
        self._files.invalidate_cache()
        try:
            found = self._files.ls(folder, detail=False)
        except FileNotFoundError:
            return []
        return [str(path).rstrip("/").rpartition("/")[2] for path in found]

    def _checkpoints(self, shard: str) -> list[str]:
        """Newest first. What has another kind of name is not ours to read or to remove."""
        return sorted(filter(NAME.fullmatch, self._names(self._path(shard))), reverse=True)

    def _remove(self, shard: str, name: str) -> None:
        """The manifest goes first: what is half removed is no checkpoint."""
        manifest = self._path(shard, name, MANIFEST)
        with suppress(FileNotFoundError):  # another worker prunes too
            if self._files.exists(manifest):
                self._files.rm_file(manifest)
            self._files.rm(self._path(shard, name), recursive=True)

    def _path(self, *parts: str) -> str:
        return "/".join((str(self._root).rstrip("/"), *parts))

    def _refuse(self, shard: str, name: str, reason: str) -> None:
        refused = Refused(shard, name, reason)
        if refused not in self.refused:
            self.refused.append(refused)

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except StoreUnavailable:
            raise
        except Exception as error:  # fsspec's file systems raise OSError, botocore's, aiohttp's, ...
            raise StoreUnavailable(f"the checkpoint store {self._root} cannot be used now: {error!r}") from error


def _copied(source: IO[bytes], target: IO[bytes]) -> File:
    digest, size = sha256(), 0
    while chunk := source.read(CHUNK):
        digest.update(chunk)
        size += len(chunk)
        target.write(chunk)
    return File(digest.hexdigest(), size)


def _sealed(manifest: Manifest) -> bytes:
    raw = msgspec.json.encode(manifest)
    return msgspec.json.encode(_Sealed(sha256(raw).hexdigest(), msgspec.Raw(raw)))


def _opened(raw: bytes, shard: str, name: str) -> Manifest:
    try:
        sealed = msgspec.json.decode(raw, type=_Sealed)
        manifest = msgspec.json.decode(sealed.manifest, type=Manifest)
    except msgspec.MsgspecError as error:
        raise _Damaged(f"its manifest cannot be read: {error}") from error
    if sha256(bytes(sealed.manifest)).hexdigest() != sealed.sha256:
        raise _Damaged("its manifest does not have its own checksum")
    if (manifest.shard, manifest.name) != (shard, name):
        raise _Damaged(f"its manifest is that of {manifest.shard}/{manifest.name}")
    return manifest
