"""Distance correlation: how much one part of the content tells of another, whatever their widths and shapes.

For distances a_ij, b_ij of n songs in two parts, with row sums a_i. and totals a_.. (Szekely, Rizzo, Bakirov):

    plain        dCov² = (1/n²) Σ a b - (2/n³) Σ_i a_i. b_i. + (1/n⁴) a_.. b_..
    U-centred    Ω     = [ Σ a b - 2/(n-2) Σ_i a_i. b_i. + a_.. b_.. / ((n-1)(n-2)) ] / (n(n-3))
    squared correlation of two parts = c(x,y) / sqrt( c(x,x) c(y,y) ), 0 where the root is 0

The plain form is biased: wide independent parts look correlated, the wider the more, and no average cures that. The
U-centred one is not, and may be negative. So the signed squares are averaged, and the root is taken at reading.

That BCL keeps a moving average of distance correlations is known from a third-party review of the paper. Estimator,
decay, interval and what is compared are our reconstruction; the paper does not publish them. On fixed inputs of a
fixed catalogue the average only settles at a constant: it moves where inputs drift, or on learned embeddings.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement, pairwise
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from bcl_model.encoder import Batch
from bcl_model.errors import BadModelSettings
from bcl_model.fields import NONE, Field, Fields, Kind
from bcl_model.scalars import own_sums_of, sums_of
from bcl_model.settings import CorrelationOn, CorrelationSettings, Estimator, FieldUnit

MOST_DISTANCES = 1 << 26  # in memory at once; many units are compared on fewer songs
MIN_SONGS = 4  # the U-centred form divides by n - 3

Sums: TypeAlias = tuple[Tensor, ...]  # (units, units) each: Σ a b, Σ_i a_i. b_i., a_.. b_..


@dataclass(frozen=True)
class Unit:
    """What is grouped and disturbed as one: a field, a chunk of a vector, or one dimension."""

    field: Field
    place: int  # of the field among the presence bits
    columns: slice  # in the joined fields
    part: slice  # within the field


def units_of(fields: Fields, settings: CorrelationSettings) -> list[Unit]:
    units = []
    for place, one in enumerate(fields.fields):
        start = fields.slices[one.name].start
        pieces = 1
        if settings.unit is FieldUnit.CHUNK and one.kind is Kind.VECTOR:
            pieces = min(settings.chunks, one.width)
        elif settings.unit is FieldUnit.DIMENSION and (
            one.kind is Kind.VECTOR or settings.on is CorrelationOn.EMBEDDING
        ):
            pieces = one.width
        cuts = [one.width * n // pieces for n in range(pieces + 1)]
        for left, right in pairwise(cuts):
            units.append(Unit(one, place, slice(start + left, start + right), slice(left, right)))
    return units


def estimate(units: Sequence[Unit], batch: Batch, joined: Tensor, settings: CorrelationSettings) -> Tensor:
    """Signed squares of all pairs of units, (units, units), as these songs show them."""
    if len(joined) > _rows_with_distances(units):
        present = torch.stack([_has(unit, batch) for unit in units])
        return squared_correlations_of_numbers(_numbers(units, batch), present, settings.estimator)
    distances, present = distances_of(units, batch, joined, settings.on)
    return squared_correlations(distances, present, settings.estimator)


def rows_for(units: Sequence[Unit], settings: CorrelationSettings) -> int:
    """As many songs as are asked for, where every unit is a number; else as many as distances have room for."""
    if are_numbers(units, settings.on):
        return settings.rows
    return min(settings.rows, _rows_with_distances(units))


def are_numbers(units: Sequence[Unit], on: CorrelationOn) -> bool:
    return on is CorrelationOn.INPUT and all(
        unit.field.kind is Kind.NUMBER or (unit.field.kind is Kind.VECTOR and unit.part.stop - unit.part.start == 1)
        for unit in units
    )


def _rows_with_distances(units: Sequence[Unit]) -> int:
    return int((MOST_DISTANCES / len(units)) ** 0.5)


def squared_correlations(distances: Tensor, present: Tensor, estimator: Estimator) -> Tensor:
    """Signed squares of all pairs, (units, units). distances: (units, songs, songs), present: (units, songs).

    A song that lacks one of two parts does not count for that pair; a pair with fewer than 4 songs left is NaN.
    """
    a = distances.double()  # (units, songs, songs)
    if not present.all():
        a = a * (present.unsqueeze(2) & present.unsqueeze(1))
    has = present.double()
    rows = (a @ has.T).transpose(1, 2) * has  # (units, units, songs): row sums of part a over the songs that have both
    total = rows.sum(dim=2)  # (units, units)
    n = has @ has.T
    both = a.flatten(1) @ a.flatten(1).T  # Σ a b; what b lacks is zero there
    own = (((a * a) @ has.T) * has.T).sum(dim=1)
    sums = (both, torch.einsum("abi,bai->ab", rows, rows), total * total.T)
    return _squared(sums, (own, (rows * rows).sum(dim=2), total * total), n, estimator)


def squared_correlations_of_numbers(numbers: Tensor, present: Tensor, estimator: Estimator) -> Tensor:
    """The same of units that are one number each, (units, songs), without a table of distances."""
    columns, has = numbers.double().cpu().numpy(), present.cpu().numpy()
    sums, own = np.zeros((2, 3, len(columns), len(columns)))
    for i, j in combinations_with_replacement(range(len(columns)), 2):
        both = has[i] & has[j]
        x, y = columns[i, both], columns[j, both]
        own[:, i, j], own[:, j, i] = own_sums_of(x), own_sums_of(y)
        sums[:, i, j] = sums[:, j, i] = sums_of(x, y) if i != j else own_sums_of(x)
    n = present.double() @ present.double().T
    of_pairs, of_each = (torch.from_numpy(one).to(n.device) for one in (sums, own))
    return _squared(of_pairs.unbind(), of_each.unbind(), n, estimator)


def _squared(sums: Sums, own: Sums, n: Tensor, estimator: Estimator) -> Tensor:
    """From the sums of two parts, and of each part alone over the songs that have both."""
    covariance, variance = _covariance(sums, n, estimator), _covariance(own, n, estimator)
    scale = (variance * variance.T).clamp(min=0).sqrt()
    squared = torch.where(scale > 1e-12, covariance / scale.clamp(min=1e-300), 0.0)
    return torch.where(n >= MIN_SONGS, squared, torch.nan)


def _covariance(sums: Sums, n: Tensor, estimator: Estimator) -> Tensor:
    products, rows, totals = sums
    if estimator is Estimator.PLAIN:
        n = n.clamp(min=1)
        return products / n**2 - 2 * rows / n**3 + totals / n**4
    n = n.clamp(min=MIN_SONGS)
    return (products - 2 * rows / (n - 2) + totals / ((n - 1) * (n - 2))) / (n * (n - 3))


def distances_of(units: Sequence[Unit], batch: Batch, joined: Tensor, on: CorrelationOn) -> tuple[Tensor, Tensor]:
    """Distances within each unit and who has it: (units, songs, songs), (units, songs)."""
    present = torch.stack([_has(unit, batch) for unit in units])
    if on is CorrelationOn.EMBEDDING:
        parts = [joined[:, unit.columns] for unit in units]
        return torch.stack([_euclidean(part) for part in parts]), present
    return torch.stack([_of_input(unit, batch, has) for unit, has in zip(units, present, strict=True)]), present


def _of_input(unit: Unit, batch: Batch, has: Tensor) -> Tensor:
    if unit.field.has_words:
        return _between_sets(batch[unit.field.name])
    rows = _values(unit, batch)
    known = rows[has]
    if len(known) < 2:
        return torch.zeros(len(rows), len(rows), device=rows.device)
    return _euclidean((rows - known.mean(dim=0)) / known.std(dim=0).clamp(min=1e-12))


def _has(unit: Unit, batch: Batch) -> Tensor:
    return batch[""][:, unit.place] > 0


def _numbers(units: Sequence[Unit], batch: Batch) -> Tensor:
    """(units, songs)"""
    return torch.stack([_values(unit, batch)[:, 0] for unit in units])


def _values(unit: Unit, batch: Batch) -> Tensor:
    """Of a number or of part of a vector, (songs, width)."""
    rows = batch[unit.field.name]
    if unit.field.kind is not Kind.NUMBER:
        return rows[:, unit.part]
    knots = torch.arange(rows.shape[1], device=rows.device, dtype=rows.dtype)
    return (rows @ knots / rows.sum(dim=1).clamp(min=1e-12)).unsqueeze(1)  # its place between the quantiles


def _between_sets(words: Tensor) -> Tensor:
    """Distance of two sets of words as unit vectors over the vocabulary: sqrt(2 - 2 |A ∩ B| / sqrt(|A| |B|))."""
    sizes = (words != NONE).sum(dim=1).clamp(min=1).double()
    common = torch.zeros(len(words), len(words), dtype=torch.float64, device=words.device)
    for column in words.T:
        common += ((column[:, None, None] == words[None]) & (column != NONE)[:, None, None]).sum(dim=2)
    return (2 - 2 * common / (sizes[:, None] * sizes[None]).sqrt()).clamp(min=0).sqrt()


def _euclidean(rows: Tensor) -> Tensor:
    rows = rows.double()
    return torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist")


class RunningCorrelation:
    """C <- decay C + (1 - decay) Ĉ on the signed squares; the first estimate is taken whole."""

    def __init__(self, decay: float) -> None:
        if not 0 <= decay < 1:
            raise BadModelSettings(f"correlation.decay is {decay}, the weight of the old matrix: at least 0, below 1")
        self.decay = decay
        self.signed: Tensor | None = None

    def update(self, estimate: Tensor) -> None:
        if self.signed is None:
            self.signed = estimate.nan_to_num(0.0)
        else:
            mixed = self.decay * self.signed + (1 - self.decay) * estimate
            self.signed = torch.where(estimate.isnan(), self.signed, mixed)  # nothing learned of a pair: keep the old

    def read(self) -> Tensor:
        """The correlations, (units, units), in [0, 1] but for noise."""
        if self.signed is None:
            raise ValueError("no estimate was given yet")
        return self.signed.clamp(min=0).sqrt()
