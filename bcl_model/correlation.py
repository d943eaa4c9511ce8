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
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bcl_model.encoder import Batch
from bcl_model.errors import BadModelSettings
from bcl_model.fields import NONE, Field, Fields, Kind
from bcl_model.settings import CorrelationOn, CorrelationSettings, Estimator, FieldUnit

MOST_DISTANCES = 1 << 26  # in memory at once; many units are compared on fewer songs
MIN_SONGS = 4  # the U-centred form divides by n - 3


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


def rows_for(units: int, settings: CorrelationSettings) -> int:
    return min(settings.rows, int((MOST_DISTANCES / units) ** 0.5))


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
    covariance = _covariance(both, torch.einsum("abi,bai->ab", rows, rows), total * total.T, n, estimator)
    variance = _covariance(own, (rows * rows).sum(dim=2), total * total, n, estimator)
    scale = (variance * variance.T).clamp(min=0).sqrt()
    squared = torch.where(scale > 1e-12, covariance / scale.clamp(min=1e-300), 0.0)
    return torch.where(n >= MIN_SONGS, squared, torch.nan)


def _covariance(products: Tensor, rows: Tensor, totals: Tensor, n: Tensor, estimator: Estimator) -> Tensor:
    if estimator is Estimator.PLAIN:
        n = n.clamp(min=1)
        return products / n**2 - 2 * rows / n**3 + totals / n**4
    n = n.clamp(min=MIN_SONGS)
    return (products - 2 * rows / (n - 2) + totals / ((n - 1) * (n - 2))) / (n * (n - 3))


def distances_of(units: Sequence[Unit], batch: Batch, joined: Tensor, on: CorrelationOn) -> tuple[Tensor, Tensor]:
    """Distances within each unit and who has it: (units, songs, songs), (units, songs)."""
    present = torch.stack([batch[""][:, unit.place] > 0 for unit in units])
    if on is CorrelationOn.EMBEDDING:
        parts = [joined[:, unit.columns] for unit in units]
        return torch.stack([_euclidean(part) for part in parts]), present
    return torch.stack([_of_input(unit, batch, has) for unit, has in zip(units, present, strict=True)]), present


def _of_input(unit: Unit, batch: Batch, has: Tensor) -> Tensor:
    rows = batch[unit.field.name]
    if unit.field.has_words:
        return _between_sets(rows)
    if unit.field.kind is Kind.NUMBER:  # back from knot weights to one place between the quantiles
        knots = torch.arange(rows.shape[1], device=rows.device, dtype=rows.dtype)
        rows = (rows @ knots / rows.sum(dim=1).clamp(min=1e-12)).unsqueeze(1)
    else:
        rows = rows[:, unit.part]
    known = rows[has]
    if len(known) < 2:
        return torch.zeros(len(rows), len(rows), device=rows.device)
    return _euclidean((rows - known.mean(dim=0)) / known.std(dim=0).clamp(min=1e-12))


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


def scalar_covariance(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> float:
    """dCov² (plain) of two columns of numbers in O(n log² n) (Huo, Szekely 2016; Chaudhuri, Hu 2019)."""
    n = len(x)
    order = np.lexsort((y, x))
    x, y = x[order], y[order]
    rows_x, rows_y = _scalar_rows(x), _scalar_rows(y)
    below = _sums_below(y, np.stack([np.ones(n), x, y, x * y]))
    concordant = float((x * y * below[0] - y * below[1] - x * below[2] + below[3]).sum())
    signed = n * float(x @ y) - float(x.sum()) * float(y.sum())
    products = 2 * (2 * concordant - signed)
    return products / n**2 - 2 * float(rows_x @ rows_y) / n**3 + float(rows_x.sum()) * float(rows_y.sum()) / n**4


def scalar_correlation(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> float:
    """dCor (plain) of two columns of numbers."""
    scale = (scalar_covariance(x, x) * scalar_covariance(y, y)) ** 0.5
    return float((max(scalar_covariance(x, y), 0.0) / scale) ** 0.5) if scale > 0 else 0.0


def _scalar_rows(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Σ_j |x_i - x_j| for every i."""
    order = np.argsort(x, kind="stable")
    ascending = x[order]
    i, sums = np.arange(1, len(x) + 1), np.cumsum(ascending)
    rows = np.empty(len(x))
    rows[order] = (2 * i - len(x)) * ascending + sums[-1] - 2 * sums
    return rows


def _sums_below(y: npt.NDArray[np.float64], values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """For every i the sum of values[:, j] over j < i with y_j < y_i, by merging blocks of growing size."""
    n = len(y)
    sums = np.zeros_like(values)
    place = np.arange(n)
    size = 1
    while size < n:
        block, is_right = place // (2 * size), (place // size) % 2 == 1
        order = np.lexsort((~is_right, y, block))  # on equal y the right half first: it counts smaller ones only
        left = np.where(is_right[order], 0.0, values[:, order])
        before = np.cumsum(left, axis=1) - left
        start = np.searchsorted(block[order], block[order])
        inside = before - before[:, start]
        right = is_right[order]
        sums[:, order[right]] += inside[:, right]
        size *= 2
    return sums
