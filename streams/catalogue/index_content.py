"""What a saved song index holds, whichever kind saved it: rows and embeddings, and maybe a FAISS index over them.

rows.npy         int64 (N,), sorted
embeddings.npy   float32 (N, D), unit length
others           of the kind that saved it; another kind leaves them unread
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from streams.catalogue.snapshots import Manifest, SnapshotRefused, read_manifest, write_manifest, written_aside
from streams.catalogue.song_index import Embeddings, Offsets, Rows

HOLDS = "song-index"


@dataclass(frozen=True, slots=True, eq=False)
class IndexContent:
    rows: Rows
    embeddings: Embeddings
    write_others: Callable[[Path], None] | None = None

    def save(self, folder: Path, *, artifact: str, offsets: Offsets) -> None:
        with written_aside(folder) as aside:
            np.save(aside / "rows.npy", self.rows)
            np.save(aside / "embeddings.npy", self.embeddings)
            if self.write_others is not None:
                self.write_others(aside)
            write_manifest(
                aside,
                HOLDS,
                artifact=artifact,
                dimension=self.embeddings.shape[1],
                offsets=offsets,
                counts={"songs": len(self.rows)},
            )


def read_content(folder: Path, *, artifact: str, dimension: int) -> tuple[IndexContent, Manifest]:
    manifest = read_manifest(folder, HOLDS, artifact=artifact, dimension=dimension)
    for name in ("rows.npy", "embeddings.npy"):
        if name not in manifest.files:
            raise SnapshotRefused(folder, f"{name} is missing")
    rows = np.load(folder / "rows.npy", allow_pickle=False)
    embeddings = np.load(folder / "embeddings.npy", allow_pickle=False)
    if embeddings.shape != (len(rows), dimension):
        raise SnapshotRefused(folder, f"{len(rows)} rows have embeddings of shape {embeddings.shape}")
    return IndexContent(rows, embeddings), manifest
