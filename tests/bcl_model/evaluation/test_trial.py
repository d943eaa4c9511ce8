"""Splits: cold songs stay cold, reserved songs stay unjudged, and a method can know nothing else."""

from dataclasses import fields, replace

import numpy as np
import pytest

from bcl_model.errors import BadData
from bcl_model.evaluation.trial import Split, Trial, split_of, split_within
from bcl_model.fields import inferred
from tests.builders.songs import world

CONTENTS, PLAYS = world()
CONTENTS = [
    replace(one, attributes={**one.attributes, "artist": f"a{n % 90}", "album": f"b{n % 150}"})
    for n, one in enumerate(CONTENTS)
]
FIELDS = inferred(CONTENTS)


def split(by: str = "song", seed: int = 1, share: float = 0.2) -> Split:
    return split_of(CONTENTS, PLAYS, FIELDS, by=by, share=share, seed=seed)


def values(songs: np.ndarray, field: str) -> set[object]:
    return {CONTENTS[song].attributes[field] for song in songs}


@pytest.mark.parametrize("by", ["song", "album", "artist"])
def test_what_a_method_may_know_holds_no_play_of_a_cold_song(by: str) -> None:
    one = split(by)
    trial = one.trial

    assert not np.intersect1d(trial.warm, trial.cold).size
    assert np.isin(trial.known.songs, trial.warm).all() and np.isin(one.hidden.songs, trial.cold).all()
    assert np.isin(one.truth.songs, trial.cold).all() and np.isin(one.truth.similar, trial.warm).all()
    assert np.isin(trial.validation, trial.warm).all() and len(trial.validation) > 5
    assert {known.name for known in fields(Trial)}.isdisjoint({"hidden", "truth"})


@pytest.mark.parametrize("by", ["album", "artist"])
def test_a_split_by_a_field_shares_none_of_its_values(by: str) -> None:
    trial = split(by).trial

    assert not values(trial.cold, by) & values(trial.warm, by)
    others = np.setdiff1d(trial.warm, trial.validation)
    assert not values(trial.validation, by) & values(others, by)


@pytest.mark.parametrize("by", ["song", "album"])
def test_a_share_of_the_songs_is_held_out(by: str) -> None:
    assert len(split(by, share=0.2).trial.cold) == pytest.approx(60, abs=2)


def test_songs_on_which_settings_are_chosen_are_judged_in_no_split() -> None:
    chosen_on = np.unique(np.concatenate([split(by).trial.validation for by in ("song", "album")]))

    for by in ("song", "album", "artist"):
        for seed in range(1, 8):
            assert not np.isin(split(by, seed).trial.cold, chosen_on).any()


def test_seeds_draw_other_cold_songs_and_a_seed_repeats_its_own() -> None:
    first, again, other = split(seed=1).trial, split(seed=1).trial, split(seed=2).trial

    np.testing.assert_array_equal(first.cold, again.cold)
    assert len(np.intersect1d(first.cold, other.cold)) < len(first.cold) / 2


@pytest.mark.parametrize("by", ["song", "album"])
def test_settings_are_chosen_without_the_cold_songs(by: str) -> None:
    trial = split(by).trial
    inner = split_within(trial)

    np.testing.assert_array_equal(inner.trial.cold, trial.validation)
    np.testing.assert_array_equal(inner.trial.warm, np.setdiff1d(trial.warm, trial.validation))
    for songs in (inner.trial.known.songs, inner.hidden.songs, inner.truth.similar, inner.trial.validation):
        assert not np.isin(songs, trial.cold).any()
    assert np.isin(inner.trial.validation, inner.trial.warm).all() and len(inner.trial.validation) > 5


def test_what_was_heard_is_counted_once() -> None:
    trial = split().trial

    assert trial.heard.shape == (trial.listeners, len(trial.warm))
    assert trial.heard.sum() == len(np.unique(np.stack([trial.known.listeners, trial.known.songs]), axis=1).T)


def test_a_split_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(BadData, match="leaves nothing on one side"):
        split(share=0.0)
    with pytest.raises(BadData, match="no song says anything in the field 'label'"):
        split(by="label")
