"""Training of either stage: one visible loop from a corpus to a model; a seed repeats a run, also one that was cut.

A step contrasts the songs of all its batches and of all processes as if they were one batch. With several batches the
towers run twice: first without gradients, for the vectors of the whole step and the gradient of the loss by each of
them, then batch by batch, which carries that gradient into the weights (GradCache, arXiv 2101.06983).
"""

import json
import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from enum import IntEnum
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from bcl_model.errors import BadData
from bcl_model.htcl import checkpoint as checkpoints
from bcl_model.htcl.checkpoint import Place
from bcl_model.htcl.corpus import Corpus, Ints, split_of
from bcl_model.htcl.losses import Represented, preference, semantics
from bcl_model.htcl.model import Htcl, Said
from bcl_model.htcl.processes import Processes, torch_threads
from bcl_model.htcl.retrieval import recall_of_own
from bcl_model.htcl.settings import LossSettings, StageSettings
from bcl_model.htcl.spectra import Spectra
from bcl_model.htcl.words import rows_of
from bcl_model.settings import to_table


class Stage(IntEnum):
    SEMANTICS = 1
    PREFERENCE = 2


@dataclass(frozen=True)
class Progress:
    """Said after every epoch."""

    epoch: int
    epochs: int
    loss: float
    recall: float | None  # text -> audio R@10 over the held-out songs, where they were judged


class Training(nn.Module):
    """All that learns: the towers, and the scales that only the losses need."""

    def __init__(self, towers: Htcl) -> None:
        super().__init__()
        self.towers = towers
        self.scales = nn.Parameter(torch.full((3,), towers.settings.loss.first_scale))


def train(
    corpus: Corpus,
    spectra: Spectra,
    model: Htcl,
    stage: Stage,
    processes: Processes,
    *,
    checkpoint: Path | None = None,
    progress: Callable[[Progress], None] = lambda now: None,
    stop_after: int | None = None,
) -> dict[str, Any]:
    """Trains `model` in place, with new heads in stage 2; the run's figures. `stop_after`: steps of this call."""
    with torch_threads(model.settings.run.threads), torch.random.fork_rng():
        if stage is Stage.PREFERENCE:
            torch.manual_seed(model.settings.run.seed)
            model.restart_heads()
        run = Run(corpus, spectra, model, stage, processes)
        if checkpoint is not None and checkpoint.exists():
            run.resume(checkpoint)
        run.go(progress, checkpoint, stop_after)
        return run.metrics()


