"""Weights in the layout of the authors' state dict become a model of ours: keys are renamed, every shape is checked.

Their file holds one wrapper: `audio_model`, `text_model`, `audio_mlp`, `text_mlp` and `tau` after stage 1;
`fusion_mlp` and `tau_1` to `tau_3` besides after stage 2. The scales are left out: they only matter while training.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from bcl_model.errors import BadData
from bcl_model.htcl.bert import from_hugging_face
from bcl_model.htcl.model import Htcl

# (theirs, ours); the first that matches counts
_RENAMED = [
    (re.compile(theirs), ours)
    for theirs, ours in (
        (r"^audio_model\.feature_extractor\.layers\.(\d+)\.1\.", r"audio_encoder.convolutions.\1.convolution."),
        (r"^audio_model\.feature_extractor\.layers\.(\d+)\.3\.", r"audio_encoder.convolutions.\1.norm."),
        (r"^audio_model\.feature_projection\.layer_norm\.", "audio_encoder.projection_norm."),
        (r"^audio_model\.feature_projection\.projection\.", "audio_encoder.projection."),
        (r"^audio_model\.pos_conv_embed\.conv\.", "audio_encoder.position."),
        (r"^audio_model\.pos_conv_embed\.layer_norm\.", "audio_encoder.position_norm."),
        (r"^audio_model\.layer_norm\.", "audio_encoder.norm."),
        (r"^audio_model\.cls_token$", "audio_encoder.cls"),
        (r"^audio_model\.transformer_encoder\.", "audio_encoder.transformer."),
    )
]
_MLP = re.compile(r"^(audio|text|fusion)_mlp\.(\d+)\.")
_OURS = {"audio": "audio_head", "text": "text_head", "fusion": "fusion"}
_TEXT = "text_model."


def load_authors(file: Path, model: Htcl) -> None:
    """Into `model`, in place; the fusion, which stage 1 does not have, then keeps its own weights."""
    state, own = renamed(_read(file)), model.state_dict()
    if missing := sorted(name for name in own.keys() - state.keys() if not name.startswith("fusion.")):
        raise BadData(f"{file} has nothing for {missing[0]} (and {len(missing) - 1} more): wanted the authors' layout")
    for name, tensor in state.items():
        if name not in own:
            raise BadData(f"{file} holds {name}, which this model does not have")
        if tensor.shape != own[name].shape:
            raise BadData(f"{file}: {name} is of shape {tuple(tensor.shape)}, wanted {tuple(own[name].shape)}")
    model.load_state_dict(own | state)


def renamed(theirs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Theirs under our names, without the scales."""
    text = {name.removeprefix(_TEXT): tensor for name, tensor in theirs.items() if name.startswith(_TEXT)}
    state = {f"text_encoder.bert.{name}": tensor for name, tensor in from_hugging_face(text).items()}
    for name, tensor in theirs.items():
        if not name.startswith((_TEXT, "tau")):
            state[_our_name(name)] = tensor
    return state


def _our_name(name: str) -> str:
    if found := _MLP.match(name):  # theirs: linear, ReLU, dropout; ours: linear, ReLU
        return f"{_OURS[found[1]]}.{int(found[2]) // 3 * 2}.{name[found.end() :]}"
    for theirs, ours in _RENAMED:
        if theirs.match(name):
            return theirs.sub(ours, name)
    return name


def _read(file: Path) -> Mapping[str, Tensor]:
    """Nothing that the file holds is run."""
    if not file.is_file():
        raise BadData(f"there are no weights at {file}")
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        state: Mapping[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True)
        return state
    except Exception as error:  # torch and safetensors have no error in common for what cannot be read
        raise BadData(f"{file} cannot be read as weights: {str(error).splitlines()[0]}") from error
