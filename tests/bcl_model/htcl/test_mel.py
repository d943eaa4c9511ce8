"""The log-mel front end: the published sizes, the transform against its slow formula, padding that counts nowhere."""

import numpy as np
import pytest
import torch

from bcl_model.htcl.mel import LogMel, together
from bcl_model.htcl.settings import HtclSettings, SoundSettings
from bcl_model.htcl.sound import UnreadableSound
from bcl_model.mel_statistics import mel_bank

SMALL = SoundSettings(sample_rate=2_000, seconds=1.0, window_s=0.064, hop_s=0.032, mels=12)


def noise(samples: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=samples).astype(np.float32)


def test_two_minutes_become_1251_frames_of_128_bins():
    mel = LogMel(HtclSettings().sound)
    assert (mel.window, mel.hop, mel.most_frames) == (2048, 1536, 1251)
    assert mel(noise(130 * 16_000)).shape == (1251, 128)


def test_decibels_equal_the_slow_formula():
    mel, samples = LogMel(SMALL), noise(1_500)
    half = mel.window // 2
    padded = np.pad(samples.astype(np.float64), half, mode="reflect")
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(mel.window) / mel.window)
    bank = mel_bank(SMALL.sample_rate, mel.window, SMALL.mels)
    slow = []
    for first in range(0, len(padded) - mel.window + 1, mel.hop):
        part = padded[first : first + mel.window] * hann
        turns = np.exp(-2j * np.pi * np.outer(np.arange(half + 1), np.arange(mel.window)) / mel.window)
        slow.append(10 * np.log10(np.maximum(bank @ np.abs(turns @ part) ** 2, 1e-10)))
    np.testing.assert_allclose(mel.decibels(samples), np.maximum(slow, np.max(slow) - 80), atol=1e-3)


def test_a_short_sound_is_standardised_over_itself_and_padded_afterwards():
    mel = LogMel(SMALL)
    short, long = mel(noise(700)), mel(noise(2_000, seed=2))
    assert abs(float(short.mean())) < 1e-5 and float(short.std(correction=0)) == pytest.approx(1, abs=1e-5)
    heard = together([short, long])
    assert heard.lengths.tolist() == [len(short), len(long)]
    torch.testing.assert_close(heard.frames[0, : len(short)], short)
    assert not heard.frames[0, len(short) :].any()


def test_what_is_quieter_than_80_decibels_below_the_peak_counts_as_this_quiet():
    samples = noise(2_000)
    samples[1_000:] = 0
    decibels = LogMel(SMALL).decibels(samples)
    assert float(decibels.max() - decibels.min()) == pytest.approx(80, abs=1e-4)


def test_a_sound_shorter_than_half_a_window_is_refused_with_its_length():
    with pytest.raises(UnreadableSound, match="has 64 samples, wanted more than 64"):
        LogMel(SMALL)(noise(64))
