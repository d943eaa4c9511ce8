"""The authors' layout: a model of ours written under their names is read back, and what does not fit is told."""

import re

import pytest
import torch
from safetensors.torch import save_file

from bcl_model.errors import BadData
from bcl_model.htcl.authors import load_authors
from bcl_model.htcl.model import Htcl
from tests.builders.htcl import bert_folder, hugging_face_state, tiny_settings

NAMES = (
    (r"^audio_encoder\.convolutions\.(\d+)\.convolution\.", r"audio_model.feature_extractor.layers.\1.1."),
    (r"^audio_encoder\.convolutions\.(\d+)\.norm\.", r"audio_model.feature_extractor.layers.\1.3."),
    (r"^audio_encoder\.projection_norm\.", "audio_model.feature_projection.layer_norm."),
    (r"^audio_encoder\.projection\.", "audio_model.feature_projection.projection."),
    (r"^audio_encoder\.position\.", "audio_model.pos_conv_embed.conv."),
    (r"^audio_encoder\.position_norm\.", "audio_model.pos_conv_embed.layer_norm."),
    (r"^audio_encoder\.norm\.", "audio_model.layer_norm."),
    (r"^audio_encoder\.cls$", "audio_model.cls_token"),
    (r"^audio_encoder\.transformer\.", "audio_model.transformer_encoder."),
    (r"^(audio|text)_head\.(\d+)\.", lambda found: f"{found[1]}_mlp.{int(found[2]) // 2 * 3}."),
    (r"^fusion\.(\d+)\.", lambda found: f"fusion_mlp.{int(found[1]) // 2 * 3}."),
)


def as_theirs(model: Htcl, stage: int) -> dict[str, torch.Tensor]:
    state = {}
    for name, tensor in model.state_dict().items():
        for ours, theirs in NAMES:
            name = re.sub(ours, theirs, name)
        state[name] = tensor
    sizes = {key: getattr(model.text_encoder.bert.sizes, key) for key in model.text_encoder.bert.sizes.__annotations__}
    state = {name: tensor for name, tensor in state.items() if not name.startswith("text_encoder.")}
    state |= {f"text_model.{name}": tensor for name, tensor in hugging_face_state(sizes, seed=9).items()}
    state |= {"tau": torch.tensor(2.6)} if stage == 1 else {f"tau_{n}": torch.tensor(2.6) for n in (1, 2, 3)}
    return {name: tensor for name, tensor in state.items() if stage == 2 or not name.startswith("fusion")}


@pytest.mark.parametrize("stage", [1, 2])
@pytest.mark.parametrize("kind", [".pth", ".safetensors"])
def test_weights_in_their_layout_are_read(tmp_path, stage, kind):
    settings = tiny_settings(bert_folder(tmp_path / "bert"))
    other = Htcl.fresh(tiny_settings(bert_folder(tmp_path / "bert"), seed=7))
    theirs = as_theirs(other, stage)
    file = tmp_path / f"weights{kind}"
    torch.save(theirs, file) if kind == ".pth" else save_file({k: v.contiguous() for k, v in theirs.items()}, file)
    model = Htcl.fresh(settings)
    fusion = model.fusion[0].weight.clone()
    load_authors(file, model)
    for name, weight in other.state_dict().items():
        if not name.startswith(("text_encoder.", "fusion.")):
            assert weight.equal(model.state_dict()[name]), name
    assert model.fusion[0].weight.equal(fusion if stage == 1 else other.fusion[0].weight)
    words = theirs["text_model.embeddings.word_embeddings.weight"]
    assert model.text_encoder.bert.words.weight.equal(words)
    query = theirs["text_model.encoder.layer.0.attention.self.query.weight"]
    assert model.text_encoder.bert.transformer.layers[0].self_attn.in_proj_weight[: len(query)].equal(query)


def test_what_does_not_fit_is_told_by_name(tmp_path):
    model = Htcl.fresh(tiny_settings(bert_folder(tmp_path / "bert")))
    theirs = as_theirs(model, 2)
    cases = (
        ({**theirs, "extra.weight": torch.zeros(1)}, "holds extra.weight, which this model does not have"),
        ({**theirs, "audio_mlp.0.bias": torch.zeros(3)}, r"audio_head.0.bias is of shape \(3,\), wanted \(16,\)"),
        ({k: v for k, v in theirs.items() if k != "audio_model.cls_token"}, "has nothing for audio_encoder.cls"),
    )
    for state, reason in cases:
        torch.save(state, tmp_path / "weights.pth")
        with pytest.raises(BadData, match=reason):
            load_authors(tmp_path / "weights.pth", model)
    with pytest.raises(BadData, match="there are no weights at"):
        load_authors(tmp_path / "nothing.pth", model)


class Burglar:
    def __reduce__(self):
        return (print, ("run",))


def test_a_file_that_would_run_something_is_refused(tmp_path, capsys):
    """Defect 7."""
    torch.save({"tau": Burglar()}, tmp_path / "weights.pth")
    with pytest.raises(BadData, match="cannot be read as weights"):
        load_authors(tmp_path / "weights.pth", Htcl.fresh(tiny_settings(bert_folder(tmp_path / "bert"))))
    assert capsys.readouterr().out == ""
