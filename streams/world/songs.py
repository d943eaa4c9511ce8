"""The simulated catalogue: artists, songs and what a release says of them. Every title and artist is invented.

artist  -> genre, style, language, label (by genre and language), first era
song    -> style of its artist(s), era, tempo (by genre), mood (by genre and tempo), instrumental (by genre)
content -> audio  = noisy nonlinear function of style and tempo
           lyric  = noisy function of language and mood; none without words
           title  = the same and noisier; some fields are missing
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from streams.contracts.releases import Release
from streams.world.draws import cumulated
from streams.world.scene import (
    ERAS,
    GENRE_INSTRUMENTAL,
    GENRE_SHARES,
    GENRE_TEMPOS,
    GENRES,
    LABELS,
    LANGUAGE_SHARES,
    LANGUAGES,
    MOOD_TEMPOS,
    MOODS,
    STYLE,
    Array,
    Ints,
    Scene,
    minds_era,
    units,
)

YEAR_MS = 31_556_952_000
NO_WORDS = len(LANGUAGES)  # the language of a song without words
_EVENED = 0.8  # songs are made for somebody: one far from all tastes is liked by more than its distance says
AUDIO, LYRIC, TITLE = 32, 24, 16  # sizes of the vectors
SONGS_PER_ARTIST = 8
_HEAD = 0.004  # of the catalogue: the first ranks share the top, so that no single song has all plays
_TASTE_SLOPE = 10.0  # logit for each unit of cosine between song and taste
_MISSING = {"label": 0.1, "mood": 0.15, "tempo": 0.05, "duration": 0.02, "title": 0.05, "era": 0.03}
_FIRST = ("Blue", "Silent", "Golden", "Broken", "Electric", "Hidden", "Last", "Little", "Midnight", "Northern", "Paper",
          "Slow", "Summer", "Velvet", "Wild", "Winter")  # fmt: skip
_SECOND = ("Avenue", "Bird", "City", "Dance", "Echo", "Fire", "Garden", "Heart", "Island", "Letter", "Mirror", "Night",
           "Ocean", "Road", "Season", "Window")  # fmt: skip


@dataclass(frozen=True)
class Artists:
    genres: Ints
    styles: Array  # (artists, STYLE)
    languages: Ints
    labels: Ints
    first_eras: Ints
    popularity: Array
    known: int  # the first ones; the others begin with a new release


@dataclass(frozen=True)
class Songs:
    """Columns by row: first the catalogue in the order of its releases, then the new songs."""

    ids: tuple[str, ...]
    catalogue: int  # rows from here on are new
    artists: Ints
    guests: Ints  # the second artist of a joint song, -1 where there is none
    styles: Array  # (songs, STYLE), unit length: what the content shows
    eras: Ints  # row of ERAS
    languages: Ints  # NO_WORDS for an instrumental
    moods: Ints
    tempos: Array
    song_ms: Ints
    quality: npt.NDArray[np.float32]  # adds to the logit of appeal
    popularity: Array  # share of the plays that it would get if tastes did not matter
    affinity: npt.NDArray[np.float32]  # (songs, T), the taste's part of the logit
    released_ms: Ints

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def rows(self) -> dict[str, int]:
        return {song_id: row for row, song_id in enumerate(self.ids)}


def make_artists(scene: Scene, songs: int, new: int, rng: np.random.Generator) -> Artists:
    known = max(LABELS, songs // SONGS_PER_ARTIST)
    count = known + max(1, new // 3)
    genres = rng.choice(len(GENRES), size=count, p=GENRE_SHARES)
    languages = rng.choice(len(LANGUAGES), size=count, p=LANGUAGE_SHARES)
    leaning = np.exp(scene.label_genres[:, genres] + scene.label_languages[:, languages]).T * scene.label_sizes
    labels = (cumulated(leaning) < rng.random((count, 1))).sum(axis=1)
    first_eras = np.minimum(rng.integers(0, len(ERAS) + 2, size=count), len(ERAS) - 1)
    first_eras[known:] = len(ERAS) - 1
    return Artists(
        genres=genres,
        styles=units(scene.genres[genres] + units(rng.normal(size=(count, STYLE))) * 0.7),
        languages=languages,
        labels=np.minimum(labels, LABELS - 1),
        first_eras=first_eras,
        popularity=rng.pareto(1.3, size=count) + 0.2,
        known=known,
    )


def make_songs(
    scene: Scene, artists: Artists, songs: int, new: int, exponent: float, start_ms: int, rng: np.random.Generator
) -> Songs:
    count = songs + new
    is_new = np.arange(count) >= songs
    by = rng.choice(artists.known, size=count, p=_shares(artists.popularity[: artists.known] ** 0.5))
    newcomer = is_new & (rng.random(count) < 0.35)
    by[newcomer] = rng.integers(artists.known, len(artists.genres), size=int(newcomer.sum()))
    guests = rng.choice(artists.known, size=count)
    guests[(rng.random(count) >= 0.15) | (guests == by)] = -1
    joint = guests >= 0

    genres, languages = artists.genres[by], artists.languages[by].copy()
    eras = rng.integers(artists.first_eras[by], len(ERAS))
    eras[is_new] = len(ERAS) - 1
    tempos = np.clip(GENRE_TEMPOS[genres] + rng.normal(size=count) * 14, 50, 200)
    haste = (tempos - 110) / 30
    leaning = np.exp(scene.genre_moods[genres] + haste[:, None] * MOOD_TEMPOS)
    moods = np.minimum((cumulated(leaning) < rng.random((count, 1))).sum(axis=1), len(MOODS) - 1)
    languages[rng.random(count) < GENRE_INSTRUMENTAL[genres]] = NO_WORDS

    deviation = units(rng.normal(size=(count, STYLE))) * 0.45 + scene.moods[moods] * 0.35
    own = units(artists.styles[by] + deviation)
    other = units(artists.styles[guests] + deviation)  # a joint song has a side for the fans of either artist
    affinity = _affinity(scene, own, languages, eras)
    affinity[joint] = np.maximum(affinity[joint], _affinity(scene, other[joint], languages[joint], eras[joint]) - 0.5)
    affinity -= _EVENED * _log_mean_exp(affinity, scene.taste_shares.mean(axis=0))
    quality = rng.normal(size=count) * 0.5

    ages_ms = np.sort(rng.random(songs))[::-1] * 9 * YEAR_MS  # on this service for at most nine years
    return Songs(
        ids=tuple([f"s{n:07d}" for n in range(songs)] + [f"n{n:07d}" for n in range(new)]),
        catalogue=songs,
        artists=by,
        guests=guests,
        styles=np.where(joint[:, None], units(own + other * 0.8), own),
        eras=eras,
        languages=languages,
        moods=moods,
        tempos=tempos,
        song_ms=(rng.normal(205, 40, size=count).clip(95, 420) * 1000).astype(np.int64),
        quality=quality.astype(np.float32),
        popularity=_popularity(artists.popularity[by], quality, songs, exponent, rng),
        affinity=affinity.astype(np.float32),
        released_ms=np.concatenate([start_ms - ages_ms - 1, np.full(new, start_ms)]).astype(np.int64),
    )


def _affinity(scene: Scene, styles: Array, languages: Ints, eras: Ints) -> Array:
    near: Array = _TASTE_SLOPE * (styles @ scene.tastes.T)  # (songs, STYLE) @ (STYLE, T) -> (songs, T)
    return near - scene.language_distance[languages] - minds_era(scene, eras)


def _log_mean_exp(logits: Array, weights: Array) -> Array:
    """Column of how broadly each song pleases: log Σ weight exp(logit)."""
    highest = logits.max(axis=1, keepdims=True)
    mean: Array = highest + np.log(np.exp(logits - highest) @ weights)[:, None]
    return mean


def _popularity(of_artist: Array, quality: Array, songs: int, exponent: float, rng: np.random.Generator) -> Array:
    """A power law over the catalogue's ranks; who ranks high is known by the artist, the quality, and luck."""
    luck = np.log(of_artist) + quality + rng.normal(size=len(quality))
    weights = np.empty(len(luck))
    weights[np.argsort(-luck[:songs])] = (np.arange(songs) + _HEAD * songs) ** -exponent
    if len(luck) > songs:
        new = np.exp(luck[songs:])
        weights[songs:] = new / new.sum()  # new songs share among themselves what is played of new songs
    weights[:songs] /= weights[:songs].sum()
    return weights


