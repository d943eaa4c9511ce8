"""Methods side by side over several splits: means with intervals, and how sure it is that one is better than another.

Three one-sided p-values, for two questions:

    seeds   is it so on other splits, trained again?  Paired t over seeds. Splits of one catalogue overlap, so the
            variance is corrected: (1/n + cold/warm) in place of 1/n (Nadeau, Bengio 2003).
    flips   the same question with no assumption but symmetry: all 2^n signs of the n differences. It cannot go below
            2^-n, .031 with five seeds, and is reported for that reason alone.
    units   is it so for other songs, models as they are?  Differences song by song (listener by listener) in all
            seeds, signs flipped at random. Songs of one artist share listeners, and a song may be cold in two seeds:
            so a unit is an artist, or one listener, and its differences are flipped together.

The interval of a mean is Student's over seeds; that of a difference has the corrected variance of `seeds`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy import stats

from bcl_model.evaluation.measures import Doubles, Judged, mean_of
from bcl_model.evaluation.trial import SONG, Bools, Ints, Split, groups_of, is_said

ARTIST = "artist"  # the field by which a cold song is of a known or of a new artist
DECILES = 10
FLIPS = 9_999
FLIPS_AT_ONCE = 500
ALL_FLIPS_TO = 12  # units; above, signs are drawn


@dataclass(frozen=True)
class Facts:
    """What is known of the cold songs of a split when answers are judged, (cold,) each."""

    unit: Ints
    decile: Ints  # of the popularity of its true neighbours; -1 where it has none
    is_new_artist: Bools | None  # None: songs do not say their artist
    overlap: float  # cold songs / warm songs

    @classmethod
    def of(cls, split: Split) -> "Facts":
        trial = split.trial
        has_artist = is_said(trial.contents, ARTIST)
        units = groups_of(trial.contents, ARTIST if has_artist else SONG)
        is_new = ~np.isin(units[trial.cold], units[trial.warm]) if has_artist else None
        return cls(units[trial.cold], deciles(split), is_new, len(trial.cold) / len(trial.warm))


def deciles(split: Split) -> Ints:
    """0 for the tenth of the cold songs whose true neighbours are the least played, 9 for the most."""
    plays = np.bincount(split.trial.known.songs, minlength=len(split.trial.contents))
    row = np.searchsorted(split.trial.cold, split.truth.songs)
    count = np.bincount(row, minlength=len(split.trial.cold))
    popularity = np.bincount(row, np.log1p(plays[split.truth.similar]), len(count)) / np.maximum(count, 1)
    has = np.flatnonzero(count)
    found = np.full(len(count), -1)
    found[has[np.argsort(popularity[has], kind="stable")]] = np.arange(len(has)) * DECILES // max(len(has), 1)
    return found


@dataclass(frozen=True)
class Round:
    """One split, judged."""

    seed: int
    facts: Facts
    judged: Mapping[str, Judged]  # by method


@dataclass(frozen=True)
class Estimate:
    mean: float
    low: float  # 95 %
    high: float

    @classmethod
    def of(cls, values: Sequence[float], overlap: float = 0.0) -> "Estimate":
        mean = float(np.mean(values))
        half = float(stats.t.ppf(0.975, len(values) - 1)) * _error(values, overlap) if len(values) > 1 else 0.0
        return cls(mean, mean - half, mean + half)


@dataclass(frozen=True)
class Better:
    """How much better a method is than a rival, and the p-values that it is not; None with a single seed."""

    difference: Estimate
    seeds: float | None
    flips: float | None
    units: float


@dataclass(frozen=True)
class Compared:
    rounds: Sequence[Round]

    @property
    def methods(self) -> list[str]:
        return list(self.rounds[0].judged)

    @property
    def measures(self) -> list[str]:
        return list(self.rounds[0].judged[self.methods[0]].means())

    def values(self, method: str, measure: str) -> list[float]:
        """One for each seed."""
        return [one.judged[method].means()[measure] for one in self.rounds]

    def estimate(self, method: str, measure: str) -> Estimate:
        return Estimate.of(self.values(method, measure))

    def by_decile(self, method: str, measure: str) -> list[Estimate | None]:
        """Of a measure of songs; None where no seed has a song."""
        return [_over(self._among(method, measure, self._in_decile(n))) for n in range(DECILES)]

    def gain_by_decile(self, method: str, rival: str, measure: str) -> list[Estimate | None]:
        """By how much the method is better, paired by seed."""
        gains = []
        for n in range(DECILES):
            own, other = (self._among(name, measure, self._in_decile(n)) for name in (method, rival))
            gains.append(_over([a - b for a, b in zip(own, other, strict=True)], self._overlap))
        return gains

    def by_artist(self, method: str, measure: str) -> dict[str, Estimate | None]:
        """Of cold songs whose artist has warm songs, and of those whose artist has none."""
        new = [one.facts.is_new_artist for one in self.rounds]
        chosen = {"known": [None if one is None else ~one for one in new], "new": new}
        return {name: _over(self._among(method, measure, of)) for name, of in chosen.items()}

    def songs_by_artist(self) -> dict[str, int]:
        """Cold songs over all seeds."""
        new = [one.facts.is_new_artist for one in self.rounds if one.facts.is_new_artist is not None]
        return {"known": int(sum((~one).sum() for one in new)), "new": int(sum(one.sum() for one in new))}

    def better(self, method: str, measure: str) -> dict[str, Better]:
        """The method against every other one."""
        rivals = [name for name in self.methods if name != method]
        units = self._p_over_units(method, rivals, measure) if rivals else []
        found = {}
        for rival, by_units in zip(rivals, units, strict=True):
            apart = np.subtract(self.values(method, measure), self.values(rival, measure)).tolist()
            several = len(apart) > 1
            found[rival] = Better(
                Estimate.of(apart, self._overlap),
                p_over_seeds(apart, self._overlap) if several else None,
                float(p_by_flips(np.array(apart)[:, None])[0]) if several else None,
                by_units,
            )
        return found

    @property
    def _overlap(self) -> float:
        return float(np.mean([one.facts.overlap for one in self.rounds]))

    def _in_decile(self, decile: int) -> list[Bools | None]:
        return [one.facts.decile == decile for one in self.rounds]

    def _among(self, method: str, measure: str, chosen: Sequence[Bools | None]) -> list[float]:
        """The mean over the chosen songs of each seed that has some."""
        found = []
        for one, these in zip(self.rounds, chosen, strict=True):
            values = one.judged[method].songs[measure]
            if these is not None and (~np.isnan(values[these])).any():
                found.append(mean_of(values[these]))
        return found

    def _p_over_units(self, method: str, rivals: Sequence[str], measure: str) -> list[float]:
        units, apart = [], []
        for one in self.rounds:
            of_songs = measure in one.judged[method].songs
            own, *others = (
                one.judged[name].songs[measure] if of_songs else one.judged[name].listeners[measure]
                for name in (method, *rivals)
            )
            asked = ~np.isnan(own)
            units.append((one.facts.unit if of_songs else np.arange(len(own)))[asked])
            apart.append(np.stack([own[asked] - other[asked] for other in others], axis=1))
        names, unit = np.unique(np.concatenate(units), return_inverse=True)
        sums = np.zeros((len(names), len(rivals)))
        np.add.at(sums, unit, np.concatenate(apart))
        return [float(p) for p in p_by_flips(sums)]


def p_over_seeds(apart: Sequence[float], overlap: float) -> float:
    """One-sided, that the mean of differences is above zero."""
    if not np.any(apart):
        return 1.0
    error = _error(apart, overlap)
    if error == 0:
        return 0.0 if np.mean(apart) > 0 else 1.0
    return float(stats.t.sf(np.mean(apart) / error, len(apart) - 1))


def p_by_flips(apart: Doubles) -> Doubles:
    """One-sided, of each column: how often random signs of the rows bring as high a sum. (units, rivals) -> (rivals,)

    Up to 12 rows all signs are tried; above, 9,999 draws and the signs as they are.
    """
    observed = apart.sum(axis=0)
    enough = observed - 1e-9 * np.abs(apart).sum(axis=0)  # equal sums in another order of addition are equal
    if len(apart) <= ALL_FLIPS_TO:
        signs = np.array(list(product((1.0, -1.0), repeat=len(apart))))
        p: Doubles = (signs @ apart >= enough).mean(axis=0)
        return p
    draw = np.random.default_rng([len(apart), 0xF11B])
    as_high = np.ones(apart.shape[1])
    for start in range(0, FLIPS, FLIPS_AT_ONCE):
        rows = min(FLIPS_AT_ONCE, FLIPS - start)
        bits = np.unpackbits(draw.integers(0, 256, (rows, (len(apart) + 7) // 8), np.uint8), axis=1)
        as_high += ((bits[:, : len(apart)] * 2.0 - 1.0) @ apart >= enough).sum(axis=0)
    return as_high / (FLIPS + 1)


def _error(values: Sequence[float], overlap: float) -> float:
    return float(np.std(values, ddof=1) * (1 / len(values) + overlap) ** 0.5)


def _over(values: Sequence[float], overlap: float = 0.0) -> Estimate | None:
    return Estimate.of(values, overlap) if values else None
