"""Training of both stages, and the seven defects of the authors' code that it must not have."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from bcl_model.errors import BadData, ModelError
from bcl_model.htcl.corpus import read_corpus, split_of
from bcl_model.htcl.model import Htcl
from bcl_model.htcl.settings import HeldOutBy, HtclSettings
from bcl_model.htcl.train import Run, Stage, rate_share, step_loss, train
from tests.builders.htcl import ALONE, bert_folder, spectra_of, tiny_corpus, tiny_settings, without_dropout


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("htcl")
    tiny_corpus(root / "songs")
    bert_folder(root / "bert")
    return root


def run_of(folder, settings: HtclSettings, stage: Stage = Stage.SEMANTICS) -> Run:
    corpus, model = read_corpus(folder / "songs"), Htcl.fresh(settings)
    return Run(corpus, spectra_of(corpus, model), model, stage, ALONE)


def trained(folder, settings: HtclSettings, stage: Stage = Stage.SEMANTICS, **how) -> tuple[Htcl, dict]:
    corpus, model = read_corpus(folder / "songs"), Htcl.fresh(settings)
    return model, train(corpus, spectra_of(corpus, model), model, stage, ALONE, **how)


def gradients_of(run: Run) -> dict[str, torch.Tensor]:
    run.optimiser.zero_grad()
    run.gradients(run.batches(0))
    return {name: one.grad for name, one in run.all.named_parameters() if one.grad is not None}


def with_epochs(settings: HtclSettings, epochs: int) -> HtclSettings:
    return replace(
        settings, stage1=replace(settings.stage1, epochs=epochs), stage2=replace(settings.stage2, epochs=epochs)
    )


def test_stage_one_learns_which_words_go_with_which_sounds(folder):
    _, told = trained(folder, with_epochs(tiny_settings(folder / "bert"), 40))
    assert told["epoch_losses"][-1] < 0.7 * told["epoch_losses"][0]
    assert (told["training_songs"], told["held_out_songs"], told["steps"]) == (18, 6, 80)


def test_stage_two_restarts_the_heads_keeps_the_encoders_and_learns(folder):
    settings = with_epochs(tiny_settings(folder / "bert"), 8)
    corpus, model = read_corpus(folder / "songs"), Htcl.fresh(settings)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    train(corpus, spectra_of(corpus, model), model, Stage.PREFERENCE, ALONE, stop_after=0)
    changed = {name.split(".")[0] for name, weight in model.state_dict().items() if not weight.equal(before[name])}
    assert changed == {"audio_head", "text_head", "fusion"}
    told = train(corpus, spectra_of(corpus, model), model, Stage.PREFERENCE, ALONE)
    assert told["epoch_losses"][-1] < 0.8 * told["epoch_losses"][0]
    genres = Counter(corpus.tags["genre"][song] for song in split_of(corpus, settings.run).training)
    assert told["training_pairs"] == sum(count * (count - 1) for count in genres.values())


@pytest.mark.parametrize("stage", Stage)
def test_batches_that_are_accumulated_have_the_gradient_of_one_big_batch(folder, stage):
    settings = without_dropout(tiny_settings(folder / "bert"))
    plans = {n: replace(settings.stage1, per_batch=12 // n, accumulate=n) for n in (1, 3)}
    whole, parts = (
        gradients_of(run_of(folder, replace(settings, stage1=plan, stage2=plan), stage)) for plan in plans.values()
    )
    assert whole.keys() == parts.keys()
    for name, gradient in whole.items():
        torch.testing.assert_close(parts[name], gradient, rtol=1e-3, atol=1e-5, msg=name)
    assert sum(float(gradient.abs().sum()) for gradient in whole.values()) > 0.1


def test_a_batch_that_is_run_twice_drops_the_same_places_out(folder):
    """With dropout on, the gradient of accumulated batches is that of the vectors that the loss has seen."""
    settings = tiny_settings(folder / "bert")
    plan = replace(settings.stage1, per_batch=6, accumulate=2)
    run = run_of(folder, replace(settings, stage1=plan))
    found = {name: one.clone() for name, one in gradients_of(run).items()}
    run.optimiser.zero_grad()
    batches = run.batches(0)
    vectors = torch.cat([run.vectors(n, rows, run.all.towers) for n, rows in enumerate(batches)])
    songs = torch.from_numpy(np.concatenate(batches))
    step_loss(vectors, songs, run.all.scales, run.settings.loss).backward()
    for name, one in run.all.named_parameters():
        if one.grad is not None:
            torch.testing.assert_close(found[name], one.grad, rtol=1e-3, atol=1e-5, msg=name)


@pytest.mark.parametrize("stage", Stage)
def test_every_part_that_a_stage_trains_gets_a_gradient(folder, stage):
    found = gradients_of(run_of(folder, tiny_settings(folder / "bert"), stage))
    moved = {name.removeprefix("towers.").split(".")[0] for name, gradient in found.items() if gradient.any()}
    wanted = {"audio_encoder", "text_encoder", "audio_head", "text_head", "scales"}
    assert moved == (wanted if stage is Stage.SEMANTICS else wanted | {"fusion"})


@pytest.mark.parametrize("cut_at", [1, 3])
@pytest.mark.parametrize("stage", Stage)
def test_a_run_that_was_cut_ends_as_if_it_had_not_been(folder, tmp_path, stage, cut_at):
    """Defect 6: with the optimiser's moments, the order and the dropout."""
    settings = with_epochs(tiny_settings(folder / "bert", checkpoint_every=1), 2)
    whole, told = trained(folder, settings, stage)
    file = tmp_path / "checkpoint.safetensors"
    trained(folder, settings, stage, checkpoint=file, stop_after=cut_at)
    resumed, told_again = trained(folder, settings, stage, checkpoint=file)
    for name, weight in whole.state_dict().items():
        assert weight.equal(resumed.state_dict()[name]), name
    assert told == told_again


