"""The benchmark of HTCL's embedding speed runs and says what it promises; what it measures is nobody's test."""

import pytest
import torch

from tests.benchmarks import htcl


@pytest.mark.slow
def test_speed_of_embedding_is_told_beside_a_plain_loop_and_the_peak(tmp_path):
    found = htcl.measure(tmp_path, quick=True, threads=1, seed=1, models=("small",))
    kinds = {"cpu fp32", "cpu bf16"} | ({"cuda fp32", "cuda bf16"} if torch.cuda.is_available() else set())
    assert found["clips"]["small"].keys() == kinds
    for kind in found["clips"]["small"].values():
        assert kind["clips"] == 32 and kind["clip_s"] == 6.0
        assert kind["clips_per_second"].keys() == {"encoder", "encoder_one_by_one", "files", "files_plain_loop"}
        assert all(rate > 0 for rate in kind["clips_per_second"].values()) and kind["share_of_peak"] > 0
    assert len(htcl.lines(found)) == 2 + len(kinds)


def test_operations_of_a_clip_are_those_of_its_matrix_products(tmp_path):
    """Of the small model by hand: two operations for every multiplication, fused or not."""
    model = htcl.Htcl.fresh(htcl.settings_of("small", htcl.bert_folder(tmp_path / "bert")))
    audio, head = model.settings.audio, model.settings.head.layers
    outputs, before, wanted = 126, model.settings.sound.mels, 0
    for channels, kernel, stride in zip(audio.channels, audio.kernels, audio.strides, strict=True):
        outputs = (outputs - kernel) // stride + 1
        wanted += outputs * kernel * before * channels
        before = channels
    wanted += outputs * before * audio.width
    wanted += outputs * audio.position_kernel * audio.width**2 // audio.position_groups
    tokens = outputs + 1
    each = tokens * (4 * audio.width**2 + 2 * audio.width * audio.feed_forward) + 2 * tokens**2 * audio.width
    wanted += audio.layers * each + audio.width * head[0] + head[0] * head[1]
    assert htcl.operations_of(model) == pytest.approx(2 * wanted, rel=0.02)
