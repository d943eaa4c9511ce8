"""Which rule chooses best on the simulated world? Model, listeners, crowds and rules as in the live system, no broker.

    python -m streams.replay.compare_rules --listeners 20000 --songs 5000 --releases 40 --seeds 3

All figures are of a simulated world. A listener's embedding follows from its ring of recent plays, a song's from the
trained encoder; a new song is known by its content alone.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from bcl_model.inference import SongEncoder
from bcl_model.settings import TrainSettings, read_settings
from bcl_model.train import train_artifact
from streams.audience import cat
from streams.config import config_folder, load_settings
from streams.contracts.crowds import SongCrowds
from streams.contracts.ids import seed_of
from streams.contracts.releases import Release
from streams.replay import rivals
from streams.replay.judge import Estimate, Known, Verdict, difference, judged, verdict
from streams.settings import CrowdSettings, ListeningSettings, MatchingSettings, ScoringSettings, Settings
from streams.sweep.past import content, heard, rings, units
from streams.world.plays import DAY_MS, Plays, history
from streams.world.world import World, WorldSettings

Floats: TypeAlias = npt.NDArray[np.float32]
Ints: TypeAlias = npt.NDArray[np.int64]

ARTIFACT = "compared"


@dataclass(frozen=True)
class Rule:
    """A way to choose; the numbers that are None are as configured."""

    name: str
    kind: str  # of cat.RULES, or single_mean, weighted_count, popularity, random
    sharpness: float | None = None
    crowds: int | None = None


def usual_rules(settings: Settings) -> list[Rule]:
    crowds = [Rule(name, name) for name in ("max", "mean", "mass", "quota")]
    names = ("blend", "song", "single_mean", "weighted_count", "popularity", "random")
    return [Rule("cat", settings.scoring.rule), *crowds, *(Rule(name, name) for name in names)]


@dataclass(frozen=True)
class Audience:
    """All listeners of a history; L listeners, K places in a ring."""

    rings: npt.NDArray[np.int32]  # (L, K) song rows, newest last; -1: empty
    weights: Floats  # (L, K), strength and age
    newest_ms: Ints
    played_ms: Ints  # (L, K)
    plays: Ints  # all of them, effective or not
    embeddings: Floats  # (L, D)
    sums: Floats  # (L, D), before they are made unit length


def audience(
    plays: Plays, strengths: Floats, counts: Ints, songs: Floats, listeners: int, rule: ListeningSettings
) -> Audience:
    """Rings and embeddings by the rule of the live system, for all listeners at once."""
    remembered = rings(plays, strengths, listeners, rule)
    sums = remembered.sums(songs)
    every = np.zeros(listeners, dtype=np.int64)
    every[: len(counts)] = counts
    return Audience(
        remembered.songs,
        remembered.weights,
        remembered.newest_ms,
        remembered.played_ms,
        every,
        units(sums),
        sums,
    )


class Trial:
    """One world with a model and a history: everything that a rule may look at, and the truth apart."""

    def __init__(self, world: World, plays: int, settings: Settings, training: TrainSettings | None = None) -> None:
        self.world, self.settings = world, settings
        self._plays, self._strengths, counts = heard(history(world, plays), settings.listening)
        self.catalogue = list(world.songs())
        self.encoder = self._trained(training)
        self.songs = self.encoder.embed([content(song) for song in self.catalogue])
        self.audience = audience(
            self._plays, self._strengths, counts, self.songs, world.settings.listeners, settings.listening
        )
        distinct = np.unique(self._plays.songs * world.settings.listeners + self._plays.listeners)
        self.distinct = np.bincount(distinct // world.settings.listeners, minlength=world.settings.songs)
        self._crowds: dict[int, SongCrowds] = {}

    def _trained(self, training: TrainSettings | None) -> SongEncoder:
        with tempfile.TemporaryDirectory() as folder:
            songs = [(song.song_id, content(song)) for song in self.catalogue]
            artifact = train_artifact(songs, self._plays.listeners, self._plays.songs, Path(folder), training)
            return SongEncoder.load(artifact)

    @cached_property
    def warm(self) -> Ints:
        return np.flatnonzero(self.distinct >= self.settings.crowds.warm_at_listeners)

    @cached_property
    def _by_song(self) -> tuple[Ints, Ints]:
        """Plays in the order of songs, newest first, and where each song's begin."""
        order = np.lexsort((-self._plays.played_ms, self._plays.songs))
        return order, np.searchsorted(self._plays.songs[order], np.arange(len(self.songs) + 1))

    def neighbours(self, embedding: Floats, count: int, min_similarity: float) -> tuple[Ints, Floats]:
        similarities = self.songs[self.warm] @ embedding
        nearest = rivals.best(similarities, count)
        nearest = nearest[similarities[nearest] > min_similarity]
        return self.warm[nearest], similarities[nearest]

    def crowds_of(self, row: int) -> SongCrowds:
        """From the newest distinct listeners of the song, each without its plays of the song."""
        if row not in self._crowds:
            self._crowds[row] = self._found_crowds(row)
        return self._crowds[row]

    def _found_crowds(self, row: int) -> SongCrowds:
        rule: CrowdSettings = self.settings.crowds
        order, starts = self._by_song
        newest = order[starts[row] : starts[row + 1]]
        _, first = np.unique(self._plays.listeners[newest], return_index=True)
        newest = newest[np.sort(first)[: rule.listeners_per_song]]
        who = self._plays.listeners[newest]
        own = (self.audience.weights[who] * (self.audience.rings[who] == row)).sum(axis=1)
        others = self.audience.sums[who] - own[:, None] * self.songs[row]
        knows_others = np.linalg.norm(others, axis=1) > 1e-6
        points = units(others[knows_others]).astype(np.float64)
        age_days = (self.world.settings.start_ms - self._plays.played_ms[newest][knows_others]) / DAY_MS
        weights = self._strengths[newest][knows_others] * 2.0 ** (-age_days / rule.half_life_days)
        distinct, at = np.unique(points, axis=0, return_inverse=True)
        heavy = np.bincount(at.ravel(), weights).astype(np.float64)
        count = min(rule.crowds_per_song, len(distinct))
        members, centroids = cat.spherical_k_means(distinct, heavy, count, row)
        return SongCrowds(
            song_id=self.catalogue[row].song_id,
            artifact=ARTIFACT,
            samples=len(newest),
            listeners=len(newest),
            centroids=centroids.astype(np.float32).tobytes(),
            masses=np.bincount(members, heavy, minlength=count).astype(np.float32).tobytes(),
            at_ms=self.world.settings.start_ms,
        )


