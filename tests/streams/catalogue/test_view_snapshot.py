"""A worker starts from a snapshot of its views, or does without."""

from pathlib import Path

import numpy as np
import pytest

from streams.catalogue.exact_index import ExactIndex
from streams.catalogue.faiss_index import FaissIndex
from streams.catalogue.snapshots import SnapshotRefused, written_aside
from streams.catalogue.song_crowds import CrowdsOfSongs
from streams.catalogue.song_index import SongIndex
from streams.catalogue.songs import Songs
from streams.catalogue.view_snapshot import CHUNK, load, save
from streams.catalogue.warm_songs import WarmSongs
from tests.builders.catalogue import Catalogue
from tests.builders.contracts import crowds, embedded

QUERY = np.array([0.6, 0.8], dtype=np.float32)


def large() -> Catalogue:
    """More than a chunk of songs, some withdrawn, every second one warm, both partitions used."""
    catalogue = Catalogue(index=FaissIndex(2, exact_below_songs=500, rebuild_from=64))
    for n in range(CHUNK + 300):
        catalogue.add_songs(embedded(f"s{n}", 1, n, markets=("DE",) if n % 3 else ()), partition=n % 2)
        if n % 2:
            catalogue.add_crowds(crowds(f"s{n}", samples=20 + n), partition=n % 2)
    catalogue.add_songs("s1", "s2", "s2299")
    return catalogue


def restored(folder: Path, index: SongIndex | None = None, *, artifact: str = "a1", partitions: int = 2) -> WarmSongs:
    index = ExactIndex(2) if index is None else index
    return load(folder, Songs(artifact, 2, partitions), CrowdsOfSongs(artifact, partitions, 20), index)


@pytest.mark.parametrize("index", [ExactIndex(2), FaissIndex(2, exact_below_songs=500)], ids=["exact", "faiss"])
def test_views_and_index_are_as_they_were(index: SongIndex, tmp_path: Path) -> None:
    catalogue = large()
    save(tmp_path / "views", catalogue.warm)
    warm = restored(tmp_path / "views", index)
    assert warm.songs.by_row() == catalogue.songs.by_row()
    assert warm.songs.offsets == catalogue.songs.offsets and warm.crowds.offsets == catalogue.crowds.offsets
    assert warm.crowds.all() == catalogue.crowds.all()
    assert index.rows().tolist() == catalogue.warm.index.rows().tolist()
    assert warm.near(QUERY, 2_000, markets=("DE",)) == catalogue.warm.near(QUERY, 2_000, markets=("DE",))


def test_reading_goes_on_at_the_offsets_and_reaches_the_same_state(tmp_path: Path) -> None:
    catalogue = large()
    save(tmp_path / "views", catalogue.warm)
    warm = restored(tmp_path / "views")
    tail = [embedded("s2", 3, 4), "s5", embedded("s7", 3, 4)]
    catalogue.add_songs(*tail)
    first = warm.songs.offsets[0]
    for n, song in enumerate(tail):
        song_id, value = (song, None) if isinstance(song, str) else (song.song_id, song)
        warm.songs.apply(0, first, song_id, None)  # read before: no change
        warm.songs.apply(0, first + n + 1, song_id, value)
    assert warm.songs.by_row() == catalogue.songs.by_row()
    assert warm.near(QUERY, 50) == catalogue.warm.near(QUERY, 50)


def test_what_is_saved_is_one_moment_though_the_views_were_not_caught_up(tmp_path: Path) -> None:
    catalogue = Catalogue().add_songs(embedded("s1", 1, 0)).add_crowds(crowds("s1"))
    save(tmp_path / "views", catalogue.warm)  # nobody has asked yet
    assert restored(tmp_path / "views").near(QUERY, 5) == [("s1", pytest.approx(0.6))]


def test_an_empty_catalogue_is_saved_too(tmp_path: Path) -> None:
    save(tmp_path / "views", Catalogue().warm)
    assert len(restored(tmp_path / "views").songs) == 0


def test_every_damaged_or_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    catalogue, folder = large(), tmp_path / "views"
    catalogue.warm.catch_up()
    catalogue.warm.index.close()  # so that the index holds lists
    save(folder, catalogue.warm)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    assert {path.name for path in files} >= {"songs.msgpack", "crowds.msgpack", "base.faiss", "manifest.json"}
    for path in files:
        whole = path.read_bytes()
        for damaged in (whole[:-7], whole[:40] + bytes([whole[40] ^ 4]) + whole[41:]):
            path.write_bytes(damaged)
            with pytest.raises(SnapshotRefused, match=path.name):
                restored(folder)
        path.unlink()
        with pytest.raises(SnapshotRefused, match=path.name):
            restored(folder)
        path.write_bytes(whole)
    restored(folder)


def test_another_artifact_or_other_topics_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "views", large().warm)
    with pytest.raises(SnapshotRefused, match=r"artifact a1 .* wanted a2"):
        restored(tmp_path / "views", artifact="a2")
    with pytest.raises(SnapshotRefused, match="it has 2 partitions of song-embeddings, wanted 3"):
        restored(tmp_path / "views", partitions=3)
    with pytest.raises(SnapshotRefused, match=r"manifest.json cannot be read .* read the topics from their start"):
        restored(tmp_path / "none")


def test_a_save_that_dies_leaves_the_one_before(tmp_path: Path) -> None:
    catalogue = Catalogue().add_songs(embedded("s1", 1, 0)).add_crowds(crowds("s1"))
    save(tmp_path / "views", catalogue.warm)
    with pytest.raises(OSError, match="no space"), written_aside(tmp_path / "views") as aside:
        (aside / "songs.msgpack").write_bytes(b"half")
        raise OSError("no space")
    assert len(restored(tmp_path / "views").songs) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["views"]