def test_a_text_encoder_that_does_not_learn_is_in_no_checkpoint_and_has_to_be_the_same(folder, tmp_path):
    settings, file = without_dropout(tiny_settings(folder / "bert")), tmp_path / "checkpoint.safetensors"
    whole, _ = trained(folder, settings)
    trained(folder, settings, checkpoint=file, stop_after=3)
    assert not [name for name in load_file(file) if "text_encoder" in name]
    resumed, _ = trained(folder, settings, checkpoint=file)
    assert all(weight.equal(whole.state_dict()[name]) for name, weight in resumed.state_dict().items())
    other = replace(settings, text=replace(settings.text, model=str(bert_folder(tmp_path / "bert", seed=2))))
    with pytest.raises(ModelError, match="is of other settings, songs or weights"):
        trained(folder, other, checkpoint=file)


def test_a_checkpoint_of_another_run_and_a_broken_one_are_refused(folder, tmp_path):
    file = tmp_path / "checkpoint.safetensors"
    trained(folder, tiny_settings(folder / "bert"), checkpoint=file, stop_after=1)
    with pytest.raises(ModelError, match="is of other settings, songs or weights; remove it"):
        trained(folder, tiny_settings(folder / "bert", seed=2), checkpoint=file)
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ModelError, match="cannot be read"):
        trained(folder, tiny_settings(folder / "bert"), checkpoint=file)


def test_songs_are_judged_in_evaluation_mode_and_all_of_them(folder):
    """Defect 1: no dropout, no dropped batch, no size of a batch in the figure."""
    settings = tiny_settings(folder / "bert")
    run = run_of(folder, settings)
    first = run.recall()
    assert not run.all.training and run.recall() == first
    odd = run_of(folder, replace(settings, stage1=replace(settings.stage1, per_batch=5)))
    assert len(odd.held_out) % 5 and odd.recall() == first


