"""The simulated world as a folder of music to hear and to train on, as `bcl htcl train` reads it; the same for a seed.

songs.parquet       song_id, audio, artist, title, caption, lyrics, and tags: genre, mood, language, era
audio/<song>.wav    some seconds of each song, mono, 16 bits
feedback.parquet    trigger, recalled, shown, liked: what a platform could have logged
truth.parquet       song_id, neighbours: the songs that the same listeners would like; for judging, never for training

All of it is synthetic, and so is every figure that is measured on it.
"""

import wave
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from streams.world.colistening import FeedbackSettings, appeal, feedback, true_neighbours
from streams.world.music import Score, scores
from streams.world.synthesiser import RATE, Samples, performed
from streams.world.words import caption, era, language, lyrics
from streams.world.world import World

Progress = Callable[[int, int], None]

NEIGHBOURS = 50
_LYRICS_SEED, _SOUND_SEED = 62, 63


def write_corpus(
    world: World,
    folder: Path,
    *,
    seconds: float = 6.0,
    processes: int = 1,
    progress: Progress = lambda done, of: None,
    settings: FeedbackSettings | None = None,
) -> None:
    """Songs that are there already are left as they are: a run that was cut goes on."""
    (folder / "audio").mkdir(parents=True, exist_ok=True)
    _write(folder / "songs.parquet", songs_table(world))
    found = appeal(world)
    _write(folder / "truth.parquet", _truth_table(world, true_neighbours(found, min(NEIGHBOURS, len(found) - 1))))
    _write(folder / "feedback.parquet", _feedback_table(world, found, settings or FeedbackSettings()))
    waiting = [
        (folder / audio_of(song), row, score)
        for row, (song, score) in enumerate(zip(world.catalogue.ids, _scores(world), strict=True))
        if not (folder / audio_of(song)).exists()
    ]
    before, every = len(world.catalogue) - len(waiting), len(world.catalogue)
    progress(before, every)
    for done, _ in enumerate(_recorded(waiting, seconds, world.settings.seed, processes), before + 1):
        progress(done, every)


def recording(world: World, row: int, seconds: float) -> Samples:
    """The one recording of a song."""
    return take(list(_scores(world))[row], row, seconds, world.settings.seed)


def take(score: Score, row: int, seconds: float, seed: int) -> Samples:
    return performed(score, seconds, np.random.default_rng([seed, _SOUND_SEED, row]))


def songs_table(world: World) -> pa.Table:
    """Tags are the truth, not what a catalogue forgot or got wrong."""
    songs, seed = world.catalogue, world.settings.seed
    rows = []
    releases = world.releases(np.arange(len(songs)))
    for row, (release, score) in enumerate(zip(releases, _scores(world), strict=True)):
        rows.append(
            {
                "song_id": release.song_id,
                "audio": audio_of(release.song_id),
                "artist": list(release.artist_ids),
                "title": release.title,
                "caption": caption(score),
                "lyrics": lyrics(score, np.random.default_rng([seed, _LYRICS_SEED, row])),
                "genre": score.genre,
                "mood": score.mood,
                "language": language(score),
                "era": era(score),
            }
        )
    return pa.Table.from_pylist(rows)


def audio_of(song_id: str) -> str:
    return f"audio/{song_id}.wav"


def write_wav(file: Path, samples: Samples, rate: int = RATE) -> None:
    """Mono, 16 bits; whole or not at all."""
    aside = file.with_name(f".{file.name}")
    with wave.open(str(aside), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(rate)
        sound.writeframes(np.round(samples * 32_767).astype("<i2").tobytes())
    aside.rename(file)


def _scores(world: World) -> Iterator[Score]:
    return scores(world.catalogue, world.artists, world.settings.seed)


def _truth_table(world: World, neighbours: np.ndarray) -> pa.Table:
    ids = np.array(world.catalogue.ids)
    return pa.table({"song_id": ids, "neighbours": ids[neighbours].tolist()})


def _feedback_table(world: World, found: np.ndarray, settings: FeedbackSettings) -> pa.Table:
    ids, answers = np.array(world.catalogue.ids), feedback(world, found, settings)
    return pa.table(
        {
            "trigger": ids[answers.triggers],
            "recalled": ids[answers.recalled],
            "shown": answers.shown,
            "liked": answers.liked,
        }
    )


def _write(file: Path, table: pa.Table) -> None:
    aside = file.with_name(f".{file.name}")
    pq.write_table(table, aside)
    aside.rename(file)


def _recorded(waiting: Sequence[tuple[Path, int, Score]], seconds: float, seed: int, processes: int) -> Iterator[None]:
    record = partial(_record, seconds, seed)
    if processes == 1:
        yield from map(record, waiting)
        return
    with ProcessPoolExecutor(processes) as pool:
        yield from pool.map(record, waiting, chunksize=16)


def _record(seconds: float, seed: int, one: tuple[Path, int, Score]) -> None:
    file, row, score = one
    write_wav(file, take(score, row, seconds, seed))