class Run:
    def __init__(self, corpus: Corpus, spectra: Spectra, model: Htcl, stage: Stage, processes: Processes) -> None:
        self.settings = settings = model.settings
        self.stage, self.plan = stage, settings.stage1 if stage is Stage.SEMANTICS else settings.stage2
        self.corpus, self.spectra, self.processes = corpus, spectra, processes
        split = split_of(corpus, settings.run)
        self.training_songs, self.held_out = spectra.heard(split.training), spectra.heard(split.held_out)
        self.rows = self.training_songs[:, None] if stage is Stage.SEMANTICS else self._pairs()
        self.per_step = _per_step(len(self.rows), self.plan, processes.count, stage)
        self.steps_per_epoch = len(self.rows) // self.per_step  # the last incomplete one waits for another order
        self.steps = self.plan.epochs * self.steps_per_epoch
        self.all = Training(model).to(processes.device)
        parts = (settings.sound, settings.audio, settings.text, settings.head, settings.loss, self.plan)
        run = [settings.run.seed, settings.run.bf16, stage, processes.count, corpus.audio, corpus.texts]
        told = json.dumps([*map(to_table, parts), *run])
        self.of = checkpoints.fingerprint(model, told, self.rows.tobytes())
        self.said = None if settings.text.is_trained else rows_of(corpus, model.text_encoder, processes.device)
        self.optimiser = _optimiser(self.all, self.plan)
        self.towers: nn.Module = model if processes.count == 1 else DistributedDataParallel(model)
        self.place = Place()

    def go(
        self,
        progress: Callable[[Progress], None] = lambda now: None,
        checkpoint: Path | None = None,
        stop_after: int | None = None,
    ) -> None:
        run = self.settings.run
        end = self.steps if stop_after is None else min(self.steps, self.place.step + stop_after)
        while self.place.step < end:
            for group in self.optimiser.param_groups:
                group["lr"] = group["rate"] * rate_share(self.place.step, self.steps, self.plan)
            self.optimiser.zero_grad(set_to_none=True)
            loss = self.gradients(self.batches(self.place.step))
            if self.plan.clip_norm:
                nn.utils.clip_grad_norm_(self.all.parameters(), self.plan.clip_norm)
            self.optimiser.step()
            with torch.no_grad():
                self.all.scales.clamp_(max=self.settings.loss.highest_scale)
            self.place = Place(self.place.step + 1, (*self.place.losses, loss))

            epoch, is_within = divmod(self.place.step, self.steps_per_epoch)
            if not is_within and self.processes.is_first:
                is_judged = epoch % run.judge_every == 0 or epoch == self.plan.epochs
                recall = self.recall().get(10) if is_judged else None
                progress(Progress(epoch, self.plan.epochs, self.mean_loss(epoch), recall))
            is_due = self.place.step % run.checkpoint_every == 0 or self.place.step == end
            if checkpoint is not None and is_due and self.processes.is_first:
                checkpoints.save(checkpoint, self.all, self.optimiser, self.place, self.of)

    def gradients(self, batches: Sequence[Ints]) -> float:
        """Of one step, into every weight: the same however its songs are cut into batches and processes."""
        self.all.train()
        if len(batches) == 1:
            vectors = self.vectors(0, batches[0], self.towers)
            kept = [vectors]
        else:
            with torch.no_grad():
                kept = [self.vectors(n, rows, self.all.towers) for n, rows in enumerate(batches)]
        whole = self.processes.gathered(torch.cat(kept)).requires_grad_()
        songs = self.processes.gathered(torch.from_numpy(np.concatenate(batches)).to(whole.device))
        loss = step_loss(whole, songs, self.all.scales, self.settings.loss)
        loss.backward()  # type: ignore[no-untyped-call]
        # Processes average their gradients; each carries the part of its own songs, and the whole is their sum.
        ours = whole.grad[self.processes.rank * len(songs) // self.processes.count :] * self.processes.count  # type: ignore[index]
        for n, rows in enumerate(batches):
            is_last = n == len(batches) - 1
            with nullcontext() if is_last or self.processes.count == 1 else self.towers.no_sync():  # type: ignore[operator]
                vectors = kept[0] if len(batches) == 1 else self.vectors(n, rows, self.towers)
                vectors.backward(ours[: len(rows)])  # type: ignore[no-untyped-call]
            ours = ours[len(rows) :]
        return float(loss.detach())

    def vectors(self, n: int, rows: Ints, towers: nn.Module) -> Tensor:
        """(B, k, 3, D) of the n-th batch of this step: of k songs a row; dropout follows from seed, step and n."""
        torch.manual_seed(_mixed(self.settings.run.seed, self.stage, self.place.step, self.processes.rank, n))
        songs = rows.ravel()
        with self._precision():
            vectors: Tensor = towers(self.spectra.of(songs).to(self.processes.device), self._said(songs))
        return vectors.view(*rows.shape, *vectors.shape[1:])

    def batches(self, step: int) -> list[Ints]:
        """Our part of a step: rows of one song (stage 1) or of a trigger and a recalled song (stage 2)."""
        epoch, at = divmod(step, self.steps_per_epoch)
        order = np.random.default_rng([self.settings.run.seed, self.stage, epoch]).permutation(len(self.rows))
        chosen = self.rows[order[at * self.per_step : (at + 1) * self.per_step]]
        return np.split(np.split(chosen, self.processes.count)[self.processes.rank], self.plan.accumulate)

    @torch.no_grad()
    def recall(self) -> dict[int, float]:
        """Text -> audio, in evaluation mode, over all held-out songs at once: no size of a batch shows in it."""
        if len(self.held_out) < 2:
            return {}
        self.all.eval()
        audio, text = [], []
        for first in range(0, len(self.held_out), self.plan.per_batch):
            some = self.held_out[first : first + self.plan.per_batch]
            with self._precision():
                audio.append(self.all.towers.audio(self.spectra.of(some).to(self.processes.device)).float())
                text.append(self.all.towers.text(self._said(some)).float())
        return recall_of_own(torch.cat(text), torch.cat(audio))

    def mean_loss(self, epoch: int) -> float:
        return float(np.mean(self.place.losses[(epoch - 1) * self.steps_per_epoch : epoch * self.steps_per_epoch]))

    def metrics(self) -> dict[str, Any]:
        judged = len(self.held_out)
        epochs = self.place.step // self.steps_per_epoch
        return {
            "stage": int(self.stage),
            "steps": self.place.step,
            "epoch_losses": [round(self.mean_loss(epoch + 1), 5) for epoch in range(epochs)],
            "training_songs": len(self.training_songs),
            "training_pairs": len(self.rows) if self.stage is Stage.PREFERENCE else 0,
            "held_out_songs": judged,
            **{f"text_to_audio_recall_at_{k}": round(share, 5) for k, share in self.recall().items()},
            "chance_at_10": round(min(1.0, 10 / judged), 5) if judged else None,
        }

    def resume(self, checkpoint: Path) -> None:
        self.place = checkpoints.resume(checkpoint, self.all, self.optimiser, self.of)

    def _pairs(self) -> Ints:
        if self.corpus.feedback is None:
            raise BadData(f"{self.corpus.folder} has no feedback.parquet: stage 2 learns from feedback")
        pairs = self.corpus.feedback.pairs(self.settings.feedback)
        return pairs[np.isin(pairs, self.training_songs).all(axis=1)]

    def _said(self, songs: Ints) -> Said:
        if self.said is not None:
            return self.said[torch.from_numpy(songs).to(self.processes.device)]
        tokens = self.all.towers.text_encoder.tokens([self.corpus.texts[row] for row in songs])
        return tokens.to(self.processes.device)

    def _precision(self) -> torch.autocast:
        return torch.autocast(self.processes.device.type, torch.bfloat16, enabled=self.settings.run.bf16)


def step_loss(vectors: Tensor, songs: Tensor, scales: Tensor, settings: LossSettings) -> Tensor:
    """Of the vectors (B, k, 3, D) and the songs (B, k) of a whole step: stage 1 for k = 1, stage 2 for pairs."""
    scales = scales.clamp(max=settings.highest_scale)
    one, *other = (
        Represented(audio=each[:, 0], text=each[:, 1], fusion=each[:, 2], songs=songs[:, n])
        for n, each in enumerate(vectors.unbind(1))
    )
    return preference(one, other[0], tuple(scales), settings.weights) if other else semantics(one, scales[0])


def rate_share(step: int, steps: int, plan: StageSettings) -> float:
    """Of the full rate: rises in a line, then falls along half a cosine."""
    warm_up = round(plan.warm_up_share * steps)
    if step < warm_up:
        return (step + 1) / warm_up
    done = (step - warm_up) / max(1, steps - warm_up)
    return plan.final_rate_share + (1 - plan.final_rate_share) * (1 + math.cos(math.pi * done)) / 2


def _per_step(rows: int, plan: StageSettings, count: int, stage: Stage) -> int:
    """As set, or all there are where they are fewer; the same for every batch of every process."""
    parts = count * plan.accumulate
    if rows < 2 * parts:
        what = "songs" if stage is Stage.SEMANTICS else "pairs of songs"
        raise BadData(f"{rows} {what} are left for training, wanted at least {2 * parts}")
    return min(plan.per_batch, rows // parts) * parts


def _optimiser(training: Training, plan: StageSettings) -> torch.optim.Adam:
    towers = training.towers
    heads = [*towers.audio_head.parameters(), *towers.text_head.parameters(), *towers.fusion.parameters()]
    groups: Sequence[tuple[list[nn.Parameter], float]] = (
        (list(towers.audio_encoder.parameters()), plan.audio_rate),
        ([one for one in towers.text_encoder.parameters() if one.requires_grad], plan.text_rate),
        ([*heads, training.scales], plan.head_rate),
    )
    return torch.optim.Adam([{"params": some, "lr": rate, "rate": rate} for some, rate in groups if some])


def _mixed(*numbers: int) -> int:
    return int.from_bytes(sha256(repr(tuple(map(int, numbers))).encode()).digest()[:7])
