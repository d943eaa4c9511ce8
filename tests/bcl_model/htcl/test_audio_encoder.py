"""The audio encoder: the published counts; padding and order of a batch change no embedding; gradients everywhere."""

import pytest
import torch

from bcl_model.htcl.audio_encoder import AudioEncoder
from bcl_model.htcl.mel import Heard, together
from bcl_model.htcl.settings import AudioSettings, HtclSettings
from bcl_model.htcl.sound import UnreadableSound

MELS = 12
SMALL = AudioSettings(
    channels=(16, 16, 16), width=24, position_kernel=5, position_groups=4, layers=2, heads=4, feed_forward=32
)


def encoder() -> AudioEncoder:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return AudioEncoder(MELS, SMALL).eval()


def songs(*lengths: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    return [torch.randn(length, MELS, generator=generator) for length in lengths]


def test_the_published_encoder_has_88_500_511_parameters_and_155_tokens():
    settings = HtclSettings()
    with torch.device("meta"):
        published = AudioEncoder(settings.sound.mels, settings.audio)
    assert sum(one.numel() for one in published.parameters()) == 88_500_511
    assert published.tokens_of(torch.tensor(1251)).item() == 155
    assert published.fewest_frames == 17


@torch.no_grad()
def test_padding_changes_no_embedding():
    model = encoder()
    short, long = songs(41, 90)
    alone, beside = model(together([short])), model(together([short, long]))
    torch.testing.assert_close(beside[:1], alone, rtol=1e-4, atol=1e-5)
    loud = Heard(torch.cat([short, 100 * torch.ones(49, MELS)])[None], torch.tensor([41]))
    torch.testing.assert_close(model(loud), alone, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_permutation_of_the_batch_permutes_the_output():
    model, some = encoder(), songs(50, 33, 71)
    turned = model(together([some[n] for n in (2, 0, 1)]))
    torch.testing.assert_close(turned, model(together(some))[[2, 0, 1]], rtol=1e-4, atol=1e-5)


def test_evaluation_drops_nothing_out():
    model, heard = encoder(), together(songs(50))
    with torch.no_grad():
        torch.testing.assert_close(model(heard), model(heard), rtol=0, atol=0)


def test_gradients_reach_every_parameter():
    model = encoder().train()
    model(together(songs(60, 45))).square().sum().backward()
    assert [name for name, one in model.named_parameters() if one.grad is None or not one.grad.any()] == []


def test_a_sound_without_a_single_token_is_refused():
    with pytest.raises(UnreadableSound, match="has 16 frames, the encoder hears from 17 on"):
        encoder()(together(songs(16, 40)))
