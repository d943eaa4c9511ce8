"""Snapshots of the views, so that a worker need not read the song topics from their start.

    songs.msgpack    by row: a SongEmbedded, or the id of a withdrawn song; rows are the same after a restart
    crowds.msgpack   SongCrowds
    index/           the song index, with its own manifest

Both files are lists of at most CHUNK records, each behind its size in four bytes.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from streams.catalogue.snapshots import SnapshotRefused, read_manifest, write_manifest, written_aside
from streams.catalogue.song_crowds import CrowdsOfSongs
from streams.catalogue.song_index import SongIndex
from streams.catalogue.songs import Songs
from streams.catalogue.warm_songs import WarmSongs
from streams.contracts.crowds import SongCrowds
from streams.contracts.embeddings import SongEmbedded
from streams.contracts.topics import SONG_CROWDS, SONG_EMBEDDINGS

HOLDS = "song-views"
CHUNK = 2_000


def save(folder: Path, warm: WarmSongs) -> None:
    """Views and index as of one moment; written while they go on. A folder that is there already is replaced."""
    with warm.as_of_one_moment():
        warm.catch_up()
        songs, crowds = warm.songs.by_row(), warm.crowds.all()
        offsets = {SONG_EMBEDDINGS.name: warm.songs.offsets, SONG_CROWDS.name: warm.crowds.offsets}
        index = warm.index.frozen()
    artifact = warm.songs.artifact
    with written_aside(folder) as aside:
        _write(aside / "songs.msgpack", songs)
        _write(aside / "crowds.msgpack", crowds)
        index.save(aside / "index", artifact=artifact, offsets=offsets)
        write_manifest(
            aside,
            HOLDS,
            artifact=artifact,
            dimension=warm.songs.dimension,
            offsets=offsets,
            counts={"songs": len(songs), "crowds": len(crowds)},
        )


def load(folder: Path, songs: Songs, crowds: CrowdsOfSongs, index: SongIndex) -> WarmSongs:
    """Fills new views and an empty index. Raises SnapshotRefused before it has touched any of them."""
    manifest = read_manifest(folder, HOLDS, artifact=songs.artifact, dimension=songs.dimension)
    for topic, view in ((SONG_EMBEDDINGS, songs), (SONG_CROWDS, crowds)):
        if len(manifest.offsets.get(topic.name, ())) != len(view.offsets):
            raise SnapshotRefused(
                folder,
                f"it has {len(manifest.offsets.get(topic.name, ()))} partitions of {topic.name}, "
                f"wanted {len(view.offsets)}",
            )
    known: list[SongEmbedded | str] = list(_read(folder / "songs.msgpack", SongEmbedded | str))
    with_crowds: list[SongCrowds] = list(_read(folder / "crowds.msgpack", SongCrowds))
    index.restore(folder / "index", artifact=songs.artifact)
    songs.restore(known, manifest.offsets[SONG_EMBEDDINGS.name])
    crowds.restore(with_crowds, manifest.offsets[SONG_CROWDS.name])
    return WarmSongs(songs, crowds, index)


def _write(path: Path, records: Sequence[object]) -> None:
    encoder = msgspec.msgpack.Encoder()
    with path.open("wb") as file:
        for first in range(0, len(records), CHUNK):
            chunk = encoder.encode(records[first : first + CHUNK])
            file.write(len(chunk).to_bytes(4, "big") + chunk)


def _read(path: Path, kind: Any) -> Iterator[Any]:
    decoder = msgspec.msgpack.Decoder(list[kind])
    with path.open("rb") as file:
        while size := file.read(4):
            yield from decoder.decode(file.read(int.from_bytes(size, "big")))
