"""Serving: equal bits for equal songs, whatever is embedded beside them, and the same values as training's encoder."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_limits

from bcl_model.artifact import Artifact, write_artifact
from bcl_model.encoder import Encoder, tensors_of
from bcl_model.fields import Content, FieldMismatch
from bcl_model.inference import SongEncoder
from bcl_model.settings import EncoderSettings, TrainSettings
from tests.builders.songs import FIELDS, content, random_content

SETTINGS = TrainSettings(encoder=EncoderSettings((24, 16, 8), (8,)))
SONGS = [random_content(np.random.default_rng(seed)) for seed in range(200)]


@pytest.fixture(scope="module")
def torch_encoder() -> Encoder:
    return Encoder(FIELDS.learned(SONGS[:150]), SETTINGS.encoder, seed=4)


@pytest.fixture(scope="module")
def folder(torch_encoder: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    weights = {name: weight.numpy() for name, weight in torch_encoder.state_dict().items()}
    return write_artifact(tmp_path_factory.mktemp("models"), Artifact.of(weights, SETTINGS, torch_encoder.fields, {}))


@pytest.fixture
def encoder(folder: Path) -> SongEncoder:
    return SongEncoder.load(folder)


def test_embeddings_are_unit_rows_of_the_artifacts_dimension(encoder: SongEncoder, folder: Path) -> None:
    embeddings = encoder.embed(SONGS)

    assert embeddings.shape == (200, encoder.dimension) == (200, 8)
    assert embeddings.dtype == np.float32
    assert encoder.artifact == folder.name
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("seed", range(5))
def test_a_song_has_the_same_bits_in_every_batch(encoder: SongEncoder, seed: int, threads: int) -> None:
    alone = np.concatenate([encoder.embed([song]) for song in SONGS])
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(SONGS))
    cuts = np.sort(rng.choice(len(SONGS), size=rng.integers(1, 20)))

    with threadpool_limits(threads):
        for batch in np.split(order, cuts):
            np.testing.assert_array_equal(encoder.embed([SONGS[song] for song in batch]), alone[batch])


def test_an_encoder_loaded_again_gives_equal_bits(encoder: SongEncoder, folder: Path) -> None:
    np.testing.assert_array_equal(SongEncoder.load(folder).embed(SONGS), encoder.embed(SONGS))


def test_serving_equals_the_encoder_of_training(encoder: SongEncoder, torch_encoder: Encoder) -> None:
    with torch.no_grad():
        trained = torch_encoder(tensors_of(torch_encoder.fields.encode(SONGS)))

    np.testing.assert_allclose(encoder.represent(SONGS), trained.numpy(), atol=1e-5)
    np.testing.assert_allclose(encoder.embed(SONGS), torch.nn.functional.normalize(trained).numpy(), atol=1e-5)


def test_no_songs_have_no_embeddings(encoder: SongEncoder) -> None:
    assert encoder.embed([]).shape == (0, 8)


def test_a_song_of_which_nothing_is_known_still_has_an_embedding(encoder: SongEncoder) -> None:
    np.testing.assert_allclose(np.linalg.norm(encoder.embed([Content()])), 1, atol=1e-6)


def test_a_vector_of_another_size_is_refused(encoder: SongEncoder) -> None:
    with pytest.raises(FieldMismatch, match="size 2, wanted size 3"):
        encoder.embed([content(audio=[1.0, 2.0])])


def test_serving_loads_no_torch() -> None:
    program = (
        "import sys, bcl_model.inference, bcl_model.registry; print('torch' in sys.modules, 'scipy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["False", "False"]
