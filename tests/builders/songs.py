"""Small catalogues with a known truth for the tests of the model."""

from collections.abc import Sequence

import numpy as np

from bcl_model.fields import Content, Field, Fields, Kind
from bcl_model.pairs import Interactions
from bcl_model.settings import (
    ContrastSettings,
    EncoderSettings,
    PairSettings,
    RankingSettings,
    RunSettings,
    TrainSettings,
)

FIELDS = Fields(
    (
        Field("language", Kind.TOKEN, 4),
        Field("genres", Kind.TOKENS, 4),
        Field("tempo", Kind.NUMBER, 4),
        Field("audio", Kind.VECTOR, 3),
    )
)


def content(
    language: str | None = "de",
    genres: Sequence[str] | None = ("rock", "pop"),
    tempo: float | None = 120.0,
    audio: Sequence[float] | None = (1.0, 2.0, 2.0),
) -> Content:
    attributes = {"language": language, "genres": None if genres is None else tuple(genres), "tempo": tempo}
    return Content(
        {name: value for name, value in attributes.items() if value is not None},
        {} if audio is None else {"audio": audio},
    )


def random_content(rng: np.random.Generator) -> Content:
    """Any field may be missing, and words may be new."""
    said = rng.random(4) < 0.85
    return content(
        f"l{rng.integers(5)}" if said[0] else None,
        [f"g{word}" for word in rng.integers(9, size=rng.integers(1, 5))] if said[1] else None,
        float(rng.normal(120, 20)) if said[2] else None,
        rng.normal(size=3).tolist() if said[3] else None,
    )


def world(
    songs: int = 300, listeners: int = 1200, tastes: int = 6, plays: int = 15, seed: int = 3
) -> tuple[list[Content], Interactions]:
    """Each song and each listener has one taste; five fields follow the taste, more or less, and plays do."""
    rng = np.random.default_rng(seed)
    taste = rng.integers(tastes, size=songs)
    centre = rng.normal(size=(tastes, 6))
    contents = [
        Content(
            {
                "language": f"l{own % 3}",
                "genre": f"g{own if rng.random() < 0.7 else rng.integers(tastes)}",
                "moods": (f"m{own % 2}", f"m{rng.integers(9)}"),
                "tempo": float(100 + 8 * own + rng.normal(0, 8)),
            },
            {"audio": (centre[own] + rng.normal(size=6)).tolist(), "lyrics": rng.normal(size=4).tolist()},
        )
        for own in taste
    ]
    popularity = rng.pareto(1.2, songs) + 0.2
    heard: list[np.ndarray] = []
    for liked in rng.integers(tastes, size=listeners):
        weight = popularity * np.where(taste == liked, 1.0, 0.01)
        heard.append(rng.choice(songs, size=plays, p=weight / weight.sum()))
    return contents, Interactions(np.repeat(np.arange(listeners), plays), np.concatenate(heard))


def quick(**run: object) -> TrainSettings:
    """A training run of a second or two, of BPR only."""
    usual: dict[str, object] = {"steps": 60, "pairs_per_step": 128, "validate_every": 20, "threads": 1}
    return TrainSettings(
        encoder=EncoderSettings((32, 16), (16,)),
        pairs=PairSettings(per_song=20, min_common=2),
        ranking=RankingSettings(negatives=32),
        contrast=ContrastSettings(weight=0.0),
        run=RunSettings(**(usual | run)),  # type: ignore[arg-type]
    )