class Choice:
    """What the rules know of one release, and whom they choose."""

    def __init__(self, trial: Trial, release: Release, embedding: Floats) -> None:
        self._trial, self._release, self._embedding = trial, release, embedding
        matching: MatchingSettings = trial.settings.matching
        rows, similarities = trial.neighbours(embedding, matching.neighbours, matching.min_similarity)
        self._rows, self._similarities = rows, similarities
        self._neighbours = [
            (trial.crowds_of(int(row)), float(near)) for row, near in zip(rows, similarities, strict=True)
        ]
        self._merged: dict[int, cat.Merged] = {}
        self._cosines: dict[tuple[bool, int], Floats] = {}

    def merged(self, crowds: int) -> cat.Merged:
        if crowds not in self._merged:
            self._merged[crowds] = cat.merge_crowds(
                self._neighbours,
                crowds=crowds,
                max_share=self._trial.settings.matching.max_share_per_neighbour,
                seed=seed_of("crowds", self._release.song_id, ARTIFACT),
                at_ms=self._trial.world.settings.start_ms,
            )
        return self._merged[crowds]

    def chosen(self, rule: Rule, budget: int) -> Ints:
        embeddings = self._trial.audience.embeddings
        scoring: ScoringSettings = self._trial.settings.scoring
        sharpness, crowds = rule.sharpness or scoring.sharpness, rule.crowds or self._trial.settings.matching.crowds
        if rule.kind not in cat.RULES:
            return rivals.best(self._rival(rule.kind), budget)
        merged = self.merged(crowds)
        centroids, masses = cat.compared_with(rule.kind, merged.centroids, merged.masses, self._embedding)
        cosines = self._cosines.setdefault((rule.kind in ("song", "blend"), len(centroids)), embeddings @ centroids.T)
        scores = cat.RULES[rule.kind](cosines, masses, sharpness)
        if rule.kind != "quota":
            return rivals.best(scores, budget)
        best_first = rivals.best(scores, len(scores))
        return best_first[cat.within_quota(cat.nearest_crowds(rule.kind, cosines[best_first]), masses, budget)]

    def _rival(self, kind: str) -> npt.NDArray[np.floating[Any]]:
        trial = self._trial
        if kind == "single_mean":
            merged = self.merged(1)
            return rivals.single_mean(trial.audience.embeddings, merged.centroids, merged.masses)
        if kind == "weighted_count":
            there = trial.audience
            return rivals.weighted_count(there.rings, there.weights, self._rows, self._similarities, len(trial.songs))
        if kind == "popularity":
            return rivals.popularity(trial.audience.plays)
        if kind == "random":
            return rivals.at_random(len(trial.audience.plays), seed_of("random", self._release.song_id))
        raise ValueError(f"there is no rule {kind!r}")


