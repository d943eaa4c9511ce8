"""The three operators on joined fields, and the two readings of how they meet the groups.

That the paper has a random mask, a span mask and uniform noise at feature level is known from a third-party review of
it; formulas, rates and the way they meet the groups are our reconstruction.

    random mask   x_d is zeroed with probability p
    span mask     runs of geometric length (mean `mean_span`) are zeroed so that a share p is; runs end with their unit
    noise         x_d + U(-r, r) in units of the standard deviation of its unit; what is absent stays so
    mixture       one of the three, drawn for each view

    reading A     view v keeps its group and disturbs the others
    reading B     view v holds its group alone, disturbed; the others are a learned default and count as absent
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from bcl_model.settings import AugmentSettings, Operator, Reading

OPERATORS = (Operator.RANDOM, Operator.SPAN, Operator.NOISE)


@dataclass(frozen=True)
class Layout:
    """Which unit each joined column belongs to, and which presence bit."""

    unit_of_column: Tensor  # (width,)
    field_of_column: Tensor  # (width,)

    @cached_property
    def starts(self) -> Tensor:
        """Columns at which a unit begins, (width,) of bool."""
        changes = torch.ones_like(self.unit_of_column, dtype=torch.bool)
        changes[1:] = self.unit_of_column[1:] != self.unit_of_column[:-1]
        return changes

    @cached_property
    def columns_of_unit(self) -> Tensor:
        """How many columns each unit has, (units,)."""
        return torch.bincount(self.unit_of_column)


def two_views(
    joined: Tensor,
    present: Tensor,
    groups: tuple[Tensor, Tensor] | None,
    layout: Layout,
    default: Tensor | None,
    settings: AugmentSettings,
    generator: torch.Generator,
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Two views of the same songs, each as (joined fields, presence bits). Without groups both disturb everything."""
    return (
        _view(joined, present, None if groups is None else groups[0], layout, default, settings, generator),
        _view(joined, present, None if groups is None else groups[1], layout, default, settings, generator),
    )


def _view(
    joined: Tensor,
    present: Tensor,
    group: Tensor | None,
    layout: Layout,
    default: Tensor | None,
    settings: AugmentSettings,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    disturbed = disturb(joined, present, layout, settings, generator)
    if group is None:
        return disturbed, present
    mine = group[:, layout.unit_of_column]  # (1 or songs, width)
    if settings.reading is Reading.DISTURB_OTHERS:
        return torch.where(mine, joined, disturbed), present
    if default is None:
        raise ValueError("reading B needs a default for what a view does not hold")
    held = torch.zeros(len(group), present.shape[1], device=joined.device)
    held.index_add_(1, layout.field_of_column, mine.float())  # columns held of each field
    return torch.where(mine, disturbed, default), present * (held > 0)


def disturb(
    joined: Tensor, present: Tensor, layout: Layout, settings: AugmentSettings, generator: torch.Generator
) -> Tensor:
    operator = settings.operator
    if operator is Operator.MIXTURE:
        weights = torch.tensor(settings.mixture, device=joined.device)
        operator = OPERATORS[int(torch.multinomial(weights, 1, generator=generator))]
    if operator is Operator.RANDOM:
        return joined * (torch.rand(joined.shape, generator=generator, device=joined.device) >= settings.mask_share)
    if operator is Operator.SPAN:
        return joined * ~span_mask(joined.shape, layout, settings, generator)
    return joined + noise(joined, present, layout, settings, generator)


def span_mask(shape: torch.Size, layout: Layout, settings: AugmentSettings, generator: torch.Generator) -> Tensor:
    """True where a run is zeroed.

    A chain along the columns that now and then draws anew whether it masks: at rate 1 / (mean run * (1 - p)) masked
    runs are geometric with the mean wanted, and a share p is masked from the first column on. No loop over columns.
    """
    rows, width = shape
    device = layout.unit_of_column.device
    rate = min(1.0, 1.0 / (settings.mean_span * (1.0 - settings.span_share)))
    anew = torch.rand(rows, width, generator=generator, device=device) < rate
    masks = torch.rand(rows, width, generator=generator, device=device) < settings.span_share
    columns = torch.arange(width, device=device)
    drawn_at = torch.where(anew | layout.starts, columns, 0).cummax(dim=1).values
    return masks.gather(1, drawn_at)


def noise(
    joined: Tensor, present: Tensor, layout: Layout, settings: AugmentSettings, generator: torch.Generator
) -> Tensor:
    has = present[:, layout.field_of_column]  # (songs, width)
    uniform = torch.rand(joined.shape, generator=generator, device=joined.device) * 2 - 1
    return uniform * has * settings.noise * unit_deviation(joined.detach(), has, layout)


def unit_deviation(joined: Tensor, has: Tensor, layout: Layout) -> Tensor:
    """Standard deviation of each column's unit over the songs that have it, (width,)."""
    songs = has.sum(dim=0).clamp(min=1)
    mean = (joined * has).sum(dim=0) / songs
    variance = ((joined - mean) ** 2 * has).sum(dim=0) / songs  # (width,)
    columns = layout.columns_of_unit
    total = torch.zeros(len(columns), device=joined.device).index_add_(0, layout.unit_of_column, variance)
    return (total / columns).sqrt()[layout.unit_of_column]
