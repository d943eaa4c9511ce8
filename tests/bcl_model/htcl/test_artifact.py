"""A model as a folder: read back as it was written, every damage told, sounds and texts embedded by it."""

import json

import numpy as np
import pytest
import torch

from bcl_model.errors import ArtifactDamaged, UnknownArtifact
from bcl_model.htcl.artifact import read_htcl, write_htcl
from bcl_model.htcl.embedder import Embedder
from bcl_model.htcl.model import Htcl
from bcl_model.htcl.sound import UnreadableSound, write_sound
from tests.builders.htcl import RATE, bert_folder, tiny_model_folder, tiny_settings, tone


def test_a_model_is_read_as_it_was_written_and_named_by_what_it_is(tmp_path):
    model = Htcl.fresh(tiny_settings(bert_folder(tmp_path / "bert")))
    folder = write_htcl(tmp_path / "models", model, {"recall": 0.5})
    found = read_htcl(folder)
    assert found.name == folder.name and found.metrics == {"recall": 0.5} and found.model.settings == model.settings
    assert all(weight.equal(found.model.state_dict()[name]) for name, weight in model.state_dict().items())
    assert write_htcl(tmp_path / "models", model, {"recall": 0.6}) == folder
    with torch.no_grad():
        model.audio_head[0].bias[0] += 1
    assert write_htcl(tmp_path / "models", model, {}) != folder
    assert len(list((tmp_path / "models").iterdir())) == 2


@pytest.mark.parametrize("file", ["weights.safetensors", "settings.json", "text/vocab.txt", "metrics.json"])
def test_a_changed_byte_is_found(tmp_path, file):
    folder = tiny_model_folder(tmp_path)
    (folder / file).write_bytes((folder / file).read_bytes() + b" ")
    with pytest.raises(ArtifactDamaged, match=r"is not what was written \(SHA-256\)"):
        read_htcl(folder)


def test_another_name_and_no_model_are_told_apart(tmp_path):
    folder = tiny_model_folder(tmp_path)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "name": "htcl-000000000000"}))
    with pytest.raises(ArtifactDamaged, match="names htcl-000000000000"):
        read_htcl(folder)
    with pytest.raises(UnknownArtifact, match="is no HTCL model"):
        read_htcl(tmp_path)


def test_sounds_from_files_bytes_and_samples_are_the_same_unit_vectors(tmp_path):
    embedder = Embedder.load(tiny_model_folder(tmp_path))
    samples = np.round(tone(440, 0.5, 1) * 32_767).astype(np.float32) / 32_768
    file = tmp_path / "a.flac"
    write_sound(file, samples, RATE)
    frames = [embedder.frames(source) for source in (file, file.read_bytes(), samples)]
    rows = embedder.sounds(frames)
    assert rows.shape == (3, embedder.size) and rows.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(rows, rows[[0, 0, 0]], atol=1e-3)  # 16 bits
    words = embedder.texts(["genre : bass", "latin"])
    np.testing.assert_allclose(np.linalg.norm(words, axis=1), 1, atol=1e-6)
    assert embedder.sounds([]).shape == embedder.texts([]).shape == (0, embedder.size)


def test_songs_beside_a_song_change_nothing_that_a_listener_would_see(tmp_path):
    embedder = Embedder.load(tiny_model_folder(tmp_path))
    songs = [embedder.frames(tone(pitch, seconds, 1)) for pitch, seconds in ((220, 0.3), (440, 0.6), (880, 0.45))]
    together, alone = embedder.sounds(songs), [embedder.sounds([song])[0] for song in songs]
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_a_sound_too_short_for_a_token_is_refused_with_what_is_wanted(tmp_path):
    embedder = Embedder.load(tiny_model_folder(tmp_path))
    with pytest.raises(UnreadableSound, match=r"has 13 frames, wanted at least 17 \(0.26 s\)"):
        embedder.frames(tone(440, 0.2, 1))
