"""A BERT as torch has it already: embeddings, a post-norm Transformer, a pooler; weights in Hugging Face's layout.

pieces (B, S) ─ word + place + type, norm, dropout ─► (B, S, width) ─ Transformer ─► states (B, S, width)
states[:, 0] ─ linear, tanh ─► pooled (B, width)
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from bcl_model.errors import BadData
from bcl_model.htcl.wordpiece import Tokens

SIZES, WEIGHTS, OLD_WEIGHTS = "config.json", "model.safetensors", "pytorch_model.bin"


@dataclass(frozen=True)
class BertSizes:
    """Named as in config.json."""

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    max_position_embeddings: int
    type_vocab_size: int = 2
    layer_norm_eps: float = 1e-12
    hidden_dropout_prob: float = 0.1

    @classmethod
    def read(cls, folder: Path) -> "BertSizes":
        file = folder / SIZES
        try:
            said: dict[str, Any] = json.loads(file.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise BadData(f"{file} cannot be read: {error}") from error
        for name, wanted in (("model_type", "bert"), ("hidden_act", "gelu"), ("position_embedding_type", "absolute")):
            if said.get(name, wanted) != wanted:
                raise BadData(f"{file}: {name} is {said[name]!r}, wanted {wanted!r}: no other text encoder is known")
        try:
            return cls(**{name: said[name] for name in cls.__annotations__ if name in said})
        except TypeError as error:
            raise BadData(f"{file} does not describe a BERT: {error}") from None

    def write(self, folder: Path) -> None:
        said = {"model_type": "bert", "hidden_act": "gelu", **asdict(self)}
        (folder / SIZES).write_text(json.dumps(said, indent=1, sort_keys=True) + "\n", "utf-8")


class Bert(nn.Module):
    def __init__(self, sizes: BertSizes, *, has_pooler: bool) -> None:
        super().__init__()
        self.sizes, width = sizes, sizes.hidden_size
        self.words = nn.Embedding(sizes.vocab_size, width)
        self.places = nn.Embedding(sizes.max_position_embeddings, width)
        self.types = nn.Embedding(sizes.type_vocab_size, width)
        self.norm = nn.LayerNorm(width, sizes.layer_norm_eps)
        self.dropout = nn.Dropout(sizes.hidden_dropout_prob)
        layer = nn.TransformerEncoderLayer(
            width,
            sizes.num_attention_heads,
            sizes.intermediate_size,
            sizes.hidden_dropout_prob,
            activation="gelu",
            layer_norm_eps=sizes.layer_norm_eps,
            batch_first=True,
        )
        layer.dropout = nn.Identity()  # type: ignore[assignment]  # BERT drops nothing between its two linears
        self.transformer = nn.TransformerEncoder(layer, sizes.num_hidden_layers, enable_nested_tensor=False)
        self.pooler = nn.Linear(width, width) if has_pooler else None

    def forward(self, tokens: Tokens) -> Tensor:
        """(B, S, width)."""
        places = torch.arange(tokens.pieces.shape[1], device=tokens.pieces.device)
        embedded = self.words(tokens.pieces) + self.places(places) + self.types.weight[0]
        states: Tensor = self.transformer(self.dropout(self.norm(embedded)), src_key_padding_mask=~tokens.is_said)
        return states

    def pooled(self, states: Tensor) -> Tensor:
        assert self.pooler is not None
        return torch.tanh(self.pooler(states[:, 0]))


def read_bert(folder: Path, *, has_pooler: bool) -> Bert:
    bert = Bert(BertSizes.read(folder), has_pooler=has_pooler)
    found, own = from_hugging_face(_weights(folder)), bert.state_dict()
    if missing := sorted(own.keys() - found.keys()):
        raise BadData(f"the weights in {folder} have nothing for {missing[0]} (and {len(missing) - 1} more)")
    for name, tensor in own.items():
        if found[name].shape != tensor.shape:
            raise BadData(f"{folder}: {name} is of shape {tuple(found[name].shape)}, wanted {tuple(tensor.shape)}")
    bert.load_state_dict({name: found[name] for name in own})
    return bert


def _weights(folder: Path) -> Mapping[str, Tensor]:
    """Nothing that a file holds is run."""
    try:
        if (folder / WEIGHTS).is_file():
            return load_file(folder / WEIGHTS)
        state: Mapping[str, Tensor] = torch.load(folder / OLD_WEIGHTS, map_location="cpu", weights_only=True)
        return state
    except Exception as error:  # torch and safetensors have no error in common for what cannot be read
        raise BadData(f"the weights of the text encoder in {folder} cannot be read: {error}") from error


def from_hugging_face(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Theirs under our names; query, key and value become one; heads for other tasks are left out."""
    found: dict[str, Tensor] = {}
    parts: dict[str, dict[str, Tensor]] = {}
    for name, tensor in state.items():
        name = name.removeprefix("bert.").replace(".gamma", ".weight").replace(".beta", ".bias")
        if name.startswith("cls.") or name.endswith("position_ids"):
            continue
        if part := _ATTENTION.match(name):
            parts.setdefault(f"transformer.layers.{part[1]}.self_attn.in_proj_{part[3]}", {})[part[2]] = tensor
            continue
        for theirs, ours in _RENAMED:
            name = theirs.sub(ours, name)
        found[name] = tensor
    for name, three in parts.items():
        if len(three) == 3:
            found[name] = torch.cat([three[part] for part in ("query", "key", "value")])
    return found


_ATTENTION = re.compile(r"^encoder\.layer\.(\d+)\.attention\.self\.(query|key|value)\.(weight|bias)$")
_RENAMED = [
    (re.compile(theirs), ours)
    for theirs, ours in (
        (r"^embeddings\.word_embeddings\.", "words."),
        (r"^embeddings\.position_embeddings\.", "places."),
        (r"^embeddings\.token_type_embeddings\.", "types."),
        (r"^embeddings\.LayerNorm\.", "norm."),
        (r"^encoder\.layer\.(\d+)\.attention\.output\.dense\.", r"transformer.layers.\1.self_attn.out_proj."),
        (r"^encoder\.layer\.(\d+)\.attention\.output\.LayerNorm\.", r"transformer.layers.\1.norm1."),
        (r"^encoder\.layer\.(\d+)\.intermediate\.dense\.", r"transformer.layers.\1.linear1."),
        (r"^encoder\.layer\.(\d+)\.output\.dense\.", r"transformer.layers.\1.linear2."),
        (r"^encoder\.layer\.(\d+)\.output\.LayerNorm\.", r"transformer.layers.\1.norm2."),
        (r"^pooler\.dense\.", "pooler."),
    )
]
