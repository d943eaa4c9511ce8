"""Whom a rule chooses for a release, and what the truth says of it; all rules see the same releases."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from streams.audience import cat
from streams.contracts.ids import seed_of
from streams.contracts.releases import Release
from streams.replay import rivals
from streams.replay.judge import Known, Verdict, verdict
from streams.settings import Settings
from streams.sweep.clusterings import CLUSTERINGS
from streams.sweep.past import Floats, Ints, content
from streams.sweep.trial import ARTIFACT, Trial

OF_CROWDS = ("max", "share", "mean", "mass", "blend", "quota")
RIVALS = ("single_mean", "weighted_count", "popularity", "random", "density_ratio")


@dataclass(frozen=True)
class Rule:
    """A way to choose; the numbers that are None are as configured."""

    name: str
    kind: str  # of cat.RULES or RIVALS
    sharpness: float | None = None
    crowds: int | None = None
    clustering: str = "k-means"
    clustered: str = "crowds"  # what the neighbours' crowds are merged from: their crowds, or all their listeners
    vectors: int = 1  # of a listener
    neighbours: int | None = None
    max_share: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in cat.RULES and self.kind not in RIVALS:
            raise ValueError(f"there is no rule {self.kind!r}; there are {', '.join((*cat.RULES, *RIVALS))}")
        if self.clustering not in CLUSTERINGS or self.clustered not in ("crowds", "listeners"):
            raise ValueError(f"rule {self.name!r} clusters {self.clustered!r} by {self.clustering!r}")


def live_rule(settings: Settings) -> Rule:
    """What `scoring.rule` says."""
    return Rule("cat", settings.scoring.rule)


class Choice:
    """What the rules know of one release, and whom they choose."""

    def __init__(self, trial: Trial, release: Release, embedding: Floats) -> None:
        self._trial, self._release, self._embedding = trial, release, embedding
        self._near: dict[int, tuple[Ints, Floats]] = {}
        self._merged: dict[tuple[Any, ...], cat.Merged] = {}
        self._cosines: dict[tuple[Any, ...], Floats] = {}

    def chosen(self, rule: Rule, budget: int) -> Ints:
        if rule.kind in RIVALS:
            return rivals.best(self._rival(rule), budget)
        centroids, masses = self._crowds(rule)
        cosines = self._compared(rule, centroids)
        scores = self._scored(rule, cosines, masses)
        if rule.kind != "quota":
            return rivals.best(scores, budget)
        best_first = rivals.best(scores, len(scores))
        nearest = cosines[best_first].reshape(len(best_first), -1, len(centroids)).max(axis=1)
        return best_first[cat.within_quota(cat.nearest_crowds(rule.kind, nearest), masses, budget)]

    def merged(self, rule: Rule) -> cat.Merged:
        matching = self._trial.settings.matching
        key = self._crowds_of(rule)
        if key not in self._merged:
            rows, similarities = self._neighbours(rule)
            of = self._trial.crowds_of if rule.clustered == "crowds" else self._trial.listeners_of
            self._merged[key] = cat.merge_crowds(
                [(of(int(row)), float(near)) for row, near in zip(rows, similarities, strict=True)],
                crowds=rule.crowds or matching.crowds,
                max_share=rule.max_share or matching.max_share_per_neighbour,
                seed=seed_of("crowds", self._release.song_id, ARTIFACT),
                at_ms=self._trial.past.world.settings.start_ms,
                clustering=CLUSTERINGS[rule.clustering],
            )
        return self._merged[key]

    def _crowds(self, rule: Rule) -> tuple[Floats, Floats]:
        """What listeners are compared with, and the masses; without crowds the release itself."""
        merged = self.merged(rule)
        return cat.compared_with(rule.kind, merged.centroids, merged.masses, self._embedding)

    def _crowds_of(self, rule: Rule) -> tuple[Any, ...]:
        """What the crowds that a rule compares with follow from."""
        return rule.crowds, rule.clustering, rule.clustered, rule.neighbours, rule.max_share

    def _neighbours(self, rule: Rule) -> tuple[Ints, Floats]:
        matching = self._trial.settings.matching
        count = rule.neighbours or matching.neighbours
        if count not in self._near:
            self._near[count] = self._trial.neighbours(self._embedding, count, matching.min_similarity)
        return self._near[count]

    def _compared(self, rule: Rule, centroids: Floats) -> Floats:
        """(L, C); of several vectors of a listener (L, V, C)."""
        key = (rule.kind in ("song", "blend"), rule.kind == "song", len(centroids), rule.vectors, self._crowds_of(rule))
        if key not in self._cosines:
            vectors = self._trial.listeners if rule.vectors == 1 else self._trial.several(rule.vectors).vectors
            self._cosines[key] = vectors @ centroids.T
        return self._cosines[key]

    def _scored(self, rule: Rule, cosines: Floats, masses: Floats) -> Floats:
        """Of several vectors the one that fits best counts."""
        sharpness = rule.sharpness or self._trial.settings.scoring.sharpness
        score = cat.RULES[rule.kind]
        if cosines.ndim == 2:
            return score(cosines, masses, sharpness)
        every = score(cosines.reshape(-1, cosines.shape[2]), masses, sharpness).reshape(cosines.shape[:2])
        is_there = self._trial.several(rule.vectors).shares > 0
        best: Floats = np.where(is_there, every, every.min()).max(axis=1)
        return best

    def _rival(self, rule: Rule) -> npt.NDArray[np.floating[Any]]:
        trial, past = self._trial, self._trial.past
        if rule.kind == "single_mean":
            return rivals.single_mean(trial.listeners, *self._crowds(Rule("one", "max", crowds=1)))
        if rule.kind == "weighted_count":
            rows, similarities = self._neighbours(rule)
            return rivals.weighted_count(past.rings.songs, past.rings.weights, rows, similarities, len(trial.songs))
        if rule.kind == "density_ratio":
            (centroids, masses), every = self._crowds(rule), trial.background
            sharpness = rule.sharpness or trial.settings.scoring.sharpness
            here = cat.mass_score(trial.listeners @ centroids.T, masses, sharpness)
            return here - cat.mass_score(trial.listeners @ every.centroids.T, every.masses, sharpness)
        if rule.kind == "popularity":
            return rivals.popularity(past.counts)
        return rivals.at_random(len(past.counts), seed_of("random", self._release.song_id))


def verdicts(
    trial: Trial, releases: int, rules: Sequence[Rule], budgets: Sequence[int]
) -> dict[tuple[str, int], list[Verdict]]:
    """(rule, budget) -> what it did with each release."""
    found: dict[tuple[str, int], list[Verdict]] = {(rule.name, budget): [] for rule in rules for budget in budgets}
    world = trial.past.world
    fresh, listeners = world.new_releases(releases), world.listeners()
    for release, embedding in zip(fresh, trial.encoder.embed([content(one) for one in fresh]), strict=True):
        truth = world.truth_of(world.row_of(release.song_id), listeners)
        known = Known(truth.probabilities, truth.would_like, truth.crowds)
        choice = Choice(trial, release, embedding)
        for rule in rules:
            for budget in budgets:
                found[rule.name, budget].append(verdict(choice.chosen(rule, budget), known, budget))
    return found
