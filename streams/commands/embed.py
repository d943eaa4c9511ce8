"""`bcl embed`: embed a catalogue file with an artifact, as the worker's own stage would, and publish the embeddings."""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streams.commands.options import settings_from, settings_options

if TYPE_CHECKING:
    from streams.settings import Settings

EXAMPLE = "bcl embed catalogue.jsonl --artifact runs/models"
SONGS_AT_ONCE = 2_000
FACTS = {
    "song_id",
    "released_ms",
    "title",
    "artist_ids",
    "lyrics",
    "markets",
    "budget",
    "expires_ms",
    "attributes",
    "vectors",
}


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("catalogue", metavar="FILE", help="releases: JSON, JSON lines or parquet; - for stdin")
    parser.add_argument("--artifact", metavar="DIR", help="an artifact, or a folder of them; default: [model] artifact")
    parser.add_argument("--dry-run", action="store_true", help="check and embed, publish nothing")
    parser.add_argument("--json", action="store_true")
    settings_options(parser)


def run(args: argparse.Namespace) -> int:
    from bcl_model.inference import SongEncoder
    from streams.commands.model import told
    from streams.commands.records import now_ms, publishing
    from streams.contracts.topics import SONG_EMBEDDINGS

    settings, at_ms = settings_from(args), now_ms()
    with told():
        encoder = SongEncoder.load(Path(args.artifact or settings.model.artifact))
    topic = settings.topics.prefix + SONG_EMBEDDINGS.name
    counts = {"embedded": 0, "refused": 0}
    with nullcontext() if args.dry_run else publishing(settings.kafka, topic) as publish, _progress() as advance:
        for releases in _in_turns(_releases(args.catalogue)):
            embeddings, refused = _embedded(releases, encoder, settings, counts["embedded"] + counts["refused"], at_ms)
            for reason in refused:
                print(f"bcl embed: {reason}", file=sys.stderr)
            if publish is not None:
                publish(embeddings)
            counts = {"embedded": counts["embedded"] + len(embeddings), "refused": counts["refused"] + len(refused)}
            advance(len(releases))
    if args.json:
        print(json.dumps(counts | {"artifact": encoder.artifact, "topic": None if args.dry_run else topic}))
    else:
        done = "embedded" if args.dry_run else f"embedded and published to {topic}"
        print(f"{counts['embedded']} songs {done} with {encoder.artifact}, {counts['refused']} refused")
    return 1 if counts["refused"] else 0


def _embedded(
    releases: list[Any], encoder: Any, settings: "Settings", before: int, at_ms: int
) -> tuple[list[Any], list[str]]:
    """The records to publish, and why there is none of a release; `before`: releases read before these."""
    from streams.catalogue.embed_songs import EmbedSongs
    from streams.commands.records import Read, Written
    from streams.contracts.codec import decode_batch, encode
    from streams.contracts.dead_letters import DeadLetter
    from streams.contracts.topics import SONG_EMBEDDINGS, SONG_RELEASES
    from streams.state.memory_store import MemoryStore

    records = [Read.of(release, "song_id", before + n, at_ms) for n, release in enumerate(releases, 1)]
    batch, letters = decode_batch(SONG_RELEASES, 0, records, settings.contracts)
    embeddings = []
    if len(batch):
        stage = EmbedSongs(encoder, MemoryStore(), settings.model.songs_per_batch)
        for output in stage.handle(batch):
            if isinstance(output, DeadLetter):
                letters.append(output)
            elif output.topic is SONG_EMBEDDINGS:
                embeddings.append(Written(settings.topics.prefix + output.topic.name, *encode(output), at_ms, []))
    letters.sort(key=lambda letter: letter.offset)
    return embeddings, [f"release {letter.offset}: {letter.reason}" for letter in letters]


def _releases(source: str) -> Iterator[Any]:
    if source.endswith(".parquet"):
        import pyarrow.parquet as parquet

        with parquet.ParquetFile(source) as file:
            for rows in file.iter_batches(SONGS_AT_ONCE):
                yield from map(_release_of_row, rows.to_pylist())
    else:
        from streams.commands.records import documents

        yield from documents(source)


def _release_of_row(row: dict[str, Any]) -> dict[str, Any]:
    """A column is a fact of the release, else a vector if it lists numbers, else an attribute; null: absent."""
    release: dict[str, Any] = {"released_ms": 1, "attributes": {}, "vectors": {}}  # 1: long ago, no date is told
    for column, value in row.items():
        if value is None:
            continue
        if column in FACTS:
            release[column] = value
        elif isinstance(value, list) and value and isinstance(value[0], float):
            release["vectors"][column] = value
        else:
            release["attributes"][column] = value
    return release


def _in_turns(releases: Iterable[Any]) -> Iterator[list[Any]]:
    rest = iter(releases)
    while some := list(islice(rest, SONGS_AT_ONCE)):
        yield some


def _progress() -> Any:
    """A bar on a terminal, nothing elsewhere: a context that gives `advance(songs)`."""
    if not sys.stderr.isatty():
        return nullcontext(lambda songs: None)
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    class Songs(Progress):
        def __enter__(self) -> Any:
            task = super().__enter__().add_task("embedding", total=None)
            return lambda songs: self.advance(task, songs)

    columns = (SpinnerColumn(), TextColumn("{task.completed} songs"), TimeElapsedColumn())
    return Songs(*columns, console=Console(stderr=True))
