"""The simulated listeners: each is made from its number alone, so any of them is at hand and none is kept.

Activity needs an order (who plays how much) and a listener needs a random place in it: an affine permutation of the
numbers gives both, and with it a listener can be drawn in proportion to its activity without a list of all.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from math import gcd
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from streams.world.draws import Draws, Floats, Ints, cumulated, found, laid_end_to_end
from streams.world.scene import MARKET_SHARES, MARKETS, STYLE, Scene
from streams.world.songs import Artists, Songs

MOST_TASTES, FAVOURITES = 3, 2
NO_TASTE = -np.inf
ZONES = tuple(zone for zones, _, _ in MARKETS.values() for zone in zones)
MARKET_NAMES = tuple(MARKETS)
_TASTE_COUNTS = np.array([0.3, 0.4, 0.3])  # listeners with one, two, three tastes
_PERSONS = 65_536  # personal deviations to draw from; two listeners in 65,536 share one, with other tastes
_BEGIN, _STEEP = 0.01, 0.5  # activity falls as (place + .01)^-.5: the busiest play ten times as much as the idlest
_DRIFT, _YEAR_MS = 0.8, 31_556_952_000


@dataclass(frozen=True)
class Listeners:
    """Columns of some listeners, as they are at one time."""

    numbers: Ints
    tastes: npt.NDArray[np.int16]  # (n, MOST_TASTES)
    log_weights: npt.NDArray[np.float32]  # (n, MOST_TASTES), NO_TASTE where there are fewer; the heaviest is about 0
    markets: npt.NDArray[np.int8]
    zones: npt.NDArray[np.int8]
    persons: Ints  # row of the personal deviations
    favourites: npt.NDArray[np.int32]  # (n, FAVOURITES) artists

    def __len__(self) -> int:
        return len(self.numbers)

    def take(self, at: npt.NDArray[np.integer]) -> "Listeners":
        return Listeners(
            self.numbers[at],
            self.tastes[at],
            self.log_weights[at],
            self.markets[at],
            self.zones[at],
            self.persons[at],
            self.favourites[at],
        )


class Population:
    def __init__(self, scene: Scene, songs: Songs, artists: Artists, count: int, seed: int, start_ms: int) -> None:
        self.count = count
        self._draws = [Draws(seed, purpose) for purpose in range(10, 24)]
        self._market_sums = cumulated(MARKET_SHARES[None])
        self._taste_sums = laid_end_to_end(cumulated(scene.taste_shares))
        self._taste_count = scene.taste_shares.shape[1]
        self._zone_counts = np.array([len(zones) for zones, _, _ in MARKETS.values()])
        self._first_zones = np.cumsum(self._zone_counts) - self._zone_counts
        moment = datetime.fromtimestamp(start_ms / 1000, UTC)
        offsets = [ZoneInfo(zone).utcoffset(moment) for zone in ZONES]
        self.zone_offsets_ms = np.array(
            [int(offset.total_seconds() * 1000) for offset in offsets if offset is not None]
        )
        self.zone_shares = np.repeat(MARKET_SHARES / self._zone_counts, self._zone_counts)
        self.deviations = np.random.default_rng([seed, 30]).normal(size=(_PERSONS, STYLE)).astype(np.float32)
        self._favourite_sums = laid_end_to_end(cumulated(_fan_weights(songs, artists)))
        self._known_artists = artists.known
        self._multiplier = _coprime(count, seed)
        self._inverse = pow(self._multiplier, -1, count) if count > 1 else 0

    def of(self, numbers: Ints, at_ms: int) -> Listeners:
        draws, n = self._draws, len(numbers)
        markets = found(self._market_sums[0], len(MARKETS), np.zeros(n, dtype=np.int64), draws[0].uniform(numbers))
        within = (draws[1].uniform(numbers) * self._zone_counts[markets]).astype(np.int64)
        counts = 1 + np.searchsorted(np.cumsum(_TASTE_COUNTS)[:-1], draws[2].uniform(numbers), side="right")
        ranks = np.arange(MOST_TASTES)
        spread = draws[3].uniform(numbers[:, None], ranks)
        tastes = found(self._taste_sums, self._taste_count, markets[:, None], spread)
        phase = draws[4].uniform(numbers)[:, None] + ranks / MOST_TASTES + at_ms / _YEAR_MS
        weights = np.log(0.4 + draws[5].uniform(numbers[:, None], ranks)) + _DRIFT * np.sin(2 * np.pi * phase)
        weights[ranks >= counts[:, None]] = NO_TASTE
        weights -= weights.max(axis=1, keepdims=True)
        which = (draws[6].uniform(numbers[:, None], np.arange(FAVOURITES)) * counts[:, None]).astype(np.int64)
        favourites = found(
            self._favourite_sums,
            self._known_artists,
            np.take_along_axis(tastes, which, axis=1),
            draws[7].uniform(numbers[:, None], np.arange(FAVOURITES)),
        )
        return Listeners(
            numbers=numbers,
            tastes=tastes.astype(np.int16),
            log_weights=weights.astype(np.float32),
            markets=markets.astype(np.int8),
            zones=(self._first_zones[markets] + within).astype(np.int8),
            persons=(draws[8].uniform(numbers) * _PERSONS).astype(np.int64),
            favourites=favourites.astype(np.int32),
        )

    def drawn_by_activity(self, draws: Floats) -> Ints:
        """Numbers of listeners, the busy ones more often."""
        low, high = _BEGIN ** (1 - _STEEP), (1 + _BEGIN) ** (1 - _STEEP)
        places = (low + draws * (high - low)) ** (1 / (1 - _STEEP)) - _BEGIN
        ranks = np.minimum((places * self.count).astype(np.int64), self.count - 1)
        numbers: Ints = (ranks * self._multiplier + self._multiplier // 2) % self.count
        return numbers

    def activity(self, numbers: Ints) -> Floats:
        """How much a listener plays, 1 for the average."""
        ranks = (numbers - self._multiplier // 2) * self._inverse % self.count
        high, low = (1 + _BEGIN) ** (1 - _STEEP), _BEGIN ** (1 - _STEEP)
        mean = (high - low) / (1 - _STEEP)
        active: Floats = ((ranks + 0.5) / self.count + _BEGIN) ** -_STEEP / mean
        return active

    def draw(self, purpose: int, numbers: Ints) -> Floats:
        """For what is asked of few listeners: consent, quiet hours."""
        return self._draws[9 + purpose].uniform(numbers)


def _fan_weights(songs: Songs, artists: Artists) -> Floats:
    """(T, known artists): fans of an artist come from the tastes that its songs please."""
    catalogue = slice(0, songs.catalogue)
    pleased = np.exp(0.5 * songs.affinity[catalogue]) * songs.popularity[catalogue, None] ** 0.5
    weights = np.zeros((artists.known, pleased.shape[1]))
    np.add.at(weights, songs.artists[catalogue], pleased)
    return np.ascontiguousarray(weights.T) + 1e-12


def _coprime(count: int, seed: int) -> int:
    multiplier = int(count * 0.6180339887) + 2 * (seed % 97) + 1
    while gcd(multiplier, count) != 1:
        multiplier += 1
    return multiplier % count if count > 1 else 0
