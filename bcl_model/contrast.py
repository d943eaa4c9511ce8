"""The contrastive part of BCL: correlation, groups, two views, and InfoNCE between them.

Songs are drawn evenly from the training catalogue, without replacement so that none is its own negative: the ranking
loss follows the power law of plays, this one does not (our reconstruction, after Yao et al.).
"""

from functools import cached_property

import torch
from torch import Tensor, nn

from bcl_model.augment import Layout, two_views
from bcl_model.correlation import RunningCorrelation, estimate, rows_for, units_of
from bcl_model.encoder import Batch, Encoder, mlp, rows_of
from bcl_model.grouping import group_size, two_groups
from bcl_model.losses import info_nce
from bcl_model.settings import ContrastFrom, Grouping, Reading, TrainSettings


class Contrast(nn.Module):
    def __init__(self, encoder: Encoder, settings: TrainSettings, seed: int = 0) -> None:
        super().__init__()
        self.settings = settings
        self.units = units_of(encoder.fields, settings.correlation)
        if settings.grouping.kind is not Grouping.NONE:
            group_size(len(self.units), settings.grouping)  # says now what is missing, not in the first step
        self.correlation = RunningCorrelation(settings.correlation.decay)
        generator = torch.Generator().manual_seed(seed + 1)
        dimension = settings.encoder.layers[-1]
        self.head = mlp((dimension, *settings.encoder.head), generator)  # the loss sees z, ranking and serving h
        self.default: nn.Parameter | None = None
        if settings.augment.reading is Reading.KEEP_OWN:
            self.default = nn.Parameter(torch.zeros(encoder.fields.width))
        widths = torch.tensor([unit.columns.stop - unit.columns.start for unit in self.units])
        self.register_buffer("unit_of_column", torch.arange(len(self.units)).repeat_interleave(widths), False)
        places = torch.tensor([unit.place for unit in self.units])
        self.register_buffer("field_of_column", places.repeat_interleave(widths), False)

    @cached_property
    def layout(self) -> Layout:
        """Where the units lie, on the device where the first step finds them."""
        return Layout(self.get_buffer("unit_of_column"), self.get_buffer("field_of_column"))

    def loss(self, encoder: Encoder, resident: Batch, songs: Tensor, generator: torch.Generator) -> Tensor:
        """InfoNCE of these songs, all of them different."""
        settings = self.settings
        batch = rows_of(resident, songs)
        joined, present = encoder.join(batch), batch[""]
        groups = None
        if settings.grouping.kind is not Grouping.NONE:
            groups = two_groups(self.correlation.read(), len(songs), settings.grouping, generator)
        one, other = two_views(joined, present, groups, self.layout, self.default, settings.augment, generator)
        h = encoder.represent(torch.cat([one[0], other[0]]), torch.cat([one[1], other[1]]))
        first, second = self.head(h).chunk(2)
        contrast = settings.contrast
        return info_nce(first, second, contrast.temperature, both_directions=contrast.both_directions)

    @torch.no_grad()
    def observe(self, encoder: Encoder, resident: Batch, songs: Tensor, generator: torch.Generator) -> None:
        """Let the running correlation see some songs of the catalogue."""
        rows = rows_for(self.units, self.settings.correlation)
        batch = rows_of(resident, without_replacement(songs, rows, generator))
        self.correlation.update(estimate(self.units, batch, encoder.join(batch), self.settings.correlation))

    def draw(self, songs: Tensor, pairs: Tensor, generator: torch.Generator) -> Tensor:
        count = self.settings.contrast.songs
        if self.settings.contrast.songs_from is ContrastFrom.CATALOGUE:
            return without_replacement(songs, count, generator)
        chosen = torch.randint(pairs.shape[1], (count,), generator=generator, device=pairs.device)
        found: Tensor = torch.unique(pairs[0, chosen])
        return found


def without_replacement(songs: Tensor, count: int, generator: torch.Generator) -> Tensor:
    order = torch.randperm(len(songs), generator=generator, device=songs.device)
    return songs.index_select(0, order[:count])
