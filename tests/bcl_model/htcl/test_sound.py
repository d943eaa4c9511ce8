"""Sound files of every kind, broken ones, resampling; a folder of them as vectors, also after a cut."""

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from bcl_model.errors import BadData
from bcl_model.htcl.embed_folder import MODEL, embed_folder
from bcl_model.htcl.embedder import Embedder
from bcl_model.htcl.settings import SoundSettings
from bcl_model.htcl.sound import SOUND_FILES, UnreadableSound, read_sound, write_sound
from tests.builders.htcl import RATE, tiny_corpus, tiny_model_folder, tone

SETTINGS = SoundSettings(sample_rate=8_000, seconds=0.5)


@pytest.mark.parametrize("kind", SOUND_FILES)
def test_every_kind_of_file_is_heard(tmp_path, kind):
    file = tmp_path / f"a{kind}"
    soundfile.write(file, np.stack([tone(440, 1.0, 1)] * 2, axis=1), 8_000)
    samples = read_sound(file, SETTINGS)
    assert len(samples) == 4_000 and samples.dtype == np.float32
    spectrum = np.abs(np.fft.rfft(samples))
    assert np.fft.rfftfreq(4_000, 1 / 8_000)[spectrum.argmax()] == pytest.approx(440, rel=0.06)


@pytest.mark.parametrize("rate", [4_000, 11_025, 44_100])
def test_another_rate_keeps_pitch_and_length(tmp_path, rate):
    time = np.arange(rate) / rate
    soundfile.write(tmp_path / "a.wav", 0.5 * np.sin(2 * np.pi * 500 * time), rate)
    samples = read_sound(tmp_path / "a.wav", SETTINGS)
    assert abs(len(samples) - 4_000) <= 2
    assert np.fft.rfftfreq(len(samples), 1 / 8_000)[np.abs(np.fft.rfft(samples)).argmax()] == pytest.approx(500, abs=3)


def test_what_is_no_sound_is_refused_with_its_name(tmp_path):
    (tmp_path / "a.mp3").write_bytes(b"this is no sound" * 100)
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 8_000)
    soundfile.write(tmp_path / "nan.wav", np.full(4_000, np.nan, np.float32), 8_000, subtype="FLOAT")
    soundfile.write(tmp_path / "rate.wav", np.zeros(4_000), 100)
    for file, reason in (
        ("a.mp3", "a.mp3 cannot be read as sound"),
        ("empty.wav", "holds no samples"),
        ("nan.wav", "holds samples that are not finite"),
        ("rate.wav", "says a sample rate of 100 Hz, wanted 1000 to 768000"),
        ("missing.wav", "missing.wav cannot be read"),
    ):
        with pytest.raises(UnreadableSound, match=reason):
            read_sound(tmp_path / file, SETTINGS)


@pytest.fixture(scope="module")
def embedder(tmp_path_factory):
    return Embedder.load(tiny_model_folder(tmp_path_factory.mktemp("model")))


def test_a_folder_becomes_a_file_of_vectors_with_every_refusal_told(tmp_path, embedder):
    music = tmp_path / "music"
    (music / "b").mkdir(parents=True)
    for name, seconds in (("a.wav", 0.5), ("b/c.flac", 0.3)):
        write_sound(music / name, tone(440, seconds, 1), RATE)
    (music / "broken.wav").write_bytes(b"RIFF")
    (music / "a.txt").write_text("genre : bass\n")
    done = embed_folder(music, tmp_path / "out.parquet", embedder)
    table = pq.read_table(tmp_path / "out.parquet")
    assert (done.embedded, done.refused, done.before) == (2, 1, 0)
    assert table["song_id"].to_pylist() == ["a", "b/c", "broken"]
    assert table["refused"].to_pylist()[:2] == [None, None] and "cannot be read" in table["refused"].to_pylist()[2]
    np.testing.assert_allclose(
        table["audio"].to_pylist()[0], embedder.sounds([embedder.frames(music / "a.wav")])[0], atol=1e-6
    )
    np.testing.assert_allclose(table["text"].to_pylist()[0], embedder.texts(["genre : bass"])[0], atol=1e-6)
    assert table["audio"].to_pylist()[2] is None and table["text"].to_pylist()[1] is None
    assert table.schema.metadata[MODEL].decode() == embedder.name


class Cut(Exception):
    pass


@pytest.mark.parametrize("after", [0, 5, 12, 23])
def test_a_run_that_was_cut_goes_on_and_ends_with_the_same_file(tmp_path, embedder, after):
    tiny_corpus(tmp_path / "songs")
    seen = []

    def cut(done: int, of: int) -> None:
        if done > after:
            raise Cut

    def embed(name: str, **how):
        return embed_folder(tmp_path / "songs", tmp_path / name, embedder, at_once=2, songs_per_part=5, **how)

    embed("whole.parquet")
    with pytest.raises(Cut):
        embed("out.parquet", progress=cut)
    done = embed("out.parquet", progress=lambda done, of: seen.append((done, of)))
    assert done.before == after // 5 * 5 and seen[0] == (done.before, 24) and seen[-1] == (24, 24)
    assert pq.read_table(tmp_path / "out.parquet") == pq.read_table(tmp_path / "whole.parquet")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["out.parquet", "songs", "whole.parquet"]


def test_parts_of_another_model_are_not_mixed_in(tmp_path, embedder):
    tiny_corpus(tmp_path / "songs", songs=4)
    other = Embedder.load(tiny_model_folder(tmp_path, seed=2))
    with pytest.raises(Cut):
        embed_folder(tmp_path / "songs", tmp_path / "out.parquet", other, songs_per_part=2, progress=_cut_at_3)
    with pytest.raises(BadData, match=f"was made by {other.name}, not by {embedder.name}"):
        embed_folder(tmp_path / "songs", tmp_path / "out.parquet", embedder)


def _cut_at_3(done: int, of: int) -> None:
    if done >= 3:
        raise Cut


def test_a_folder_without_music_is_refused(tmp_path, embedder):
    with pytest.raises(BadData, match="holds no sound files"):
        embed_folder(tmp_path, tmp_path / "out.parquet", embedder)
    with pytest.raises(BadData, match="is no folder"):
        embed_folder(tmp_path / "nothing", tmp_path / "out.parquet", embedder)
