"""A data folder with times as a log: every song is released when it is first heard, and every play is as it was.

Beside what `bcl_model.catalogue` reads, `fields.toml` says here

    [interactions]
    at = "ts"                 # seconds since 1970, whole or not
    [items]
    title = "title"           # may be left out
    seconds = "duration_sec"  # of a song; may be left out, and a song may be without

Songs that were first heard before the last tenth of the time are catalogue: they are known from then on and not asked
about. A play in such a folder is a whole one.
"""

import math
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from bcl_model.catalogue import Catalogue, read_catalogue
from bcl_model.errors import BadData
from bcl_model.fields import Content
from streams.contracts.partitions import partition_of
from streams.contracts.plays import Play
from streams.contracts.releases import Release
from streams.contracts.topics import DAY_MS, PLAYS, SONG_RELEASES
from streams.recording.log import Log, Logged
from streams.settings import Settings

NEW_SHARE = 0.1  # of the time, at its end: songs that are first heard then are releases
WHOLE_MS = 200_000  # of a song whose length nobody says

Times = npt.NDArray[np.int64]


def is_data_folder(folder: Path) -> bool:
    return (folder / "interactions.parquet").is_file()


def read_data_folder(folder: Path, fields_file: Path | None, settings: Settings) -> Log:
    """Plays of one time in the order of the file."""
    catalogue = read_catalogue(folder, fields_file)
    description = _description(fields_file or folder / "fields.toml")
    at_ms = _times_ms(folder, description)
    order = np.argsort(at_ms, kind="stable")
    listeners, songs = catalogue.interactions.listeners[order], catalogue.interactions.songs[order]
    at_ms = at_ms[order]
    topics = settings.topics
    return Log(
        {
            SONG_RELEASES.name: _partitions(
                _releases(catalogue, folder, description, songs, at_ms), topics.song_partitions
            ),
            PLAYS.name: _partitions(
                _plays(catalogue, folder, description, listeners, songs, at_ms), topics.listener_partitions
            ),
        },
        settings.contracts,
    )


def first_new_ms(at_ms: Times) -> int:
    """From here on a song that was never heard is a release."""
    return int(at_ms.max() - NEW_SHARE * (at_ms.max() - at_ms.min()))


def _releases(
    catalogue: Catalogue, folder: Path, description: Mapping[str, Any], songs: npt.NDArray[np.int64], at_ms: Times
) -> Iterator[tuple[str, Release, int]]:
    titles, new_from_ms = _column(folder, description, "title"), first_new_ms(at_ms)
    rows, first = np.unique(songs, return_index=True)
    for row, play in sorted(zip(rows.tolist(), first.tolist(), strict=True), key=lambda one: one[1]):
        content, heard_ms = catalogue.contents[row], int(at_ms[play])
        release = Release(
            song_id=catalogue.song_ids[row],
            released_ms=heard_ms if heard_ms >= new_from_ms else max(heard_ms - 400 * DAY_MS, 1),
            title=str(titles[row] or "") if titles else "",
            artist_ids=_artists(content),
            attributes={name: value for name, value in content.attributes.items() if _is_said(value)},
            vectors={name: tuple(vector) for name, vector in content.vectors.items()},
        )
        yield release.song_id, release, heard_ms


def _plays(
    catalogue: Catalogue,
    folder: Path,
    description: Mapping[str, Any],
    listeners: npt.NDArray[np.int64],
    songs: npt.NDArray[np.int64],
    at_ms: Times,
) -> Iterator[tuple[str, Play, int]]:
    seconds = _column(folder, description, "seconds")
    whole_ms = [int(one * 1_000) if one and _is_said(one) else WHOLE_MS for one in seconds] if seconds else []
    for n, (listener, song, played_ms) in enumerate(
        zip(listeners.tolist(), songs.tolist(), at_ms.tolist(), strict=True)
    ):
        listener_id, song_ms = catalogue.listener_ids[listener], whole_ms[song] if whole_ms else WHOLE_MS
        yield (
            listener_id,
            Play(f"p{n}", listener_id, catalogue.song_ids[song], played_ms, listened_ms=song_ms, song_ms=song_ms),
            played_ms,
        )


def _partitions(records: Iterator[tuple[str, msgspec.Struct, int]], count: int) -> dict[int, list[Logged]]:
    found: dict[int, list[Logged]] = {partition: [] for partition in range(count)}
    for name, value, at_ms in records:
        there = found[partition_of(name.encode(), count)]
        there.append(Logged(len(there), at_ms, name.encode(), msgspec.json.encode(value)))
    return found


def _description(file: Path) -> Mapping[str, Any]:
    """What `read_catalogue` could read."""
    if not file.is_file():
        raise BadData(f'there is no {file} that says [interactions] at = "...": a replay needs the time of every play')
    return tomllib.loads(file.read_text("utf-8"))


def _times_ms(folder: Path, description: Mapping[str, Any]) -> Times:
    plays, name = pq.read_table(folder / "interactions.parquet"), description["interactions"].get("at")
    if name not in plays.column_names:
        raise BadData(
            f"[interactions] at is {name!r}, wanted a column of interactions.parquet: {', '.join(plays.column_names)}"
        )
    try:
        seconds: npt.NDArray[np.float64] = plays.column(name).to_numpy().astype(np.float64)
    except (TypeError, ValueError) as error:
        raise BadData(f"column {name!r} of interactions.parquet is not seconds since 1970: {error}") from error
    if not len(seconds) or not np.isfinite(seconds).all() or seconds.min() <= 0:
        raise BadData(f"column {name!r} of interactions.parquet holds no time or one that is not after 1970")
    times: Times = np.round(seconds * 1_000).astype(np.int64)
    return times


def _column(folder: Path, description: Mapping[str, Any], what: str) -> Sequence[Any]:
    """By song; empty: nothing is said of it."""
    name = description["items"].get(what)
    if name is None:
        return ()
    items = pq.read_table(folder / "items.parquet")
    if name not in items.column_names:
        raise BadData(f"[items] {what} is {name!r}, wanted a column of items.parquet: {', '.join(items.column_names)}")
    values: list[Any] = items.column(name).to_pylist()
    return values


def _artists(content: Content) -> tuple[str, ...]:
    artist = content.attributes.get("artist", ())
    return (artist,) if isinstance(artist, str) else tuple(artist) if isinstance(artist, tuple) else ()


def _is_said(value: Any) -> bool:
    return not (isinstance(value, float) and math.isnan(value)) and value != ""
