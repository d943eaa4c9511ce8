"""The methods that are compared, by name: how each is made of its settings, and what of them a search may try."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from bcl_model.evaluation.answers import Method
from bcl_model.rivals.bcl import SPACE, trained
from bcl_model.rivals.ease import EaseSettings, by_words
from bcl_model.rivals.headroom import HeadroomSettings, headroom
from bcl_model.rivals.simple import at_random, content_neighbours, popularity, same
from bcl_model.settings import TrainSettings, section

Table: TypeAlias = Mapping[str, Any]  # settings as a TOML file holds them; what is left out keeps its default
Space: TypeAlias = Mapping[str, Sequence[Any]]  # setting, with its section ("ranking.temperature") -> values to try


@dataclass(frozen=True)
class Rival:
    make: Callable[[Table], Method]  # raises BadModelSettings for what it does not know
    space: Space = field(default_factory=dict)  # empty: nothing to tune


def plain(method: Method) -> Rival:
    """One without settings."""

    def make(table: Table) -> Method:
        section(_Nothing, table, "settings")
        return method

    return Rival(make)


@dataclass(frozen=True)
class _Nothing:
    pass


def _bcl(table: Table) -> Method:
    return trained(section(TrainSettings, table, "settings"))


def _ease(usual: EaseSettings) -> Rival:
    def make(table: Table) -> Method:
        return by_words(section(EaseSettings, {"fields": usual.fields, **table}, "settings"))

    return Rival(make, EASE_SPACE)


def _headroom(table: Table) -> Method:
    return headroom(section(HeadroomSettings, table, "settings"))


EASE_SPACE: Space = {"ridge": (30.0, 100.0, 300.0, 1000.0), "own": (0.5, 1.0, 2.0, 4.0)}

RIVALS: Mapping[str, Rival] = {
    "random": plain(at_random),
    "popularity": plain(popularity),
    "content": plain(content_neighbours),
    "artist": plain(same("artist")),
    "headroom": Rival(_headroom, {"neighbours": (20, 50, 100), "pairs.per_song": (20, 50, 100)}),
    "artist_ease": _ease(EaseSettings()),
    "artist_album_ease": _ease(EaseSettings(("artist", "album"))),
    "bcl": Rival(_bcl, SPACE),
}

TABLE: tuple[str, ...] = (  # what is compared on real data, in this order; files of config/models or RIVALS
    "random",
    "popularity",
    "content",
    "artist",
    "headroom",
    "artist_ease",
    "bpr",
    "rfm",
    "cfm",
    "bcl",
)
