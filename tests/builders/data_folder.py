"""A small data folder: listeners of two kinds, who play the songs of two artists."""

from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

LISTENERS, SONGS, EACH = 60, 80, 25

FIELDS = """
[items]
song = "song"
[interactions]
listener = "who"
song = "song"
[fields.artist]
kind = "token"
min_songs = 2
[fields.album]
kind = "token"
min_songs = 2
[fields.seconds]
kind = "number"
[fields.album_songs]
kind = "number"
count = "album"
[fields.artist_songs]
kind = "number"
count = "artist"
"""


def data_folder(path: Path) -> Path:
    rng = np.random.default_rng(4)
    songs = [[f"s{song}" for song in rng.permutation(SONGS // 2) * 2 + who % 2][:EACH] for who in range(LISTENERS)]
    items = {
        "song": [f"s{song}" for song in range(SONGS)],
        "artist": [f"a{song % 2}" for song in range(SONGS)],
        "album": [f"b{song % 16}" for song in range(SONGS)],
        "seconds": [100.0 + song for song in range(SONGS)],
    }
    pq.write_table(pa.table(items), path / "items.parquet")
    who = [f"l{who}" for who in range(LISTENERS) for _ in range(EACH)]
    plays = {"who": who, "song": list(chain.from_iterable(songs))}
    pq.write_table(pa.table(plays), path / "interactions.parquet")
    (path / "fields.toml").write_text(FIELDS)
    return path
