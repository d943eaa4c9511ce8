"""Which units of the content make the two views: none, random (RFM), top (CFM) or Gumbel (CGM, the paper's).

    seed s ~ uniform      p_j ∝ (C_sj + floor)^(1/t)      g_j ~ Gumbel
    group 1 = s and the (size - 1) largest of ln p_j + g_j      group 2 = all others

Two correlated units in different views make the task too easy: one betrays the other. So a seed's partners follow
the correlation, and drawing the largest of ln p + Gumbel is exact sampling without replacement (Kool et al. 2019). That
CGM draws so is known from a third-party review; size, scope of the seed, temperature and floor are our reconstruction.
"""

import torch
from torch import Tensor

from bcl_model.errors import BadModelSettings
from bcl_model.settings import Grouping, GroupingSettings

FLOOR = 1e-3  # added to every correlation: a seed that tells of nothing has partners drawn evenly
MIN_UNITS = 4  # half of three is the seed alone


def group_size(units: int, settings: GroupingSettings) -> int:
    if units < MIN_UNITS:
        raise BadModelSettings(
            f"grouping {settings.kind} needs at least {MIN_UNITS} units of content, there are {units}: describe more "
            'fields, set correlation.unit = "chunk", or set grouping.kind = "none"'
        )
    return min(max(int(units * settings.share), 2), units - 1)


def first_group(correlation: Tensor, rows: int, settings: GroupingSettings, generator: torch.Generator) -> Tensor:
    """Who is in the seed's group: (rows, units) of bool, each row from a seed of its own."""
    units = len(correlation)
    device = correlation.device
    size = group_size(units, settings)
    seeds = torch.randint(units, (rows,), generator=generator, device=device)
    keys = torch.zeros(rows, units, dtype=torch.float64, device=device)
    if settings.kind in (Grouping.TOP, Grouping.GUMBEL):
        keys = (correlation[seeds].double() + FLOOR).log() / settings.temperature
    if settings.kind in (Grouping.RANDOM, Grouping.GUMBEL):
        uniform = torch.rand(rows, units, generator=generator, device=device, dtype=torch.float64)
        keys = keys - (-uniform.clamp(min=1e-300).log()).log()
    keys = keys.scatter(1, seeds[:, None], torch.inf)
    group = torch.zeros(rows, units, dtype=torch.bool, device=device)
    return group.scatter(1, keys.topk(size, dim=1).indices, True)


def two_groups(
    correlation: Tensor, songs: int, settings: GroupingSettings, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """The units of view 1 and of view 2; one row for the whole batch or one for each song."""
    rows = songs if settings.seed_per_sample else 1
    first = first_group(correlation, rows, settings, generator)
    return first, ~first if settings.complementary else first_group(correlation, rows, settings, generator)
