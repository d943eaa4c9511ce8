"""What the simulated listeners play, in the order of time, as blocks of columns and as bytes for Kafka.

A session is several songs in a row of one taste, at a time of day that suits the listener's zone. Which songs are met
follows popularity x taste, with some by favourite artists; whether a play is effective follows the appeal. Where more
plays per second are wanted than the listeners would make, all lives run faster: gaps shrink, sessions stay sessions.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from streams.contracts.plays import Play
from streams.contracts.targets import Target
from streams.world.draws import Ints, cumulated, found, laid_end_to_end
from streams.world.listeners import FAVOURITES, MARKET_NAMES, MOST_TASTES, Listeners
from streams.world.world import World, listened_to, listener_number, skipped_after

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
PLAYS_PER_SLICE = 65_536
_PLAYS_PER_DAY = 20  # of a listener left to their own pace
_SESSION_ENDS, _SESSION_MOST = 1 / 6, 20  # after each song with this chance, and for certain
_SESSION_MEAN = (1 - (1 - _SESSION_ENDS) ** _SESSION_MOST) / _SESSION_ENDS
_WARM_UP_MS = 15 * 60_000  # sessions that began before the stream does
_EXPOSURE = 0.6  # how far taste, in units of the appeal's logit, decides what is met
_OWN_CHOICE = 2.5  # a song one has chosen is played to the end more often than a pushed one
_FAVOURITE_SHARE = 0.12  # of the plays of a session
_NEW_SHARE = 0.04  # of the plays, where new songs are out
_HEART_SHARE = 0.12  # of effective plays
# How likely a session begins at each hour of the listener's day
_DAY = np.array(
    [0.25, 0.12, 0.07, 0.05, 0.06, 0.15, 0.4, 0.75, 0.85, 0.7, 0.65, 0.65,
     0.75, 0.7, 0.65, 0.7, 0.8, 0.95, 1.0, 0.95, 0.9, 0.85, 0.7, 0.45]
)  # fmt: skip


@dataclass(frozen=True)
class Plays:
    """Columns of equal length, in the order of time. A listener is its number, a song its row in the world."""

    listeners: Ints
    songs: Ints
    played_ms: Ints
    listened_ms: Ints
    song_ms: Ints
    liked: npt.NDArray[np.bool_]
    markets: npt.NDArray[np.int8]  # row of MARKET_NAMES
    stream: str = "p"  # play ids are this and the number of the play
    first: int = 0

    def __len__(self) -> int:
        return len(self.listeners)

    def effective(self, effective_s: float = 30, effective_share: float = 0.5) -> npt.NDArray[np.bool_]:
        return (self.listened_ms >= effective_s * 1000) | (self.listened_ms >= effective_share * self.song_ms)

    def take(self, at: npt.NDArray[Any] | slice) -> "Plays":
        return replace(self, **{column: getattr(self, column)[at] for column in _COLUMNS})

    @classmethod
    def joined(cls, parts: list["Plays"]) -> "Plays":
        together: dict[str, Any] = {
            column: np.concatenate([getattr(part, column) for part in parts]) for column in _COLUMNS
        }
        return replace(parts[0], **together)


_COLUMNS = tuple(field.name for field in fields(Plays))[:7]


class Playing:
    """Draws plays of a world. Holds what a draw needs: for every taste the chart of the songs that it meets."""

    def __init__(self, world: World, new_rows: Ints | None = None) -> None:
        self._world, self._new = world, np.zeros(0, dtype=np.int64) if new_rows is None else new_rows
        songs = world.catalogue
        self._catalogue = songs.catalogue
        self._charts = laid_end_to_end(_charts(world, np.arange(songs.catalogue)))
        if len(self._new):
            self._new_charts = laid_end_to_end(_charts(world, self._new))
        order = np.argsort(songs.artists[: songs.catalogue], kind="stable")
        self._by_artist = order
        self._of_artist = np.searchsorted(songs.artists[order], np.arange(len(world.artists.genres) + 1))

    def plays(self, from_ms: int, count: int, per_second: float) -> Iterator[Plays]:
        """Exactly `count` plays from a time on, about `per_second` of that time; the same for the same arguments."""
        speed = max(1.0, per_second * DAY_MS / 1000 / (self._world.settings.listeners * _PLAYS_PER_DAY))
        slice_ms = max(1.0, min(PLAYS_PER_SLICE / per_second * 1000, HOUR_MS))
        warm_up = int(np.ceil(_WARM_UP_MS / speed / slice_ms))
        stream, sent, waiting = f"p{from_ms:x}-", 0, None
        for number in range(-warm_up, 2**31):
            begin = from_ms + round(number * slice_ms)
            end = from_ms + round((number + 1) * slice_ms)
            rng = np.random.Generator(np.random.Philox(key=[self._world.settings.seed << 32 | number + 2**20, from_ms]))
            new = self._sessions(begin, end, per_second * (end - begin) / 1000, speed, rng)
            plays = new if waiting is None else Plays.joined([waiting, new])
            due = plays.played_ms < end
            waiting, plays = plays.take(~due), plays.take(due & (plays.played_ms >= from_ms))
            plays = plays.take(np.argsort(plays.played_ms, kind="stable")[: count - sent])
            if len(plays):
                yield replace(plays, stream=stream, first=sent)
            sent += len(plays)
            if sent == count:
                return

    def _sessions(self, begin: int, end: int, plays: float, speed: float, rng: np.random.Generator) -> Plays:
        """All plays of the sessions that begin between two times."""
        starts, who = self._begun(begin, end, rng.poisson(plays / _SESSION_MEAN), rng)
        lengths = np.minimum(rng.geometric(_SESSION_ENDS, size=len(who)), _SESSION_MOST)
        session = np.repeat(np.arange(len(who)), lengths)
        tastes = _taste_of_the_hour(who, rng)
        songs = self._met(tastes, who, session, rng)
        listeners = who.take(session)
        song_ms, drawn = self._world.catalogue.song_ms[songs], rng.random(len(songs))
        effective = self._effective(songs, listeners, rng)
        listened = np.where(effective, listened_to(drawn, song_ms), skipped_after(drawn))
        lasted = np.cumsum(listened + 2_000)
        first = np.concatenate([[0], np.cumsum(lengths)[:-1]]) if len(who) else lengths
        since = (lasted - listened - 2_000) - np.repeat((lasted - listened - 2_000)[first], lengths)
        return Plays(
            listeners=listeners.numbers,
            songs=songs,
            played_ms=starts[session] + (since / speed).astype(np.int64),
            listened_ms=listened,
            song_ms=song_ms,
            liked=effective & (rng.random(len(songs)) < _HEART_SHARE),
            markets=listeners.markets,
        )

    def _begun(self, begin: int, end: int, sessions: int, rng: np.random.Generator) -> tuple[Ints, Listeners]:
        """Who begins a session when: the busy ones more often, and hardly anyone at night."""
        population = self._world.population
        hours = (np.full(len(population.zone_offsets_ms), begin) + population.zone_offsets_ms) // HOUR_MS % 24
        awake = float(_DAY[hours] @ population.zone_shares)
        asked = population.drawn_by_activity(rng.random(round(sessions / awake)))
        starts = rng.integers(begin, max(end, begin + 1), size=len(asked))
        who = population.of(asked, begin)
        hour = (starts + population.zone_offsets_ms[who.zones]) // HOUR_MS % 24
        up = np.flatnonzero(rng.random(len(asked)) < _DAY[hour])
        return starts[up], who.take(up)

    def _met(self, tastes: Ints, who: Listeners, session: Ints, rng: np.random.Generator) -> Ints:
        """The song of each play: from the taste's chart, by a favourite artist, or new."""
        drawn, kind = rng.random(len(session)), rng.random(len(session))
        songs = found(self._charts, self._catalogue, tastes[session], drawn)
        of_favourite = np.flatnonzero(kind < _FAVOURITE_SHARE)
        which = rng.integers(FAVOURITES, size=len(of_favourite))
        artists = who.favourites[session[of_favourite], which]
        first, beyond = self._of_artist[artists], self._of_artist[artists + 1]
        at = first + (rng.random(len(artists)) * (beyond - first)).astype(np.int64)
        has_songs = beyond > first
        songs[of_favourite[has_songs]] = self._by_artist[at[has_songs]]
        if len(self._new):
            to_new = np.flatnonzero(kind >= 1 - _NEW_SHARE)
            songs[to_new] = self._new[found(self._new_charts, len(self._new), tastes[session[to_new]], drawn[to_new])]
        return songs

    def _effective(self, songs: Ints, listeners: Listeners, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
        """By the appeal; of a new song by the truth itself, so that who plays it on their own is a true fan."""
        logits = self._world.logits(songs, listeners) + np.float32(_OWN_CHOICE)
        effective: npt.NDArray[np.bool_] = rng.random(len(songs)) < 1 / (1 + np.exp(-logits))
        new = np.flatnonzero(songs >= self._catalogue)
        if len(new):
            effective[new] = self._world.would_like(songs[new], self._world.listeners(listeners.numbers[new]))
        return effective


def history(world: World, plays: int, days: int = 60) -> Iterator[Plays]:
    """What was played in the days before the start."""
    from_ms = world.settings.start_ms - days * DAY_MS
    for block in Playing(world).plays(from_ms, plays, plays / (days * DAY_MS / 1000)):
        yield block.take(block.played_ms < world.settings.start_ms)


def records(plays: Plays, song_ids: tuple[str, ...]) -> tuple[list[bytes], list[bytes]]:
    """Keys and JSON values as the player backend would publish them."""
    keys = [b"l%08d" % number for number in plays.listeners.tolist()]
    songs = [song_ids[row].encode() for row in plays.songs.tolist()]
    stream = plays.stream.encode()
    columns = zip(
        range(plays.first, plays.first + len(plays)),
        keys,
        songs,
        plays.played_ms.tolist(),
        plays.listened_ms.tolist(),
        plays.song_ms.tolist(),
        [b"true" if liked else b"false" for liked in plays.liked.tolist()],
        [_MARKETS[market] for market in plays.markets.tolist()],
        strict=True,
    )
    return keys, [_RECORD % (stream, *column) for column in columns]


_MARKETS = [name.encode() for name in MARKET_NAMES]
_RECORD = (
    b'{"play_id":"%b%d","listener_id":"%b","song_id":"%b","played_ms":%d,"listened_ms":%d,"song_ms":%d,'
    b'"liked":%b,"market":"%b"}'
)


def played_after_push(world: World, targets: list[Target]) -> list[Play]:
    """The plays that follow from pushes: each target's reaction is the truth's, whenever and how often it is asked."""
    if not targets:
        return []
    numbers = np.array([listener_number(target.listener_id) for target in targets])
    reactions = world.reactions([target.song_id for target in targets], numbers)
    return [
        Play(
            play_id=f"t-{target.target_id}",
            listener_id=target.listener_id,
            song_id=target.song_id,
            played_ms=target.not_before_ms + after,
            listened_ms=listened,
            song_ms=int(world.catalogue.song_ms[world.row_of(target.song_id)]),
            liked=liked,
            target_id=target.target_id,
        )
        for target, listened, liked, after in zip(
            targets,
            reactions.listened_ms.tolist(),
            reactions.liked.tolist(),
            reactions.after_ms.tolist(),
            strict=True,
        )
        if listened
    ]


def _charts(world: World, rows: Ints) -> npt.NDArray[np.float64]:
    songs = world.catalogue
    met = np.exp(_EXPOSURE * songs.affinity[rows].T.astype(np.float64)) * songs.popularity[rows]
    return cumulated(met)  # (T, songs)


def _taste_of_the_hour(who: Listeners, rng: np.random.Generator) -> Ints:
    sums = cumulated(np.exp(who.log_weights.astype(np.float64)))
    column = np.minimum((sums < rng.random((len(who), 1))).sum(axis=1), MOST_TASTES - 1)
    return np.take_along_axis(who.tastes, column[:, None], axis=1)[:, 0].astype(np.int64)
