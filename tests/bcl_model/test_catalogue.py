"""Data folders: what columns become, the folder that is known, and folders that cannot be read."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bcl_model.catalogue import read_catalogue
from bcl_model.errors import BadData
from bcl_model.fields import Content, Kind

DESCRIPTION = """
[items]
song = "id"
[interactions]
listener = "who"
song = "what"
[fields.genres]
kind = "tokens"
[fields.label]
kind = "token"
column = "label_id"
[fields.label_songs]
kind = "number"
count = "label_id"
[fields.audio]
kind = "vector"
width = 2
"""
ITEMS: dict[str, Any] = {
    "id": ["a", "b", "c"],
    "genres": [["rock", "pop"], [], None],
    "label_id": [7, 7, None],
    "audio": [[1.0, 0.0], None, [0.0, 1.0]],
}
PLAYS: dict[str, Any] = {"who": [30, 10, 30], "what": ["c", "a", "a"]}


def folder(
    path: Path, items: dict[str, Any] = ITEMS, plays: dict[str, Any] = PLAYS, toml: str | None = DESCRIPTION
) -> Path:
    pq.write_table(pa.table(items), path / "items.parquet")
    pq.write_table(pa.table(plays), path / "interactions.parquet")
    if toml is not None:
        (path / "fields.toml").write_text(toml)
    return path


def test_columns_become_content_and_rows(tmp_path: Path) -> None:
    catalogue = read_catalogue(folder(tmp_path))

    assert catalogue.song_ids == ("a", "b", "c")
    assert catalogue.contents == (
        Content({"genres": ("rock", "pop"), "label": "7", "label_songs": 2}, {"audio": [1.0, 0.0]}),
        Content({"genres": (), "label": "7", "label_songs": 2}, {}),
        Content({}, {"audio": [0.0, 1.0]}),
    )
    assert [catalogue.listener_ids[row] for row in catalogue.interactions.listeners] == ["30", "10", "30"]
    assert [catalogue.song_ids[row] for row in catalogue.interactions.songs] == ["c", "a", "a"]
    assert [one.kind for one in catalogue.fields.fields] == [Kind.TOKENS, Kind.TOKEN, Kind.NUMBER, Kind.VECTOR]
    assert len(catalogue.fields.learned(catalogue.contents).encode(catalogue.contents)) == 3


def test_a_folder_that_is_known_needs_no_description(tmp_path: Path) -> None:
    items = {"track_id": [5, 6, 9], "album_id": [1, 1, 2], "artist_id": [3, 3, 3], "duration_sec": [100, 200, 300]}
    plays = {"playlist_id": [0, 0, 1], "track_id": [9, 5, 6], "pos": [-1, -1, -1]}

    catalogue = read_catalogue(folder(tmp_path, items, plays, toml=None))

    assert catalogue.song_ids == ("5", "6", "9")
    assert catalogue.contents[2].attributes == {
        "artist": "3",
        "album": "2",
        "duration": 300,
        "album_songs": 1,
        "artist_songs": 3,
    }
    assert len(catalogue.fields) >= 4  # else nothing can be grouped
    np.testing.assert_array_equal(catalogue.interactions.songs, [2, 0, 1])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"toml": None}, "says what the columns"),
        ({"toml": "[items"}, "fields.toml"),
        ({"toml": DESCRIPTION.replace('song = "id"', "")}, r"does not say \[items\] song"),
        ({"toml": DESCRIPTION.replace('"id"', '"name"')}, "no column 'name'"),
        ({"toml": DESCRIPTION.replace("label_id", "lable_id")}, "no column 'lable_id'"),
        ({"items": ITEMS | {"id": ["a", "b", "a"]}}, "names songs twice"),
        ({"plays": {"who": [1, 2], "what": ["a", "zz"]}}, "1 songs that items.parquet lacks, first 'zz'"),
        ({"plays": {"who": [1, None], "what": ["a", "b"]}}, "without a listener"),
    ],
)
def test_a_folder_that_cannot_be_read_says_why(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(BadData, match=said):
        read_catalogue(folder(tmp_path, **changes))


def test_a_folder_without_the_files_says_which(tmp_path: Path) -> None:
    with pytest.raises(BadData, match=r"items\.parquet"):
        read_catalogue(tmp_path)
    (tmp_path / "items.parquet").write_text("no parquet")
    (tmp_path / "interactions.parquet").write_text("no parquet")
    with pytest.raises(BadData, match="is not parquet"):
        read_catalogue(tmp_path)
