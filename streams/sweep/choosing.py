"""Whom a rule chooses for a release, and what the truth says of it; all rules see the same releases."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bcl_model.familiarity import familiarity, shares_of
from streams.audience import cat
from streams.contracts.ids import seed_of
from streams.judging.judge import Verdict, verdict
from streams.replay import rivals
from streams.sweep.clusterings import CLUSTERINGS
from streams.sweep.past import Floats, Ints
from streams.sweep.sources import Fresh
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
    familiarity: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in cat.RULES and self.kind not in RIVALS:
            raise ValueError(f"there is no rule {self.kind!r}; there are {', '.join((*cat.RULES, *RIVALS))}")
        if self.clustering not in CLUSTERINGS or self.clustered not in ("crowds", "listeners"):
            raise ValueError(f"rule {self.name!r} clusters {self.clustered!r} by {self.clustering!r}")


class Choice:
    """What the rules know of one release, and whom they choose."""

    def __init__(self, trial: Trial, song_id: str, embedding: Floats) -> None:
        self._trial, self._song_id, self._embedding = trial, song_id, embedding
        self._near: dict[int, tuple[Ints, Floats]] = {}
        self._merged: dict[tuple[Any, ...], cat.Merged] = {}
        self._cosines: dict[tuple[Any, ...], Floats] = {}

    def chosen(self, rule: Rule, budgets: Sequence[int]) -> dict[int, Ints]:
        """For each budget the listeners, best first."""
        if rule.kind in RIVALS:
            return _first(self._rival(rule), budgets)
        centroids, masses = self._crowds(rule)
        cosines = self._compared(rule, centroids)
        scores = self._scored(rule, cosines, masses) + self._familiarity(rule)
        if rule.kind != "quota":
            return _first(scores, budgets)
        best_first = rivals.best(scores, len(scores))
        nearest = cosines[best_first].reshape(len(best_first), -1, len(centroids)).max(axis=1)
        crowds = cat.nearest_crowds(rule.kind, nearest)
        return {budget: best_first[cat.within_quota(crowds, masses, budget)] for budget in budgets}

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
                seed=seed_of("crowds", self._song_id, ARTIFACT),
                at_ms=self._trial.past.at_ms,
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

    def _familiarity(self, rule: Rule) -> npt.NDArray[np.float32]:
        """Of every listener."""
        rings = self._trial.past.rings
        rows, similarities = self._neighbours(rule)
        if not (rule.familiarity and len(rows)):
            return np.zeros(len(rings.songs), np.float32)
        played = rivals.weighted_count(
            rings.songs, (rings.weights > 0).astype(np.float64), rows, shares_of(similarities), len(self._trial.songs)
        )
        return familiarity(played, rule.familiarity)

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
        return rivals.at_random(len(past.counts), seed_of("random", self._song_id))


def _first(scores: npt.NDArray[np.floating[Any]], budgets: Sequence[int]) -> dict[int, Ints]:
    best_first = rivals.best(scores, max(budgets))
    return {budget: best_first[:budget] for budget in budgets}


def verdicts(
    trial: Trial, releases: Sequence[Fresh], rules: Sequence[Rule], budgets: Sequence[int]
) -> dict[tuple[str, int], list[Verdict]]:
    """(rule, budget) -> what it did with each release."""
    found: dict[tuple[str, int], list[Verdict]] = {(rule.name, budget): [] for rule in rules for budget in budgets}
    embeddings = trial.encoder.embed([release.content for release in releases])
    for release, embedding in zip(releases, embeddings, strict=True):
        choice = Choice(trial, release.song_id, embedding)
        for rule in rules:
            for budget, chosen in choice.chosen(rule, budgets).items():
                found[rule.name, budget].append(verdict(chosen, release.known, budget))
    return found
