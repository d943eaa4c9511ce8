"""What a step draws, and how often: pairs and negatives evenly, the contrastive batch evenly and no song twice."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from bcl_model import train as training
from bcl_model.encoder import tensors_of
from bcl_model.fields import inferred
from bcl_model.settings import ContentSettings, ContrastFrom, ContrastSettings, CorrelationSettings, Similarity
from bcl_model.train import Run, compared, split
from tests.builders.songs import quick, world

CONTENTS, PLAYS = world(songs=120, listeners=500)


def run(**contrast: object) -> Run:
    settings = replace(
        quick(steps=9),
        contrast=ContrastSettings(weight=0.1, songs=40, **contrast),  # type: ignore[arg-type]
        correlation=CorrelationSettings(every=4, rows=64),
    )
    task = split(PLAYS, len(CONTENTS), settings)
    fields = inferred(CONTENTS).learned([CONTENTS[song] for song in task.training])
    return Run(fields, settings, tensors_of(fields.encode(CONTENTS)), task)


def times_drawn(one: Run, draws: int) -> np.ndarray:
    assert one.contrast is not None
    drawn = [one.contrast.draw(one.songs, one.pairs, one.generator) for _ in range(draws)]
    assert all(len(torch.unique(songs)) == len(songs) for songs in drawn)
    return np.bincount(torch.cat(drawn).numpy(), minlength=len(CONTENTS))


def test_the_contrastive_batch_is_even_over_the_catalogue_and_holds_no_song_twice() -> None:
    one = run()
    times = times_drawn(one, 600)

    training_songs = one.task.training
    expected = 600 * 40 / len(training_songs)
    assert times.sum() == 600 * 40 and times[training_songs].sum() == times.sum()
    deviation = (expected * (1 - 40 / len(training_songs))) ** 0.5
    assert np.abs(times[training_songs] - expected).max() < 4.5 * deviation  # of 114 songs, one in 10^5 runs


def test_a_batch_from_the_pairs_follows_their_power_law() -> None:
    one = run(songs_from=ContrastFrom.PAIRS)
    times = times_drawn(one, 300)

    in_pairs = np.bincount(one.pairs[0].numpy(), minlength=len(CONTENTS))
    assert np.corrcoef(times, in_pairs)[0, 1] > 0.9 and times[in_pairs == 0].sum() == 0


def test_negatives_are_even_over_the_training_songs_however_popular(monkeypatch: pytest.MonkeyPatch) -> None:
    one, asked = run(), []
    usual = training.rows_of

    def watching(resident, songs):  # type: ignore[no-untyped-def]
        asked.append(songs.numpy())
        return usual(resident, songs)

    monkeypatch.setattr(training, "rows_of", watching)
    for _ in range(400):
        training.ranking_loss(one.encoder, one.resident, one.pairs, one.songs, one.settings, one.generator)

    count = one.settings.ranking.negatives
    times = np.bincount(np.concatenate([songs[-count:] for songs in asked]), minlength=len(CONTENTS))
    assert set(np.flatnonzero(times)) == set(one.task.training)
    expected = times.sum() / len(one.task.training)
    assert np.abs(times[one.task.training] - expected).max() < 4.5 * expected**0.5


def test_the_correlation_is_updated_every_so_many_steps() -> None:
    one, changed, before = run(), [], None
    assert one.contrast is not None
    for step in range(1, 10):
        one.step = step
        one.loss()
        now = one.contrast.correlation.signed
        if before is None or not torch.equal(before, now):  # type: ignore[arg-type]
            changed.append(step)
        before = now
    assert changed == [1, 5, 9]


def test_the_score_is_the_inner_product_of_h_and_the_head_is_not_served() -> None:
    one = run()
    h = torch.randn(5, 16)
    dot = replace(one.settings.ranking, similarity=Similarity.DOT)

    assert compared(h, dot) is h
    assert not [name for name in one.weights() if "head" in name]
    assert one.contrast is not None and one.contrast.head[0].in_features == one.settings.encoder.layers[-1]


def test_the_artist_is_optional_and_off() -> None:
    songs = [replace(one, attributes={**one.attributes, "artist": "ann"}) for one in CONTENTS]
    usual = inferred(songs, leave_out=ContentSettings().leave_out)
    assert "artist" not in {one.name for one in usual.fields}
    assert "artist" in {one.name for one in inferred(songs).fields}