@pytest.mark.parametrize("by", HeldOutBy)
def test_what_is_held_out_is_in_no_batch_and_in_no_pair(folder, by):
    """Defect 3: songs and artists are split, not rows."""
    settings = tiny_settings(folder / "bert", held_out_by=by)
    corpus = read_corpus(folder / "songs")
    split = split_of(corpus, settings.run)
    assert not set(split.training) & set(split.held_out) and len(split.held_out) == 6
    if by is HeldOutBy.ARTIST:
        assert not {corpus.artists[n] for n in split.training} & {corpus.artists[n] for n in split.held_out}
    for stage in Stage:
        run = run_of(folder, settings, stage)
        seen = {int(song) for step in range(run.steps) for rows in run.batches(step) for song in rows.ravel()}
        assert seen <= set(split.training) and len(seen) > 12


def test_duplicates_in_a_step_are_no_negatives_of_each_other():
    """Defect 4: a song twice, and a recalled song with two triggers."""
    generator = torch.Generator().manual_seed(1)
    scales, settings = torch.full((3,), 2.0), HtclSettings().loss
    songs = torch.randn(3, 1, 3, 4, generator=generator)
    twice = torch.cat([songs, songs[:1]]).requires_grad_()
    step_loss(twice, torch.tensor([[0], [1], [2], [0]]), scales, settings).backward()
    as_if_new = twice.detach().clone().requires_grad_()
    step_loss(as_if_new, torch.tensor([[0], [1], [2], [3]]), scales, settings).backward()
    assert not torch.allclose(twice.grad[0], as_if_new.grad[0])
    pairs = torch.randn(2, 2, 3, 4, generator=generator)
    shared = step_loss(pairs, torch.tensor([[0, 9], [1, 9]]), scales, settings)
    apart = step_loss(pairs, torch.tensor([[0, 9], [1, 8]]), scales, settings)
    assert float(shared) < float(apart)


def test_scales_never_pass_their_limit(folder):
    """Defect 5: neither in the loss nor after a step."""
    settings = tiny_settings(folder / "bert")
    limited = replace(settings.loss, first_scale=9.0, highest_scale=4.6)
    vectors, songs = torch.randn(4, 1, 3, 8, generator=torch.Generator().manual_seed(1)), torch.arange(4)[:, None]
    beyond, at = (step_loss(vectors, songs, torch.full((3,), scale), limited) for scale in (9.0, 4.6))
    assert beyond.equal(at)
    run = run_of(folder, replace(settings, loss=limited))
    run.go(stop_after=1)
    assert run.all.scales.tolist() == pytest.approx([4.6] * 3)


def test_half_precision_learns_too_and_keeps_whole_weights(folder):
    model, told = trained(folder, with_epochs(tiny_settings(folder / "bert", bf16=True), 20))
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    assert told["epoch_losses"][-1] < 0.85 * told["epoch_losses"][0]


def test_a_text_encoder_that_does_not_learn_stays_as_it_was(folder):
    settings = tiny_settings(folder / "bert")
    settings = replace(settings, text=replace(settings.text, is_trained=False))
    before = Htcl.fresh(settings).text_encoder.state_dict()
    model, told = trained(folder, settings)
    assert all(weight.equal(before[name]) for name, weight in model.text_encoder.state_dict().items())
    assert told["epoch_losses"][-1] < told["epoch_losses"][0]


def test_too_few_songs_are_refused_with_their_number(folder):
    settings = tiny_settings(folder / "bert")
    with pytest.raises(BadData, match="18 songs are left for training, wanted at least 32"):
        run_of(folder, replace(settings, stage1=replace(settings.stage1, accumulate=16)))


def test_the_rate_rises_in_a_line_and_falls_along_a_cosine():
    plan = replace(HtclSettings().stage1, warm_up_share=0.2, final_rate_share=0.1)
    shares = [rate_share(step, 10, plan) for step in range(11)]
    assert shares[:3] == [0.5, 1.0, 1.0] and shares[6] == pytest.approx(0.55) and shares[10] == pytest.approx(0.1)
    assert [rate_share(step, 10, HtclSettings().stage1) for step in (0, 5, 9)] == [1.0, 1.0, 1.0]