def verdicts(
    trial: Trial, releases: int, rules: Sequence[Rule], budgets: Sequence[int]
) -> dict[tuple[str, int], list[Verdict]]:
    """(rule, budget) -> what it did with each release."""
    found: dict[tuple[str, int], list[Verdict]] = {(rule.name, budget): [] for rule in rules for budget in budgets}
    fresh = trial.world.new_releases(releases)
    listeners = trial.world.listeners()
    for release, embedding in zip(fresh, trial.encoder.embed([content(one) for one in fresh]), strict=True):
        truth = trial.world.truth_of(trial.world.row_of(release.song_id), listeners)
        known = Known(truth.probabilities, truth.would_like, truth.crowds)
        choice = Choice(trial, release, embedding)
        for rule in rules:
            for budget in budgets:
                found[rule.name, budget].append(verdict(choice.chosen(rule, budget), known, budget))
    return found


def compare(
    settings: Settings,
    world: WorldSettings,
    *,
    plays: int,
    releases: int,
    seeds: int,
    budgets: Sequence[int],
    rules: Sequence[Rule] | None = None,
    training: TrainSettings | None = None,
) -> dict[str, Any]:
    """Each seed is another world with another model; intervals are over the releases of all of them."""
    asked = list(rules or usual_rules(settings))
    every: dict[tuple[str, int], list[Verdict]] = {}
    for seed in range(world.seed, world.seed + seeds):
        trial = Trial(World(replace(world, seed=seed)), plays, settings, training)
        for key, of_world in verdicts(trial, releases, asked, budgets).items():
            every.setdefault(key, []).extend(of_world)
    against = asked[0].name
    return {
        "simulated": True,
        "world": asdict(world),
        "plays": plays,
        "releases": releases * seeds,
        "budgets": {
            str(budget): {
                rule.name: judged(every[rule.name, budget]).to_json()
                | {
                    "cat_minus_this": asdict(
                        difference(
                            [one.precision for one in every[against, budget]],
                            [one.precision for one in every[rule.name, budget]],
                        )
                    )
                }
                for rule in asked
            }
            for budget in budgets
        },
    }


def table(found: dict[str, Any]) -> str:
    """As people read it."""
    lines = [f"simulated world: {found['world']['listeners']} listeners, {found['releases']} releases"]
    for budget, rules in found["budgets"].items():
        lines += ["", f"{'budget ' + budget:16}{'precision':24}{'reach':24}{'least reach':24}{'cat - this':24}"]
        for name, one in rules.items():
            shown = (one["precision"], one["reach"], one["least_reach"], one["cat_minus_this"])
            lines.append(f"{name:16}" + "".join(f"{Estimate(**value)!s:24}" for value in shown))
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m streams.replay.compare_rules",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--listeners", type=int, default=20_000)
    parser.add_argument("--songs", type=int, default=5_000)
    parser.add_argument("--releases", type=int, default=40, help="of each world")
    parser.add_argument("--plays", type=int, help="of the history; 50 for each listener if not given")
    parser.add_argument("--seed", type=int, default=7, help="of the first world")
    parser.add_argument("--seeds", type=int, default=1, help="so many worlds, each with its own model")
    parser.add_argument(
        "--model", type=Path, default=config_folder() / "models" / "demo.toml", help="how it is trained"
    )
    parser.add_argument("--budgets", type=int, nargs="+", default=[200, 1000])
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args(argv)
    found = compare(
        load_settings(),
        WorldSettings(asked.listeners, asked.songs, new_songs=asked.releases, seed=asked.seed),
        plays=asked.plays or 50 * asked.listeners,
        releases=asked.releases,
        seeds=asked.seeds,
        budgets=asked.budgets,
        training=read_settings(asked.model),
    )
    print(json.dumps(found) if asked.json else table(found))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
