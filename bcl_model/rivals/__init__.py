"""The methods that are compared, by name: how each is made of its settings, and what of them a search may try."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from bcl_model.evaluation.answers import Method
from bcl_model.rivals.bcl import SPACE, trained
from bcl_model.rivals.ease import EaseSettings, by_words
from bcl_model.rivals.headroom import HeadroomSettings, headroom
from bcl_model.rivals.means import MeansSettings, means
from bcl_model.rivals.simple import at_random, content_neighbours, popularity, same
from bcl_model.settings import TrainSettings, section

Table: TypeAlias = Mapping[str, Any]  # settings as a TOML file holds them; what is left out keeps its default
Space: TypeAlias = Mapping[str, Sequence[Any]]  # setting, with its section ("ranking.temperature") -> values to try


@dataclass(frozen=True)
class Rival:
    make: Callable[[Table], Method]  # raises BadModelSettings for what it does not know
    space: Space = field(default_factory=dict)  # empty: nothing to tune

    def space_of(self, table: Table) -> Space:
        """What a search may try beside these settings: a section of weight 0 is switched off and stays so."""
        off = {name for name, of in table.items() if isinstance(of, Mapping) and of.get("weight") == 0}
        return {key: values for key, values in self.space.items() if key.split(".")[0] not in off}


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


def _means(usual: MeansSettings) -> Rival:
    def make(table: Table) -> Method:
        return means(section(MeansSettings, {"fields": usual.fields, **table}, "settings"))

    return Rival(make, {"dimension": (32, 64, 128, 256)})


def _dropout_net(table: Table) -> Method:
    from bcl_model.rivals.dropout_net import DropoutNetSettings, dropout_net  # the simple methods need no torch

    return dropout_net(section(DropoutNetSettings, table, "settings"))


def _clcrec(table: Table) -> Method:
    from bcl_model.rivals.clcrec import ClcRecSettings, clcrec  # the simple methods need no torch

    return clcrec(section(ClcRecSettings, table, "settings"))


EASE_SPACE: Space = {"ridge": (30.0, 100.0, 300.0, 1000.0), "own": (0.5, 1.0, 2.0, 4.0)}
DROPOUT_NET_SPACE: Space = {
    "dropout": (0.7, 0.8, 0.9),
    "dimension": (64, 128),
    "learning_rate": (2e-3, 5e-3, 1e-2),
}
CLCREC_SPACE: Space = {
    "temperature": (0.1, 0.2, 0.5),
    "weight": (0.1, 0.5, 0.9),
    "learning_rate": (5e-3, 1e-2, 2e-2),
}

RIVALS: Mapping[str, Rival] = {
    "random": plain(at_random),
    "popularity": plain(popularity),
    "content": plain(content_neighbours),
    "artist": plain(same("artist")),
    "artist_mean": _means(MeansSettings()),
    "artist_album_mean": _means(MeansSettings(("artist", "album"))),
    "dropout_net": Rival(_dropout_net, DROPOUT_NET_SPACE),
    "clcrec": Rival(_clcrec, CLCREC_SPACE),
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
    "artist_mean",
    "artist_album_mean",
    "dropout_net",
    "clcrec",
    "headroom",
    "artist_ease",
    "artist_album_ease",
    "bpr_by_crowd",
    "rfm_by_crowd",
    "cfm_by_crowd",
    "bcl_by_crowd",
    "evidence",
    "bpr",
    "rfm",
    "cfm",
    "bcl",
)
