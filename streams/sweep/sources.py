"""Where pasts and releases come from: simulated worlds, or splits of a data folder. A past is without the truth."""

from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

import numpy as np

from bcl_model.catalogue import read_catalogue
from bcl_model.errors import BadData
from bcl_model.evaluation.trial import Split, split_of
from bcl_model.fields import Content
from bcl_model.pairs import Interactions
from streams.contracts.releases import Release
from streams.judging.judge import CROWD_FANS, Known
from streams.settings import ListeningSettings
from streams.sweep.past import Catalogue, Heard, Past, heard
from streams.world.plays import Plays, history
from streams.world.world import World, WorldSettings

SHARE = 0.1  # of the songs of a data folder that is held out


@dataclass(frozen=True)
class Fresh:
    """A release, and how every listener takes it."""

    song_id: str
    content: Content
    known: Known


@dataclass(frozen=True)
class Simulated:
    """A world and its history. It knows how likely a listener is to play, and through which taste."""

    world: WorldSettings
    plays: int

    unit = "world"

    @property
    def seed(self) -> int:
        return self.world.seed

    def seeded(self, seed: int) -> "Simulated":
        return replace(self, world=replace(self.world, seed=seed))

    def skewed(self, exponent: float) -> "Simulated":
        return replace(self, world=replace(self.world, popularity_exponent=exponent))

    def past(self, rule: ListeningSettings) -> Past:
        world = _world(self.world)
        played = heard(history(world, self.plays), rule, self.world.listeners)
        songs = list(world.songs())
        catalogue = Catalogue(tuple(song.song_id for song in songs), tuple(content(song) for song in songs))
        return Past(catalogue, played, self.world.listeners, self.world.start_ms, rule)

    def fresh(self, count: int) -> list[Fresh]:
        world = _world(self.world)
        listeners, found = world.listeners(), []
        for release in world.new_releases(count):
            truth = world.truth_of(world.row_of(release.song_id), listeners)
            known = Known(truth.probabilities, truth.would_like, truth.crowds)
            found.append(Fresh(release.song_id, content(release), known))
        return found


@dataclass(frozen=True)
class Folder:
    """A data folder whose cold songs are the releases: who played them is the truth, and all of them are one crowd."""

    data: Path
    fields: Path | None
    digest: str  # of the files: what was found on other data is not found again
    share: float = SHARE
    seed: int = 1

    unit = "split"

    @classmethod
    def of(cls, data: Path, fields: Path | None, seed: int) -> "Folder":
        digest = sha256()
        for path in (data / "items.parquet", data / "interactions.parquet", fields or data / "fields.toml"):
            digest.update(path.read_bytes() if path.is_file() else b"")
        return cls(data, fields, digest.hexdigest()[:16], seed=seed)

    def seeded(self, seed: int) -> "Folder":
        return replace(self, seed=seed)

    def past(self, rule: ListeningSettings) -> Past:
        trial = _split(self).trial
        plays = Interactions(trial.known.listeners, np.searchsorted(trial.warm, trial.known.songs))
        catalogue = Catalogue(
            tuple(_song_id(int(row)) for row in trial.warm),
            tuple(trial.contents[row] for row in trial.warm),
            trial.fields,
        )
        return Past(catalogue, undated(plays, trial.listeners, rule), trial.listeners, len(plays.songs), rule)

    def fresh(self, count: int) -> list[Fresh]:
        """Cold songs with enough listeners to speak of, drawn evenly."""
        split = _split(self)
        distinct = np.unique(np.stack([split.hidden.songs, split.hidden.listeners], axis=1), axis=0)
        fans = np.bincount(distinct[:, 0], minlength=len(split.trial.contents))
        enough = np.flatnonzero(fans >= CROWD_FANS)
        if len(enough) < count:
            raise BadData(f"{len(enough)} held-out songs have {CROWD_FANS} listeners or more, {count} are wanted")
        drawn = np.random.default_rng([self.seed, 0xF5E5]).permutation(enough)[:count]
        found = []
        for row in drawn.tolist():
            likes = np.zeros(split.trial.listeners, dtype=bool)
            likes[distinct[distinct[:, 0] == row, 1]] = True
            known = Known(likes.astype(np.float32), likes, np.zeros(len(likes), np.int16))
            found.append(Fresh(_song_id(row), split.trial.contents[row], known))
        return found


Source = Simulated | Folder


def undated(plays: Interactions, listeners: int, rule: ListeningSettings) -> Heard:
    """Plays without times or lengths: each a completed one, a millisecond after the row before, so none has aged."""
    when = np.arange(len(plays.songs), dtype=np.int64)
    length = np.ones(len(when), dtype=np.int64)
    liked, markets = np.zeros(len(when), dtype=bool), np.zeros(len(when), np.int8)
    columns = Plays(plays.listeners, plays.songs, when, length, length, liked, markets)
    return heard([columns], rule, listeners)


def content(release: Release) -> Content:
    return Content(release.attributes, release.vectors)


@lru_cache(maxsize=2)
def _world(settings: WorldSettings) -> World:
    return World(settings)


@lru_cache(maxsize=1)
def _split(folder: Folder) -> Split:
    data = read_catalogue(folder.data, folder.fields)
    return split_of(data.contents, data.interactions, data.fields, share=folder.share, seed=folder.seed)


def _song_id(row: int) -> str:
    return f"s{row:09d}"
