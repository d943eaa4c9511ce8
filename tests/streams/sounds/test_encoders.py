"""What hears a sound says the same of the same, and why it hears nothing."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bcl_model.htcl.embedder import Embedder
from bcl_model.htcl.text_encoder import song_text
from streams.catalogue.featurize_songs import ContentEncoder
from streams.errors import BadSettings, UnusableSound
from streams.settings import FeaturizeSettings
from streams.sounds.encoders import MelEncoder, encoder_of, read_wav
from tests.builders.contracts import settings
from tests.builders.htcl import tiny_model_folder
from tests.builders.sounds import RATE, wav


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model_folder(tmp_path_factory.mktemp("htcl"))


@pytest.fixture(scope="module")
def htcl(model: Path) -> Iterator[ContentEncoder]:
    encoder = encoder_of(by(model))
    yield encoder
    encoder.close()


def by(encoder: Path | str) -> FeaturizeSettings:
    return replace(settings().featurize, encoder=str(encoder), decode_within_s=60.0)


def test_the_spectrum_of_a_sound_is_the_same_each_time_and_another_for_another():
    encoder = encoder_of(by("mel"))
    vector = encoder.sound(wav(pitch=440))
    assert (encoder.name, encoder.size) == ("mel-32", 96) and vector.shape == (96,) and vector.dtype == np.float32
    np.testing.assert_array_equal(encoder.sound(wav(pitch=440)), vector)
    assert np.abs(encoder.sound(wav(pitch=1_760)) - vector).max() > 1
    assert encoder.text("title", "caption", "lyrics") is None


def test_channels_are_averaged():
    one, two = read_wav(wav(0.3))[0], read_wav(wav(0.3, channels=2))[0]
    np.testing.assert_array_equal(one, two)
    assert read_wav(wav(0.3, rate=8_000))[1] == 8_000 and len(one) == round(0.3 * RATE)


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "cannot be read as wav"),
        (b"oops", "cannot be read as wav"),
        (b"\x00" * 5_000, "cannot be read as wav"),
        (b"<html>not here</html>", "cannot be read as wav"),
        (wav()[:60], "its end is missing"),
        (wav()[:-1], "its end is missing"),
        (wav()[:20], "its end is missing"),
        (wav(0.01), "the sound is too short: 160 samples"),
        (wav(0), "the sound is too short: 0 samples"),
        (b"RIFF\x04\x00\x00\x00WAVE", "cannot be read as wav"),
        (wav()[:24] + bytes(4) + wav()[28:], "at 0 Hz"),
    ],
)
def test_what_is_no_sound_is_refused_with_the_reason(raw: bytes, why: str):
    with pytest.raises(UnusableSound, match=why):
        MelEncoder().sound(raw)


def test_a_folder_without_a_model_is_a_wrong_setting(tmp_path):
    with pytest.raises(BadSettings, match="wanted mel or a trained model"):
        encoder_of(by(tmp_path))


def test_a_trained_model_hears_and_reads_as_its_embedder_does(htcl: ContentEncoder, model: Path):
    embedder = Embedder.load(model)
    assert (htcl.name, htcl.size) == (embedder.name, embedder.size)
    np.testing.assert_array_equal(htcl.sound(wav()), embedder.sounds([embedder.frames(wav())])[0])
    said = song_text(title="latin", caption="genre : bass", lyrics="a b")
    np.testing.assert_array_equal(htcl.text("latin", "genre : bass", "a b"), embedder.texts([said])[0])


@pytest.mark.parametrize(
    ("raw", "why"),
    [(b"oops", "cannot be heard"), (b"", "cannot be heard"), (wav()[:-1], "its end is missing"), (wav(0.02), "heard")],
)
def test_what_a_trained_model_cannot_hear_is_refused_with_the_reason(htcl: ContentEncoder, raw: bytes, why: str):
    with pytest.raises(UnusableSound, match=why):
        htcl.sound(raw)
