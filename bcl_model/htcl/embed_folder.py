"""A folder of sound files becomes one parquet file of vectors; a run that was cut goes on where it was.

    song_id  as songs.parquet names it; in a folder without one the file's path without its ending
    path     of the sound file, below the folder
    audio    the vector, null where the file cannot be read
    text     the vector of the song's words (without songs.parquet: of the .txt beside the file), else null
    refused  why there is no audio vector, else null

While it runs, what is done lies in OUT.parts/; the last step joins the parts and removes them.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from torch import Tensor

from bcl_model.errors import BadData
from bcl_model.htcl.corpus import SONGS, read_corpus
from bcl_model.htcl.embedder import Embedder
from bcl_model.htcl.sound import SOUND_FILES, UnreadableSound

T = TypeVar("T")

MODEL = b"htcl"  # the key under which the file names the model that made it

_SCHEMA = pa.schema(
    [
        ("song_id", pa.string()),
        ("path", pa.string()),
        ("audio", pa.list_(pa.float32())),
        ("text", pa.list_(pa.float32())),
        ("refused", pa.string()),
    ]
)


@dataclass(frozen=True)
class Found:
    song_id: str
    path: str  # below the folder
    text: str


@dataclass(frozen=True)
class Done:
    embedded: int
    refused: int
    before: int  # songs that an earlier run had done


def embed_folder(
    folder: Path,
    out: Path,
    embedder: Embedder,
    *,
    at_once: int = 16,
    songs_per_part: int = 512,
    threads: int = 1,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Done:
    songs = songs_in(folder)
    parts = out.with_name(out.name + ".parts")
    parts.mkdir(parents=True, exist_ok=True)
    known = _known(parts, embedder.name)
    waiting = [song for song in songs if song.path not in known]
    schema = _SCHEMA.with_metadata({MODEL: embedder.name.encode()})
    before = done = len(songs) - len(waiting)
    progress(done, len(songs))
    first_part = len(list(parts.glob("*.parquet")))
    with ThreadPoolExecutor(threads) as pool:
        for number, some in enumerate(_in_turns(waiting, songs_per_part), first_part):
            rows = []
            for row in _rows(folder, some, embedder, at_once, pool):
                rows.append(row)
                done += 1
                progress(done, len(songs))
            aside = parts / f".{number:06d}"
            pq.write_table(pa.Table.from_pylist(rows, schema), aside)
            aside.rename(parts / f"{number:06d}.parquet")
    whole = pa.concat_tables([pq.read_table(part) for part in sorted(parts.glob("*.parquet"))])
    whole = whole.filter(pc.is_in(whole["path"], pa.array([song.path for song in songs])))
    aside = out.with_name(f".{out.name}")
    pq.write_table(whole.sort_by("song_id").replace_schema_metadata(schema.metadata), aside)
    aside.replace(out)
    shutil.rmtree(parts)
    refused = len(whole) - whole["refused"].null_count
    return Done(len(songs) - refused, refused, before)


def songs_in(folder: Path) -> list[Found]:
    if not folder.is_dir():
        raise BadData(f"{folder} is no folder")
    if (folder / SONGS).is_file():
        corpus = read_corpus(folder)
        return [Found(*one) for one in zip(corpus.songs, corpus.audio, corpus.texts, strict=True)]
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in SOUND_FILES and file.is_file())
    if not files:
        raise BadData(f"{folder} holds no sound files: {', '.join(SOUND_FILES)}")
    return [_beside(folder, file) for file in files]


def _beside(folder: Path, file: Path) -> Found:
    path, words = file.relative_to(folder).as_posix(), file.with_suffix(".txt")
    text = words.read_text("utf-8", "replace").strip() if words.is_file() else ""
    return Found(path.removesuffix(file.suffix), path, text)


def _rows(
    folder: Path, songs: Sequence[Found], embedder: Embedder, at_once: int, pool: ThreadPoolExecutor
) -> Iterator[dict[str, Any]]:
    """Songs of like length go through the model together: less of a batch is padding."""

    def heard(song: Found) -> Tensor | str:
        try:
            return embedder.frames(folder / song.path)
        except UnreadableSound as reason:
            return str(reason)

    told = [song for song in songs if song.text]
    texts = {
        song.path: vector
        for few in _in_turns(told, at_once)
        for song, vector in zip(few, embedder.texts([one.text for one in few]), strict=True)
    }
    frames: list[tuple[Found, Tensor]] = []
    for song, found in zip(songs, pool.map(heard, songs), strict=True):
        if isinstance(found, Tensor):
            frames.append((song, found))
        else:
            yield _row(song, None, texts.get(song.path), found)
    frames.sort(key=lambda one: len(one[1]))
    for few in _in_turns(frames, at_once):
        for (song, _), vector in zip(few, embedder.sounds([found for _, found in few]), strict=True):
            yield _row(song, vector, texts.get(song.path), None)


def _row(song: Found, audio: Any, text: Any, refused: str | None) -> dict[str, Any]:
    return {"song_id": song.song_id, "path": song.path, "audio": audio, "text": text, "refused": refused}


def _known(parts: Path, model: str) -> set[str]:
    known: set[str] = set()
    for part in parts.glob("*.parquet"):
        table = pq.read_table(part, columns=["path"])
        made_by = (table.schema.metadata or {}).get(MODEL, b"").decode()
        if made_by != model:
            raise BadData(f"{part} was made by {made_by or 'no HTCL model'}, not by {model}; remove {parts}")
        known.update(table["path"].to_pylist())
    return known


def _in_turns(some: Sequence[T], at_once: int) -> Iterator[Sequence[T]]:
    for first in range(0, len(some), at_once):
        yield some[first : first + at_once]
