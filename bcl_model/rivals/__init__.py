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
    read: Callable[[Table], Any]  # its settings as a value; raises BadModelSettings for what it does not know
    method: Callable[[Any], Method]  # of these settings
    space: Space = field(default_factory=dict)  # empty: nothing to tune

    def make(self, table: Table) -> Method:
        return self.method(self.read(table))

    def space_of(self, table: Table) -> Space:
        """What a search may try beside these settings: a section of weight 0 is switched off and stays so."""
        off = {name for name, of in table.items() if isinstance(of, Mapping) and of.get("weight") == 0}
        return {key: values for key, values in self.space.items() if key.split(".")[0] not in off}


def read(kind: type, **usual: Any) -> Callable[[Table], Any]:
    return lambda table: section(kind, {**usual, **table}, "settings")


def plain(method: Method) -> Rival:
    """One without settings."""
    return Rival(read(_Nothing), lambda _: method)


@dataclass(frozen=True)
class _Nothing:
    pass


def _dropout_net_settings(table: Table) -> Any:
    from bcl_model.rivals.dropout_net import DropoutNetSettings  # the simple methods need no torch

    return section(DropoutNetSettings, table, "settings")


def _dropout_net(settings: Any) -> Method:
    from bcl_model.rivals.dropout_net import dropout_net

    return dropout_net(settings)


def _clcrec_settings(table: Table) -> Any:
    from bcl_model.rivals.clcrec import ClcRecSettings

    return section(ClcRecSettings, table, "settings")


def _clcrec(settings: Any) -> Method:
    from bcl_model.rivals.clcrec import clcrec

    return clcrec(settings)


MEANS_SPACE: Space = {"dimension": (32, 64, 128, 256)}
HEADROOM_SPACE: Space = {"neighbours": (20, 50, 100), "pairs.per_song": (20, 50, 100)}
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

ARTIST_AND_ALBUM = ("artist", "album")

RIVALS: Mapping[str, Rival] = {
    "random": plain(at_random),
    "popularity": plain(popularity),
    "content": plain(content_neighbours),
    "artist": plain(same("artist")),
    "artist_mean": Rival(read(MeansSettings), means, MEANS_SPACE),
    "artist_album_mean": Rival(read(MeansSettings, fields=ARTIST_AND_ALBUM), means, MEANS_SPACE),
    "dropout_net": Rival(_dropout_net_settings, _dropout_net, DROPOUT_NET_SPACE),
    "clcrec": Rival(_clcrec_settings, _clcrec, CLCREC_SPACE),
    "headroom": Rival(read(HeadroomSettings), headroom, HEADROOM_SPACE),
    "artist_ease": Rival(read(EaseSettings), by_words, EASE_SPACE),
    "artist_album_ease": Rival(read(EaseSettings, fields=ARTIST_AND_ALBUM), by_words, EASE_SPACE),
    "bcl": Rival(read(TrainSettings), trained, SPACE),
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
    "bpr_live",
    "rfm_live",
    "cfm_live",
    "bcl_live",
    "evidence",
    "bpr",
    "rfm",
    "cfm",
    "bcl",
)
