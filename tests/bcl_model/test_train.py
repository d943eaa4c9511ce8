"""Training: it learns, it repeats by its seed, and cold songs stay cold."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bcl_model.encoder import Encoder, tensors_of
from bcl_model.errors import BadData
from bcl_model.fields import Content, Fields, inferred
from bcl_model.inference import SongEncoder
from bcl_model.kin import with_audiences
from bcl_model.pairs import Interactions
from bcl_model.settings import AudienceSettings, RankingSettings, Similarity
from bcl_model.train import Progress, lacking, ranking_loss, split, train, train_artifact
from tests.builders.songs import quick, random_content, world

CONTENTS, PLAYS = world()


def names(fields: Fields) -> list[str]:
    return [one.name for one in fields.fields]


def test_training_finds_the_neighbours_of_cold_songs(tmp_path: Path) -> None:
    said: list[Progress] = []
    songs = [(f"s{n}", content) for n, content in enumerate(CONTENTS)]

    folder = train_artifact(
        songs, PLAYS.listeners, PLAYS.songs, tmp_path, quick(validation_share=0.2), progress=said.append
    )

    encoder = SongEncoder.load(folder)
    genre = np.array([content.attributes["language"] for content in CONTENTS])
    embeddings = encoder.embed(CONTENTS)
    nearest = np.argsort(-(embeddings @ embeddings.T), axis=1)[:, 1:11]
    assert (genre[nearest] == genre[:, None]).mean() > 0.9  # 1 in 3 by chance
    assert said[-1].step == 60
    assert said[-1].recall > 0.4  # 50 of 240 songs by chance: .21


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("similarity", Similarity)
def test_a_seed_repeats_a_run_to_the_bit(shared: bool, similarity: Similarity) -> None:
    settings = replace(quick(steps=20), ranking=RankingSettings(similarity, negatives=4, shared_negatives=shared))

    first, again = train(CONTENTS, PLAYS, settings), train(CONTENTS, PLAYS, settings)
    other = train(CONTENTS, PLAYS, replace(settings, run=replace(settings.run, seed=2)))

    for name, weight in first.weights.items():
        np.testing.assert_array_equal(weight, again.weights[name])
    assert any((weight != other.weights[name]).any() for name, weight in first.weights.items())


def test_no_held_out_song_is_in_a_pair_or_in_the_training_songs() -> None:
    task = split(PLAYS, len(CONTENTS), quick(validation_share=0.3))

    held_out = np.setdiff1d(np.arange(len(CONTENTS)), task.training)
    assert len(held_out) > 50
    for songs in (task.pairs.songs, task.pairs.similar, task.truth.similar):
        assert not np.isin(songs, held_out).any()
    assert np.isin(task.truth.songs, held_out).all()


def test_plays_of_held_out_songs_change_nothing_that_is_trained() -> None:
    settings = quick(steps=10, validation_share=0.2)
    held_out = np.setdiff1d(np.arange(len(CONTENTS)), split(PLAYS, len(CONTENTS), settings).training)
    keep = ~np.isin(PLAYS.songs, held_out) | (np.arange(len(PLAYS.songs)) % 7 > 0)

    whole, fewer = (
        split(plays, len(CONTENTS), settings)
        for plays in (PLAYS, Interactions(PLAYS.listeners[keep], PLAYS.songs[keep]))
    )
    np.testing.assert_array_equal(whole.pairs.songs, fewer.pairs.songs)
    np.testing.assert_array_equal(whole.pairs.scores, fewer.pairs.scores)


def test_audience_fields_are_learned_without_the_held_out_songs_and_served_from_the_artifact() -> None:
    settings = replace(quick(steps=20, validation_share=0.2), audience=AudienceSettings(("genre", "label"), width=5))
    held_out = np.setdiff1d(np.arange(len(CONTENTS)), split(PLAYS, len(CONTENTS), settings).training)
    keep = ~np.isin(PLAYS.songs, held_out)

    artifact = train(CONTENTS, PLAYS, settings)

    _, expected = with_audiences(CONTENTS, Interactions(PLAYS.listeners[keep], PLAYS.songs[keep]), settings.audience)
    assert artifact.audiences.tables.keys() == {"genre"}  # no song has a label
    np.testing.assert_array_equal(artifact.audiences.tables["genre"].places, expected.tables["genre"].places)
    assert {"genre_audience", "genre_warm_songs", "genre_listeners"} <= {one.name for one in artifact.fields.fields}

    release, encoder = CONTENTS[held_out[0]], SongEncoder(artifact)
    silent = Content({name: said for name, said in release.attributes.items() if name != "genre"}, release.vectors)
    np.testing.assert_array_equal(encoder.embed([release]), encoder.embed(expected.completed([release])))
    assert np.isfinite(encoder.embed([silent])).all() and (encoder.embed([silent]) != encoder.embed([release])).any()


def test_a_field_taken_away_is_as_if_the_song_had_never_said_it() -> None:
    rng = np.random.default_rng(5)
    contents = [random_content(rng) for _ in range(40)]
    fields = inferred(contents).learned(contents)
    batch = tensors_of(fields.encode(contents))

    fewer = lacking(batch, fields, 0.4, torch.Generator().manual_seed(1))

    kept = fewer[""].numpy() > 0
    assert 0.5 < kept.sum() / batch[""].sum() < 0.7
    assert not (kept & (batch[""].numpy() == 0)).any()
    silent = [
        Content(
            {name: value for name, value in content.attributes.items() if kept[n, names(fields).index(name)]},
            {name: value for name, value in content.vectors.items() if kept[n, names(fields).index(name)]},
        )
        for n, content in enumerate(contents)
    ]
    encoder = Encoder(fields, quick().encoder)
    torch.testing.assert_close(encoder(fewer), encoder(tensors_of(fields.encode(silent))))
    assert lacking(batch, fields, 0.0, torch.Generator()) is batch


def test_eight_songs_are_overfitted() -> None:
    rng = np.random.default_rng(8)
    contents = [random_content(rng) for _ in range(8)]
    plays = Interactions(np.repeat(np.arange(20), 4), np.concatenate([np.arange(4)] * 10 + [np.arange(4, 8)] * 10))
    settings = replace(quick(steps=150, validation_share=0.0), ranking=RankingSettings(negatives=8, unknown_share=0.0))

    trained = train(contents, plays, settings)

    embeddings = SongEncoder(trained).embed(contents)
    similar = embeddings @ embeddings.T
    assert min(similar[:4, :4].min(), similar[4:, 4:].min()) > similar[:4, 4:].max()


def test_gradients_reach_every_parameter_of_the_ranking() -> None:
    settings = quick()
    task = split(PLAYS, len(CONTENTS), settings)
    fields = inferred(CONTENTS).learned(CONTENTS)
    encoder = Encoder(fields, settings.encoder)
    pairs = torch.from_numpy(np.stack([task.pairs.songs, task.pairs.similar]))

    ranking_loss(
        encoder,
        tensors_of(fields.encode(CONTENTS)),
        pairs,
        torch.from_numpy(task.training),
        settings,
        torch.Generator(),
    ).backward()

    for name, parameter in encoder.named_parameters():
        if not name.startswith("head"):  # ranking and serving use h
            assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_an_absent_field_changes_no_other_songs_embedding() -> None:
    fields = inferred(CONTENTS).learned(CONTENTS)
    encoder = Encoder(fields, quick().encoder)
    less = [Content({**CONTENTS[0].attributes, "genre": ()}), *CONTENTS[1:9]]  # type: ignore[dict-item]

    with torch.no_grad():
        whole, changed = (encoder(tensors_of(fields.encode(songs))) for songs in (CONTENTS[:9], less))

    assert torch.equal(whole[1:], changed[1:])
    assert not torch.equal(whole[0], changed[0])


def test_plays_without_similar_songs_are_refused() -> None:
    with pytest.raises(BadData, match="no two of 300 songs share 2 listeners"):
        train(CONTENTS, Interactions(np.arange(5), np.arange(5)), quick())
    with pytest.raises(BadData, match="songs 0 to 999, there are 300"):
        train(CONTENTS, Interactions(np.arange(2), np.array([0, 999])), quick())


def test_named_validation_songs_are_the_ones_that_choose_the_step() -> None:
    validation, held_out = np.zeros((2, len(CONTENTS)), dtype=bool)
    validation[:40], held_out[40:60] = True, True

    task = split(PLAYS, len(CONTENTS), quick(), held_out=held_out, validation=validation)

    assert set(task.validation) <= set(range(40)) and len(task.validation)
    np.testing.assert_array_equal(task.training, np.arange(60, len(CONTENTS)))
    assert min(task.pairs.songs.min(), task.pairs.similar.min(), task.truth.similar.min()) >= 60
    with pytest.raises(BadData, match="40 songs are held out and for validation"):
        split(PLAYS, len(CONTENTS), quick(), held_out=validation, validation=validation)
