"""The contrastive part as a whole: it learns, reaches every parameter, knows no held-out song, and can be resumed."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bcl_model.contrast import Contrast
from bcl_model.encoder import Encoder, tensors_of
from bcl_model.errors import BadModelSettings, ModelError
from bcl_model.fields import inferred
from bcl_model.settings import ContrastFrom, CorrelationOn, FieldUnit, Grouping, Operator, Reading, TrainSettings
from bcl_model.train import Progress, train
from tests.builders.songs import quick, world

CONTENTS, PLAYS = world()
FIELDS = inferred(CONTENTS).learned(CONTENTS)
RESIDENT = tensors_of(FIELDS.encode(CONTENTS))
SONGS = torch.arange(len(CONTENTS))


def bcl(weight: float = 0.3, steps: int = 60, **sections: Any) -> TrainSettings:
    settings = replace(quick(steps=steps), contrast=replace(TrainSettings().contrast, weight=weight, songs=64))
    settings = replace(settings, correlation=replace(settings.correlation, every=10, rows=64))
    for name, changes in sections.items():
        settings = replace(settings, **{name: replace(getattr(settings, name), **changes)})
    return settings


SWITCHES: list[dict[str, Any]] = [
    {},
    {"grouping": {"kind": Grouping.NONE}},
    {"grouping": {"kind": Grouping.RANDOM, "complementary": False}},
    {"grouping": {"kind": Grouping.TOP, "seed_per_sample": True}},
    {"augment": {"reading": Reading.KEEP_OWN}},
    {"augment": {"reading": Reading.KEEP_OWN}, "grouping": {"kind": Grouping.NONE}},
    {"augment": {"operator": Operator.SPAN}, "correlation": {"on": CorrelationOn.EMBEDDING}},
    {"augment": {"operator": Operator.RANDOM}, "correlation": {"unit": FieldUnit.CHUNK, "chunks": 2}},
    {"augment": {"operator": Operator.NOISE}, "correlation": {"unit": FieldUnit.DIMENSION}},
    {"contrast": {"songs_from": ContrastFrom.PAIRS, "both_directions": True}},
    {"encoder": {"head": ()}},
]


@pytest.mark.parametrize("switches", SWITCHES, ids=str)
def test_every_switch_trains_and_gradients_reach_every_parameter(switches: dict[str, Any]) -> None:
    settings = bcl(**switches)
    encoder = Encoder(FIELDS, settings.encoder)
    contrast = Contrast(encoder, settings)
    generator = torch.Generator().manual_seed(1)

    contrast.observe(encoder, RESIDENT, SONGS, generator)
    songs = contrast.draw(SONGS, torch.stack([SONGS, SONGS]), generator)
    loss = contrast.loss(encoder, RESIDENT, songs, generator)
    loss.backward()

    assert len(torch.unique(songs)) == len(songs)  # no song is its own negative
    assert torch.isfinite(loss)
    held = contrast.default is not None and settings.grouping.kind is Grouping.NONE  # then nothing is left out
    for name, parameter in [*encoder.named_parameters(), *contrast.named_parameters()]:
        if not (held and name == "default"):
            assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_the_contrastive_loss_falls() -> None:
    settings = bcl()
    encoder = Encoder(FIELDS, settings.encoder, seed=1)
    contrast, generator = Contrast(encoder, settings), torch.Generator().manual_seed(1)
    contrast.observe(encoder, RESIDENT, SONGS, generator)
    optimiser = torch.optim.Adam([*encoder.parameters(), *contrast.parameters()], lr=1e-2)
    losses = []
    for _ in range(40):
        loss = contrast.loss(encoder, RESIDENT, contrast.draw(SONGS, torch.empty(2, 1), generator), generator)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))

    assert losses[-1] < losses[0] / 2


def test_a_weight_changes_what_is_learned_and_a_seed_repeats_it() -> None:
    first, again, without = (train(CONTENTS, PLAYS, bcl(weight, 20)) for weight in (0.3, 0.3, 0.0))

    for name, weight in first.weights.items():
        np.testing.assert_array_equal(weight, again.weights[name])
    assert any((weight != without.weights[name]).any() for name, weight in first.weights.items())
    assert first.name == again.name != without.name


def test_what_held_out_songs_say_is_not_learned() -> None:
    held_out = np.arange(len(CONTENTS)) % 5 == 0
    other = [CONTENTS[(n + 1) % len(CONTENTS)] if held_out[n] else one for n, one in enumerate(CONTENTS)]

    first, again = (train(songs, PLAYS, bcl(steps=20), held_out=held_out) for songs in (CONTENTS, other))

    for name, weight in first.weights.items():
        np.testing.assert_array_equal(weight, again.weights[name])


class Killed(Exception):
    pass


@pytest.mark.parametrize("weight", [0.0, 0.3])
def test_a_run_that_was_killed_goes_on_as_if_nothing_had_happened(tmp_path: Path, weight: float) -> None:
    settings = bcl(weight, 60, run={"checkpoint_every": 15})
    whole: list[Progress] = []
    straight = train(CONTENTS, PLAYS, settings, progress=whole.append)

    def kill(now: Progress) -> None:
        if now.step == 40:
            raise Killed

    with pytest.raises(Killed):
        train(CONTENTS, PLAYS, settings, progress=kill, checkpoint=tmp_path / "run.pt")
    rest: list[Progress] = []
    resumed = train(CONTENTS, PLAYS, settings, progress=rest.append, checkpoint=tmp_path / "run.pt")

    assert [now.step for now in rest] == [40, 60]
    assert [(now.loss, now.recall) for now in rest] == [(now.loss, now.recall) for now in whole[1:]]
    for name, learned in straight.weights.items():
        np.testing.assert_array_equal(learned, resumed.weights[name])


def test_a_checkpoint_of_another_run_or_a_damaged_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    train(CONTENTS, PLAYS, bcl(steps=20, run={"checkpoint_every": 10}), checkpoint=path)

    with pytest.raises(ModelError, match="other settings or data"):
        train(CONTENTS, PLAYS, bcl(0.7, steps=20, run={"checkpoint_every": 10}), checkpoint=path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ModelError, match="cannot be read"):
        train(CONTENTS, PLAYS, bcl(steps=20, run={"checkpoint_every": 10}), checkpoint=path)


def test_three_fields_cannot_be_grouped_but_can_be_ranked() -> None:
    few = inferred(CONTENTS, leave_out=["lyrics", "moods", "tempo"])

    with pytest.raises(BadModelSettings, match="at least 4 units of content, there are 3"):
        train(CONTENTS, PLAYS, bcl(steps=2), few)
    train(CONTENTS, PLAYS, bcl(0.0, steps=2), few)
    train(CONTENTS, PLAYS, bcl(steps=2, grouping={"kind": Grouping.NONE}), few)
