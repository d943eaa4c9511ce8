"""The encoder: fields side by side, an MLP to h. Ranking and serving use h; the head to z is in contrast.py.

Our reconstruction; the paper does not publish its encoder. Each field is brought to unit length, so that no field is
loud because it is wide; the presence bits follow; the layers are 256-128-64 with LeakyReLU between, the last linear.
"""

from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from bcl_model.fields import NONE, Encoded, Fields
from bcl_model.settings import SLOPE, EncoderSettings

Batch = Mapping[str, Tensor]  # the rows of an Encoded; "" holds the presence bits


def tensors_of(encoded: Encoded, device: torch.device | str = "cpu") -> dict[str, Tensor]:
    """The whole catalogue, resident where the model is."""
    resident = {name: torch.from_numpy(rows).to(device) for name, rows in {**encoded.words, **encoded.values}.items()}
    return resident | {"": torch.from_numpy(encoded.present).to(device, torch.float32)}


def rows_of(resident: Batch, songs: Tensor) -> dict[str, Tensor]:
    return {name: rows.index_select(0, songs) for name, rows in resident.items()}


class Encoder(nn.Module):
    def __init__(self, fields: Fields, settings: EncoderSettings, seed: int = 0) -> None:
        super().__init__()
        self.fields = fields
        generator = torch.Generator().manual_seed(seed)
        self.tables = nn.ParameterDict(
            {
                one.name: nn.Parameter(torch.randn(len(fields.words[one.name]) + 1, one.width, generator=generator))
                for one in fields.fields
                if one.has_words
            }
        )
        self.backbone = mlp((fields.width + len(fields), *settings.layers), generator)

    def join(self, batch: Batch) -> Tensor:
        """The fields side by side, each of unit length, zeros where nothing is said."""
        parts = []
        for one in self.fields.fields:
            if one.has_words:
                words = batch[one.name].long()  # (songs, longest)
                rows = functional.embedding(words.clamp(min=0), self.tables[one.name])  # (songs, longest, width)
                rows = (rows * (words != NONE).unsqueeze(-1)).sum(dim=1)  # the mean has the same direction
                parts.append(functional.normalize(rows, dim=-1))
            else:
                parts.append(batch[one.name])
        return torch.cat(parts, dim=-1)  # (songs, width)

    def represent(self, joined: Tensor, present: Tensor) -> Tensor:
        h: Tensor = self.backbone(torch.cat([joined, present], dim=-1))  # (songs, last layer)
        return h

    def forward(self, batch: Batch) -> Tensor:
        return self.represent(self.join(batch), batch[""])


def mlp(widths: tuple[int, ...], generator: torch.Generator) -> nn.Sequential:
    layers: list[nn.Module] = []
    for n, (wide, narrow) in enumerate(pairwise(widths)):
        if n:
            layers.append(nn.LeakyReLU(SLOPE))
        linear = nn.Linear(wide, narrow)
        for parameter in (linear.weight, linear.bias):  # as nn.Linear does it, but from our seed
            nn.init.uniform_(parameter, -(wide**-0.5), wide**-0.5, generator=generator)
        layers.append(linear)
    return nn.Sequential(*layers)
