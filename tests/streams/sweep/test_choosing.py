"""The rules choose on a small world: their budgets, better than chance, and a larger budget keeps the smaller one's."""

import numpy as np
import pytest

from streams.settings import Settings
from streams.sweep import rules
from streams.sweep.choosing import Choice, Rule, verdicts
from streams.sweep.sources import Simulated
from streams.sweep.trial import Trial


def test_every_rule_that_looks_at_the_song_beats_chance(trial: Trial, source: Simulated, settings: Settings):
    every = rules.every_rule(settings)
    found = verdicts(trial, source.fresh(16), every, [100])
    precision = {rule.name: float(np.mean([one.precision for one in found[rule.name, 100]])) for rule in every}
    for name in (rules.live_name(settings), "share", "mass", "song", "single_mean", "weighted_count", "density_ratio"):
        assert precision[name] > 2.5 * precision["random"], precision
    assert precision["popularity"] < 1.5 * precision["random"]


def test_what_a_study_varies_chooses_as_many_as_the_budget_and_the_best_of_a_larger_one(
    trial: Trial, source: Simulated, settings: Settings
):
    release = source.fresh(1)[0]
    choice = Choice(trial, release.song_id, trial.encoder.embed([release.content])[0])
    for study in ("rules", "vectors", "matching"):
        for rule in rules.TARGETING_STUDIES[study](settings):
            chosen = choice.chosen(rule, (20, 100))
            assert {budget: len(set(rows.tolist())) for budget, rows in chosen.items()} == {20: 20, 100: 100}
            assert rule.kind == "quota" or chosen[100][:20].tolist() == chosen[20].tolist()


def test_with_all_weight_on_familiarity_whoever_played_the_neighbours_is_chosen(trial: Trial, source: Simulated):
    release = source.fresh(1)[0]
    embedding = trial.encoder.embed([release.content])[0]
    chosen = Choice(trial, release.song_id, embedding).chosen(Rule("familiar", "blend", familiarity=1e6), [20])[20]
    matching = trial.settings.matching
    near, similarities = trial.neighbours(embedding, matching.neighbours, matching.min_similarity)
    weight = {song: np.exp(20 * nearness) for song, nearness in zip(near.tolist(), similarities, strict=True)}
    played = np.array([sum(weight.get(song, 0) for song in ring) for ring in trial.past.rings.songs.tolist()])
    assert np.sort(played[chosen]).tolist() == pytest.approx(np.sort(played)[-20:].tolist())


def test_one_crowd_is_the_same_mean_however_crowds_are_found(trial: Trial, source: Simulated):
    """Of one crowd only medoids have another centre: one of the points."""
    release = source.fresh(1)[0]
    choice = Choice(trial, release.song_id, trial.encoder.embed([release.content])[0])
    means = [
        choice.merged(Rule(way, "max", crowds=1, clustering=way)) for way in ("k-means", "average linkage", "ward")
    ]
    for one in means[1:]:
        np.testing.assert_allclose(one.centroids, means[0].centroids, atol=1e-5)


def test_an_unknown_rule_is_refused_by_name():
    with pytest.raises(ValueError, match="no rule 'nearest'"):
        Rule("a", "nearest")
