"""The simulated listening world: songs, listeners, what they play, and the truth of who would like what.

Everything here is simulated, and so is every figure that is measured on it. The appeal of a song for a listener is

    logit = max over the listener's tastes of ( affinity(song, taste) + pull · log weight(taste) )
          + personal deviation · style(song) + fan of the artist + quality(song) - base

and its sigmoid is the probability of an effective play when the song is pushed. Listeners are made from their numbers
when they are asked for; only the songs are kept.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from streams.contracts.listeners import ListenerSettings, QuietHours
from streams.contracts.releases import Release
from streams.world.draws import Draws, Floats, Ints
from streams.world.listeners import ZONES, Listeners, Population
from streams.world.scene import make_scene
from streams.world.songs import Content, Songs, make_artists, make_songs

LISTENERS_PER_BLOCK = 32_768
_PULL, _PERSONAL, _FAN = 0.6, 0.8, 1.5
_SAMPLE = 2_000  # listeners and songs on which the base of the logit is found


@dataclass(frozen=True)
class WorldSettings:
    listeners: int = 20_000
    songs: int = 5_000
    new_songs: int = 500  # that may be released after the start
    tastes: int = 40
    seed: int = 7
    popularity_exponent: float = 1.22  # plays of the song of rank r fall as r^-x; see the test of the Gini
    base_rate: float = 0.03  # of all pairs of song and listener, the share that is liked
    start_ms: int = 1_767_225_600_000  # 2026-01-01: history ends here and releases begin


@dataclass(frozen=True)
class Truth:
    """How the listeners `first`, `first` + 1 ... take one new song."""

    first: int
    probabilities: npt.NDArray[np.float32]  # of an effective play when pushed
    would_like: npt.NDArray[np.bool_]  # drawn with that probability, once and for all
    crowds: npt.NDArray[np.int16]  # the taste through which the song reaches the listener

    def __len__(self) -> int:
        return len(self.probabilities)


@dataclass(frozen=True)
class Reactions:
    """What becomes of pushes; columns of equal length. listened_ms 0: the push was ignored."""

    effective: npt.NDArray[np.bool_]
    listened_ms: Ints
    liked: npt.NDArray[np.bool_]
    after_ms: Ints


class World:
    def __init__(self, settings: WorldSettings | None = None) -> None:
        self.settings = chosen = settings or WorldSettings()
        seed = chosen.seed
        self.scene = make_scene(chosen.tastes, np.random.default_rng([seed, 1]))
        self.artists = make_artists(self.scene, chosen.songs, chosen.new_songs, np.random.default_rng([seed, 2]))
        self.catalogue: Songs = make_songs(
            self.scene,
            self.artists,
            chosen.songs,
            chosen.new_songs,
            chosen.popularity_exponent,
            chosen.start_ms,
            np.random.default_rng([seed, 3]),
        )
        self.population = Population(self.scene, self.catalogue, self.artists, chosen.listeners, seed, chosen.start_ms)
        self._content = Content(self.catalogue, self.artists, seed)
        self._styles = self.catalogue.styles.astype(np.float32)
        self._likes, self._listens, self._hearts, self._delays = (Draws(seed, purpose) for purpose in range(50, 54))
        self._base = self._found_base()

    # Songs

    def releases(self, rows: Ints) -> list[Release]:
        return self._content.releases(rows)

    def songs(self) -> Iterator[Release]:
        """The catalogue, oldest release first."""
        return (self._content.release(row) for row in range(self.settings.songs))

    def new_releases(self, count: int, first: int = 0) -> list[Release]:
        """Songs without a play, released at the start; a third of them by artists nobody knows."""
        if first + count > self.settings.new_songs:
            raise ValueError(f"{first + count} new songs are wanted, the world has {self.settings.new_songs}")
        return self._content.releases(self.new_rows(count, first))

    def new_rows(self, count: int, first: int = 0) -> Ints:
        return self.settings.songs + first + np.arange(count)

    def row_of(self, song_id: str) -> int:
        return self.catalogue.rows[song_id]

    # Listeners

    def listeners(self, numbers: Ints | None = None, at_ms: int | None = None) -> Listeners:
        """All of them where no numbers are given: for small worlds."""
        wanted = np.arange(self.settings.listeners) if numbers is None else numbers
        return self.population.of(wanted, self.settings.start_ms if at_ms is None else at_ms)

    def listener_settings(self, numbers: Ints | None = None) -> Iterator[ListenerSettings]:
        """What listeners have said: one in ten nothing at all, one in thirty no consent, one in five quiet hours."""
        every = np.arange(self.settings.listeners) if numbers is None else numbers
        for at in range(0, len(every), LISTENERS_PER_BLOCK):
            some = every[at : at + LISTENERS_PER_BLOCK]
            zones = self.listeners(some).zones.tolist()
            silent, consent, quiet = (self.population.draw(purpose, some).tolist() for purpose in range(3))
            for number, zone, says, agrees, hours in zip(some.tolist(), zones, silent, consent, quiet, strict=True):
                if says >= 0.1:
                    yield ListenerSettings(
                        listener_id=listener_id(number),
                        consent=agrees >= 1 / 30,
                        changed_ms=self.settings.start_ms - 1,
                        time_zone=ZONES[zone],
                        quiet_hours=QuietHours(from_minute=22 * 60, to_minute=7 * 60) if hours < 0.2 else None,
                    )

    # Truth

    def logits(self, rows: npt.NDArray[np.integer], listeners: Listeners) -> npt.NDArray[np.float32]:
        """The appeal of song rows[n] for listener n."""
        strongest: npt.NDArray[np.float32] = self._through_tastes(rows, listeners).max(axis=1)
        return strongest + self._beside_tastes(rows, listeners)

    def probabilities(self, rows: npt.NDArray[np.integer], listeners: Listeners) -> npt.NDArray[np.float32]:
        return _sigmoid(self.logits(rows, listeners))

    def would_like(self, rows: npt.NDArray[np.integer], listeners: Listeners) -> npt.NDArray[np.bool_]:
        """Listener n takes song rows[n] when it is pushed: a draw with that probability that never changes."""
        liked: npt.NDArray[np.bool_] = self._likes.uniform(listeners.numbers, rows) < self.probabilities(
            rows, listeners
        )
        return liked

    def truth(self, song_id: str) -> Iterator[Truth]:
        """All listeners in the order of their numbers, block by block."""
        row = self.row_of(song_id)
        for first in range(0, self.settings.listeners, LISTENERS_PER_BLOCK):
            numbers = np.arange(first, min(first + LISTENERS_PER_BLOCK, self.settings.listeners))
            yield self.truth_of(row, self.listeners(numbers))

    def truth_of(self, row: int, listeners: Listeners) -> Truth:
        rows = np.full(len(listeners), row)
        through = self._through_tastes(rows, listeners)
        by = through.argmax(axis=1)[:, None]
        strongest = np.take_along_axis(through, by, axis=1)[:, 0]
        probabilities = _sigmoid(strongest + self._beside_tastes(rows, listeners))
        return Truth(
            first=int(listeners.numbers[0]) if len(listeners) else 0,
            probabilities=probabilities,
            would_like=self._likes.uniform(listeners.numbers, rows) < probabilities,
            crowds=np.take_along_axis(listeners.tastes, by, axis=1)[:, 0],
        )

    def reactions(self, song_ids: Sequence[str], numbers: Ints) -> Reactions:
        """What listener numbers[n] does when song_ids[n] is pushed: always the same."""
        rows = np.array([self.row_of(song_id) for song_id in song_ids], dtype=np.int64)
        effective = self.would_like(rows, self.listeners(numbers))
        drawn, song_ms = self._listens.uniform(numbers, rows), self.catalogue.song_ms[rows]
        listened = np.where(effective, listened_to(drawn, song_ms), skipped_after(drawn))
        return Reactions(
            effective=effective,
            listened_ms=np.where(effective | (drawn < 0.5), listened, 0),
            liked=effective & (self._hearts.uniform(numbers, rows) < 0.3),
            after_ms=(self._delays.uniform(numbers, rows) ** 2 * 6 * 3_600_000).astype(np.int64) + 5_000,
        )

    def _through_tastes(self, rows: npt.NDArray[np.integer], listeners: Listeners) -> npt.NDArray[np.float32]:
        affinity: npt.NDArray[np.float32] = self.catalogue.affinity[rows[:, None], listeners.tastes]
        return affinity + np.float32(_PULL) * listeners.log_weights

    def _beside_tastes(self, rows: npt.NDArray[np.integer], listeners: Listeners) -> npt.NDArray[np.float32]:
        songs = self.catalogue
        personal = np.einsum("ns,ns->n", self.population.deviations[listeners.persons], self._styles[rows])
        by, guests = songs.artists[rows, None], songs.guests[rows, None]
        fan = ((listeners.favourites == by) | (listeners.favourites == guests)).any(axis=1)
        beside: npt.NDArray[np.float32] = (
            np.float32(_PERSONAL) * personal + np.float32(_FAN) * fan + songs.quality[rows] - np.float32(self._base)
        )
        return beside

    def _found_base(self) -> float:
        """So that `base_rate` of all pairs are liked."""
        self._base = 0.0
        rng = np.random.default_rng([self.settings.seed, 4])
        listeners = self.listeners(rng.integers(self.settings.listeners, size=_SAMPLE * 20))
        logits = self.logits(rng.integers(len(self.catalogue), size=len(listeners)), listeners)
        low, high = -20.0, 20.0
        for _ in range(40):
            middle = (low + high) / 2
            low, high = (middle, high) if _sigmoid(logits - middle).mean() > self.settings.base_rate else (low, middle)
        return low


def listener_id(number: int) -> str:
    return f"l{number:08d}"


def listener_number(listener_id: str) -> int:
    return int(listener_id[1:])


def listened_to(draws: Floats, song_ms: Ints) -> Ints:
    """Of an effective play: seven in ten hear it all, the others at least half."""
    return np.where(draws < 0.7, song_ms, song_ms * (0.5 + (draws - 0.7) / 0.6)).astype(np.int64)


def skipped_after(draws: Floats) -> Ints:
    """Of a play that is not effective: within 28 seconds, less than half of any song."""
    return (1_000 + draws * 27_000).astype(np.int64)


def _sigmoid(logits: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    probabilities: npt.NDArray[np.float32] = (1 / (1 + np.exp(-logits))).astype(np.float32)
    return probabilities
