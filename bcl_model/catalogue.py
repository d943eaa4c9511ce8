"""A data folder: items and interactions as parquet, and what their columns mean.

`items.parquet` has a song in each row: its id, and a column for each field (text or number, list of texts, list of
floats). `interactions.parquet` has a play in each row: listener and song. `fields.toml` says which columns they are,
as here; for folders that we know it is built in.

    [items]
    song = "track_id"
    [interactions]
    listener = "playlist_id"
    song = "track_id"
    [fields.artist]
    kind = "token"
    column = "artist_id"      # the field's own name if left out
    [fields.album_songs]
    kind = "number"
    count = "album_id"        # a number that is counted: songs in the catalogue with the same value in this column
    [fields.audio]
    kind = "vector"
    width = 100
    made_by = "htcl-3f9a0c1d2e4b"   # releases whose vectors another encoder has made are refused; any, if left out

MovieLens-100K is read as it is published (see movielens.py).
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bcl_model import movielens
from bcl_model.errors import BadData
from bcl_model.fields import Content, Fields, Kind, described
from bcl_model.pairs import Interactions

POLIMI18: dict[str, Any] = {  # of the ACM RecSys 2018 challenge at Politecnico di Milano: playlists are the listeners
    "items": {"song": "track_id"},
    "interactions": {"listener": "playlist_id", "song": "track_id"},
    "fields": {
        "artist": {"kind": "token", "column": "artist_id", "min_songs": 2},
        "album": {"kind": "token", "column": "album_id", "min_songs": 2},
        "duration": {"kind": "number", "column": "duration_sec"},
        "album_songs": {"kind": "number", "count": "album_id"},
        "artist_songs": {"kind": "number", "count": "artist_id"},
    },
}
KNOWN = {frozenset({"track_id", "album_id", "artist_id", "duration_sec"}): POLIMI18}


@dataclass(frozen=True)
class Catalogue:
    song_ids: tuple[str, ...]
    contents: tuple[Content, ...]
    interactions: Interactions  # rows of song_ids
    listener_ids: tuple[str, ...]
    fields: Fields


def read_catalogue(folder: Path, fields_file: Path | None = None) -> Catalogue:
    if not (folder / "items.parquet").is_file() and (place := movielens.place_of(folder)):
        if fields_file is not None:
            raise BadData(f"{place} is MovieLens-100K, whose fields are known: leave {fields_file} out")
        ids, described_films, ratings, watchers, of_films = movielens.read(place)
        return Catalogue(tuple(ids), tuple(described_films), ratings, tuple(watchers), of_films)
    items, interactions = (_read(folder / f"{name}.parquet") for name in ("items", "interactions"))
    description = _description(folder, fields_file, items)
    song = _key(description, "items", "song")
    song_ids = _texts(_column(items, song, "items.parquet"))
    if len(set(song_ids)) != len(song_ids):
        raise BadData(f"items.parquet names songs twice in its column {song!r}")
    tables = {name: dict(table) for name, table in description.get("fields", {}).items()}
    columns = {name: _field_column(items, name, table) for name, table in tables.items()}
    fields = described(tables)
    plays = _column(interactions, _key(description, "interactions", "song"), "interactions.parquet")
    listeners = _column(interactions, _key(description, "interactions", "listener"), "interactions.parquet")
    listener_ids, listener_rows = _rows(listeners)
    return Catalogue(
        tuple(song_ids),
        _contents(fields, columns, len(song_ids)),
        Interactions(listener_rows, _rows_of_songs(plays, song_ids)),
        tuple(listener_ids),
        fields,
    )


def _read(path: Path) -> pa.Table:
    if not path.is_file():
        raise BadData(f"there is no {path}; a data folder holds items.parquet and interactions.parquet")
    try:
        return pq.read_table(path)
    except pa.ArrowInvalid as error:
        raise BadData(f"{path} is not parquet: {error}") from error


def _description(folder: Path, fields_file: Path | None, items: pa.Table) -> Mapping[str, Any]:
    path = fields_file or folder / "fields.toml"
    if path.is_file():
        try:
            with path.open("rb") as file:
                return tomllib.load(file)
        except tomllib.TOMLDecodeError as error:
            raise BadData(f"{path}: {error}") from None
    if fields_file is None and (known := KNOWN.get(frozenset(items.column_names))):
        return known
    raise BadData(f"there is no {path} that says what the columns {items.column_names} of items.parquet mean")


def _key(description: Mapping[str, Any], section: str, key: str) -> str:
    value = description.get(section, {}).get(key)
    if not isinstance(value, str):
        raise BadData(f"fields.toml does not say [{section}] {key}: the name of a column")
    return value


def _column(table: pa.Table, name: str, file: str) -> pa.ChunkedArray:
    if name not in table.column_names:
        raise BadData(f"{file} has no column {name!r}; it has {table.column_names}")
    return table.column(name)


def _field_column(items: pa.Table, name: str, table: dict[str, Any]) -> pa.ChunkedArray | pa.Array:
    """The column behind a field; takes `column` and `count` out of its table."""
    if counted := table.pop("count", None):
        column = _column(items, counted, "items.parquet").combine_chunks()
        if table.get("kind") != Kind.NUMBER:
            raise BadData(f"field {name!r} counts the column {counted!r}, so its kind is number")
        codes = column.dictionary_encode()
        sizes = np.bincount(codes.indices.drop_null().to_numpy(), minlength=max(len(codes.dictionary), 1))
        return pa.array([None if code is None else int(sizes[code]) for code in codes.indices.to_pylist()], pa.int64())
    return _column(items, table.pop("column", name), "items.parquet")


def _contents(fields: Fields, columns: Mapping[str, Any], songs: int) -> tuple[Content, ...]:
    attributes: list[dict[str, Any]] = [{} for _ in range(songs)]
    vectors: list[dict[str, Any]] = [{} for _ in range(songs)]
    for one in fields.fields:
        said = vectors if one.kind is Kind.VECTOR else attributes
        values = _texts(columns[one.name]) if one.kind is Kind.TOKEN else columns[one.name].to_pylist()
        for of_song, value in zip(said, values, strict=True):
            if value is not None:
                of_song[one.name] = tuple(map(str, value)) if one.kind is Kind.TOKENS else value
    return tuple(Content(*parts) for parts in zip(attributes, vectors, strict=True))


def _texts(column: pa.ChunkedArray | pa.Array) -> list[Any]:
    texts: list[Any] = pc.cast(column, pa.string()).to_pylist()
    return texts


def _rows(column: pa.ChunkedArray) -> tuple[list[str], npt.NDArray[np.int64]]:
    codes = column.combine_chunks().dictionary_encode()
    if codes.null_count:
        raise BadData("interactions.parquet has a play without a listener")
    return _texts(codes.dictionary), codes.indices.to_numpy().astype(np.int64)


def _rows_of_songs(column: pa.ChunkedArray, song_ids: list[str]) -> npt.NDArray[np.int64]:
    rows = pc.index_in(pc.cast(column, pa.string()), pa.array(song_ids, pa.string()))
    if rows.null_count:
        missing = column.filter(pc.is_null(rows))[0].as_py()
        raise BadData(f"interactions.parquet plays {rows.null_count} songs that items.parquet lacks, first {missing!r}")
    found: npt.NDArray[np.int64] = rows.to_numpy().astype(np.int64)
    return found
