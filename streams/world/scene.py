"""What the simulated world is made of before any song or listener: markets, languages, genres, labels and tastes.

All of it is invented. Genres and tastes are directions of one latent space of style; nobody but the world sees it.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]

STYLE = 16  # dimensions of the latent space

LANGUAGES = ("en", "zh", "es", "pt", "fr", "de", "ja", "ko")
ENGLISH = 0
LANGUAGE_SHARES = np.array([0.34, 0.16, 0.14, 0.09, 0.08, 0.07, 0.07, 0.05])
GENRES = (
    "pop", "rock", "hip-hop", "electronic", "folk", "jazz", "classical",
    "r-and-b", "metal", "country", "latin", "ambient", "punk", "soundtrack",
)  # fmt: skip
GENRE_SHARES = np.array([0.2, 0.14, 0.13, 0.1, 0.08, 0.05, 0.04, 0.07, 0.05, 0.05, 0.04, 0.02, 0.02, 0.01])
GENRE_TEMPOS = np.array([112.0, 124, 92, 128, 100, 110, 90, 86, 150, 108, 98, 72, 168, 84])
GENRE_INSTRUMENTAL = np.array([0.0, 0.02, 0.02, 0.3, 0.04, 0.45, 0.85, 0.0, 0.05, 0.01, 0.03, 0.9, 0.0, 0.8])
MOODS = ("happy", "sad", "calm", "angry", "romantic", "dark", "party", "dreamy")
MOOD_TEMPOS = np.array([0.8, -0.9, -1.3, 1.2, -0.5, 0.0, 1.3, -0.6])  # how much a fast song leans to the mood
ERAS = (1970, 1980, 1990, 2000, 2010, 2020)
LABELS = 40
# market: time zones, and how its listeners' tastes lean to languages other than English
MARKETS: dict[str, tuple[tuple[str, ...], tuple[str, ...], float]] = {
    "US": (("America/New_York", "America/Chicago", "America/Los_Angeles"), ("en", "es"), 0.24),
    "GB": (("Europe/London",), ("en",), 0.09),
    "CN": (("Asia/Shanghai",), ("zh",), 0.2),
    "MX": (("America/Mexico_City",), ("es",), 0.1),
    "BR": (("America/Sao_Paulo", "America/Manaus"), ("pt",), 0.1),
    "FR": (("Europe/Paris",), ("fr",), 0.08),
    "DE": (("Europe/Berlin",), ("de",), 0.08),
    "JP": (("Asia/Tokyo",), ("ja",), 0.07),
    "KR": (("Asia/Seoul",), ("ko",), 0.04),
}
MARKET_SHARES = np.array([share for _, _, share in MARKETS.values()])

# In units of the appeal's logit: how much a taste minds another language, and each decade between song and taste.
_MINDS_ENGLISH, _MINDS_OTHER, _MINDS_DECADE = 0.8, 2.2, 0.35


@dataclass(frozen=True)
class Scene:
    genres: Array  # (genres, STYLE), unit length
    moods: Array  # (moods, STYLE), unit length
    genre_moods: Array  # (genres, moods), a leaning
    label_genres: Array  # (labels, genres), a leaning
    label_languages: Array  # (labels, languages), a leaning
    label_sizes: Array
    tastes: Array  # (T, STYLE), unit length
    taste_languages: Ints  # (T,)
    taste_eras: Array  # (T,), decades since 1970
    language_distance: Array  # (languages + 1, T): the last row is the song without words
    taste_shares: Array  # (markets, T), rows sum to 1


def make_scene(tastes: int, rng: np.random.Generator) -> Scene:
    genres = units(rng.normal(size=(len(GENRES), STYLE)))
    taste_genres = np.concatenate(
        [np.arange(len(GENRES)), rng.choice(len(GENRES), size=max(0, tastes - len(GENRES)), p=GENRE_SHARES)]
    )[:tastes]
    centres = units(genres[taste_genres] + units(rng.normal(size=(tastes, STYLE))) * 0.65)
    languages = rng.choice(len(LANGUAGES), size=tastes, p=LANGUAGE_SHARES)
    distance = np.full((len(LANGUAGES) + 1, tastes), _MINDS_OTHER)
    distance[ENGLISH] = _MINDS_ENGLISH
    distance[languages, np.arange(tastes)] = 0.0
    distance[-1] = 0.3
    leaning = np.full((len(MARKETS), len(LANGUAGES)), 0.05)
    leaning[:, ENGLISH] = 0.5
    for market, (_, spoken, _) in enumerate(MARKETS.values()):
        for language in spoken:
            leaning[market, LANGUAGES.index(language)] = 1.5
    shares = leaning[:, languages] * rng.gamma(2.0, size=tastes)  # some tastes are common, some rare
    return Scene(
        genres=genres,
        moods=units(rng.normal(size=(len(MOODS), STYLE))),
        genre_moods=rng.normal(size=(len(GENRES), len(MOODS))) * 1.2,
        label_genres=rng.normal(size=(LABELS, len(GENRES))) * 1.5,
        label_languages=rng.normal(size=(LABELS, len(LANGUAGES))) * 1.5,
        label_sizes=rng.pareto(1.5, size=LABELS) + 0.3,
        tastes=centres,
        taste_languages=languages,
        taste_eras=np.clip(rng.normal(4.0, 1.3, size=tastes), 0, len(ERAS) - 1),
        language_distance=distance,
        taste_shares=shares / shares.sum(axis=1, keepdims=True),
    )


def minds_era(scene: Scene, eras: Ints) -> Array:
    """(songs, T), in units of the logit."""
    distance: Array = _MINDS_DECADE * np.abs(eras[:, None] - scene.taste_eras)
    return distance


def units(rows: Array) -> Array:
    lengths: Array = rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12)
    return lengths
