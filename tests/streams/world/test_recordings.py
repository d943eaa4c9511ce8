"""The corpus folder: what is in it, the same for a seed, gone on with where it was cut."""

import wave
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from streams.world.colistening import FeedbackSettings, appeal, feedback, true_neighbours
from streams.world.recordings import recording, write_corpus
from streams.world.synthesiser import RATE
from streams.world.world import World, WorldSettings

SMALL = WorldSettings(listeners=500, songs=50, new_songs=10, seed=3)
FEW = FeedbackSettings(plays_per_song=60, together=6, at_random=3, shown=10)


@pytest.fixture(scope="module")
def world() -> World:
    return World(SMALL)


@pytest.fixture(scope="module")
def folder(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    written = tmp_path_factory.mktemp("corpus")
    write_corpus(world, written, seconds=1.0, settings=FEW)
    return written


def files(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def test_every_song_has_its_sound_its_words_and_its_tags(world: World, folder: Path):
    songs = pq.read_table(folder / "songs.parquet").to_pylist()
    assert [song["song_id"] for song in songs] == list(world.catalogue.ids)
    for song in songs:
        assert song["caption"].startswith(f"genre: {song['genre']}. mood: {song['mood']}.")
        assert bool(song["lyrics"]) == (song["language"] != "none")
        assert song["artist"] and song["title"]
        with wave.open(str(folder / song["audio"])) as sound:
            assert (sound.getframerate(), sound.getnchannels(), sound.getnframes()) == (RATE, 1, RATE)


def test_a_seed_repeats_every_byte_with_more_processes_too(folder: Path, tmp_path: Path):
    write_corpus(World(SMALL), tmp_path, seconds=1.0, settings=FEW, processes=2)
    assert files(tmp_path) == files(folder)


def test_a_run_that_was_cut_goes_on(world: World, folder: Path, tmp_path: Path):
    whole, told = files(folder), []
    write_corpus(world, tmp_path, seconds=1.0, settings=FEW)
    for name in sorted(whole)[:7]:
        (tmp_path / name).unlink()
    write_corpus(world, tmp_path, seconds=1.0, settings=FEW, progress=lambda done, of: told.append((done, of)))
    assert files(tmp_path) == whole
    assert told == [(done, 60) for done in range(53, 61)]


def test_a_recording_is_the_file(world: World, folder: Path):
    with wave.open(str(folder / "audio" / "s0000004.wav")) as sound:
        read = np.frombuffer(sound.readframes(RATE), dtype="<i2") / 32_767
    np.testing.assert_allclose(read, recording(world, 4, 1.0), atol=1 / 32_767)


def test_neighbours_are_those_of_a_loop_over_pairs(world: World, folder: Path):
    found = appeal(world)
    centred = found - found.mean(axis=0)
    row = 5
    slow = [np.corrcoef(centred[row], centred[other])[0, 1] for other in range(len(found))]
    slow[row] = -2
    nearest = true_neighbours(found, 8)
    np.testing.assert_array_equal(nearest[row], np.argsort(slow)[::-1][:8])
    [told] = [song for song in pq.read_table(folder / "truth.parquet").to_pylist() if song["song_id"] == "s0000005"]
    assert told["neighbours"][:8] == [world.catalogue.ids[n] for n in nearest[row]]
    assert len(told["neighbours"]) == 50


def test_feedback_is_better_for_true_neighbours_than_for_others():
    world = World(WorldSettings(listeners=2_000, songs=300, new_songs=10, seed=3))
    found = appeal(world, listeners=1_000)
    answers = feedback(world, found, FeedbackSettings())
    assert (answers.triggers != answers.recalled).all() and (answers.liked <= answers.shown).all()
    near = true_neighbours(found, 30)[answers.triggers] == answers.recalled[:, None]
    rate = answers.liked / answers.shown
    assert rate[near.any(axis=1)].mean() > 1.5 * rate[~near.any(axis=1)].mean()


def test_songs_of_another_seed_sound_different(folder: Path, tmp_path: Path):
    other = WorldSettings(listeners=500, songs=50, new_songs=10, seed=4)
    write_corpus(World(other), tmp_path, seconds=1.0, settings=FEW)
    assert not set(files(tmp_path).values()) & set(files(folder).values())