def _shares(weights: Array) -> Array:
    shares: Array = weights / weights.sum()
    return shares


class Content:
    """What releases say of songs: attributes and vectors, noisy and in part missing, made for the rows asked for."""

    def __init__(self, songs: Songs, artists: Artists, seed: int) -> None:
        self._songs, self._artists, self._seed = songs, artists, seed
        rng = np.random.default_rng([seed, 41])
        hidden = 48
        self._audio_in, self._audio_out = rng.normal(size=(STYLE + 2, hidden)), rng.normal(size=(hidden, AUDIO))
        self._audio_out /= np.sqrt(hidden)
        words = len(LANGUAGES) * len(MOODS)
        self._lyrics, self._titles = rng.normal(size=(words, LYRIC)), rng.normal(size=(words, TITLE))
        self._language_of_lyrics = rng.normal(size=(len(LANGUAGES), LYRIC))

    def release(self, row: int) -> Release:
        return self.releases(np.array([row]))[0]

    def releases(self, rows: Sequence[int] | Ints) -> list[Release]:
        return [self._release(int(row)) for row in rows]

    def _release(self, row: int) -> Release:
        songs = self._songs
        rng = np.random.default_rng([self._seed, 42, row])
        by = [int(songs.artists[row])] + [int(songs.guests[row])] * bool(songs.guests[row] >= 0)
        artist_ids = tuple(f"a{artist:06d}" for artist in by)
        genres = tuple(dict.fromkeys(GENRES[self._artists.genres[artist]] for artist in by))
        attributes: dict[str, str | tuple[str, ...] | float] = {
            "genre": genres,
            "artist": artist_ids,
            "era": f"{ERAS[songs.eras[row]]}s",
            "label": f"label-{self._artists.labels[by[0]]:02d}",
            "mood": MOODS[songs.moods[row]],
            "tempo": round(float(songs.tempos[row]), 1),
            "duration": round(float(songs.song_ms[row]) / 1000, 1),
        }
        vectors = {"audio": _numbers(self._audio(row, rng)), "title": _numbers(self._title(row, rng))}
        if songs.languages[row] != NO_WORDS:
            attributes["language"] = LANGUAGES[songs.languages[row]]
            vectors["lyric"] = _numbers(self._lyric(row, rng))
        for name, share in _MISSING.items():
            if rng.random() < share:
                attributes.pop(name, None)
                vectors.pop(name, None)
        title = f"{_FIRST[rng.integers(len(_FIRST))]} {_SECOND[rng.integers(len(_SECOND))]} {row}"
        return Release(
            song_id=songs.ids[row],
            released_ms=int(songs.released_ms[row]),
            title=title,
            artist_ids=artist_ids,
            attributes=attributes,
            vectors=vectors,
        )

    def _audio(self, row: int, rng: np.random.Generator) -> Array:
        haste = (self._songs.tempos[row] - 110) / 30
        heard = np.concatenate([self._songs.styles[row] * 2, [haste * 0.5, self._songs.eras[row] / 3 - 1]])
        audio: Array = np.tanh(heard @ self._audio_in) @ self._audio_out + rng.normal(size=AUDIO) * 0.35
        return audio

    def _words(self, row: int) -> int:
        language = min(int(self._songs.languages[row]), len(LANGUAGES) - 1)
        return language * len(MOODS) + int(self._songs.moods[row])

    def _lyric(self, row: int, rng: np.random.Generator) -> Array:
        spoken = self._language_of_lyrics[self._songs.languages[row]] * 1.5
        lyric: Array = self._lyrics[self._words(row)] + spoken + rng.normal(size=LYRIC) * 0.8
        return lyric

    def _title(self, row: int, rng: np.random.Generator) -> Array:
        title: Array = self._titles[self._words(row)] + rng.normal(size=TITLE) * 1.6
        return title


def _numbers(vector: Array) -> tuple[float, ...]:
    return tuple(np.round(vector, 4).tolist())
