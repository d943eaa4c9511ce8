"""Training: one visible loop from a catalogue and its plays to an artifact.

Songs are split first: pairs, negatives and the contrastive batch know only the training songs, and the held-out ones
are the cold songs on which the best step is chosen. A seed repeats a run to the bit (same library, device and thread
count), also when it was cut and resumed.
"""

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from bcl_model.artifact import Artifact, Weights, write_artifact
from bcl_model.audiences import fields_with_audiences
from bcl_model.contrast import Contrast
from bcl_model.encoder import Batch, Encoder, rows_of, tensors_of
from bcl_model.errors import BadData, ModelError
from bcl_model.fields import NONE, UNKNOWN, Content, Fields, inferred
from bcl_model.kin import with_audiences
from bcl_model.losses import bpr
from bcl_model.pairs import Impressions, Interactions, Pairs, item_cf, posterior_check
from bcl_model.settings import RankingSettings, RunSettings, Similarity, TrainSettings, to_table

RECALL_AT = 50


@dataclass(frozen=True)
class Progress:
    """Said at every validation."""

    step: int
    steps: int
    loss: float
    recall: float  # of the true neighbours of held-out songs among the nearest RECALL_AT
    pairs_per_second: float


@dataclass(frozen=True)
class Task:
    """What there is to learn, and the cold songs on which it is measured."""

    training: npt.NDArray[np.int64]  # songs
    pairs: Pairs  # of training songs only
    validation: npt.NDArray[np.int64]  # songs
    truth: Pairs  # from validation songs to training songs


def train_artifact(
    songs: Sequence[tuple[str, Content]],
    listeners: npt.ArrayLike,
    plays: npt.ArrayLike,
    out: Path,
    settings: TrainSettings | None = None,
    fields: Fields | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Path:
    """Train on a catalogue and its plays (whose listener, which place in `songs`); write the artifact below `out`."""
    interactions = Interactions(np.asarray(listeners, dtype=np.int64), np.asarray(plays, dtype=np.int64))
    return write_artifact(out, train([content for _, content in songs], interactions, settings, fields, progress))


def train(
    contents: Sequence[Content],
    interactions: Interactions,
    settings: TrainSettings | None = None,
    fields: Fields | None = None,
    progress: Callable[[Progress], None] | None = None,
    *,
    impressions: Impressions | None = None,
    held_out: npt.NDArray[np.bool_] | None = None,
    validation: npt.NDArray[np.bool_] | None = None,
    checkpoint: Path | None = None,
) -> Artifact:
    """`held_out` songs take no part, not even in validation. A run that left a `checkpoint` goes on from it.

    `validation` songs are the cold ones on which the best step is chosen; without them a share is drawn by the seed.
    """
    settings = settings or TrainSettings()
    progress = progress or (lambda _: None)
    started = time.perf_counter()
    with torch_threads(settings.run.threads):
        task = split(
            interactions, len(contents), settings, impressions=impressions, held_out=held_out, validation=validation
        )
        usual = settings.content
        fields = fields or inferred(contents, leave_out=usual.leave_out, min_songs=usual.min_songs)
        is_training = np.isin(np.arange(len(contents)), task.training)
        contents, audiences = with_audiences(contents, interactions.of_songs(is_training), settings.audience)
        fields = fields_with_audiences(fields, settings.audience)
        fields = fields.learned([contents[song] for song in task.training])
        run = Run(fields, settings, tensors_of(fields.encode(contents), settings.run.device), task)
        prepared_s = time.perf_counter() - started
        if checkpoint is not None and checkpoint.exists():
            run.resume(checkpoint)
        run.go(progress, checkpoint)
    metrics = {
        "songs": len(contents),
        "training_songs": len(task.training),
        "pairs": len(task.pairs),
        "validation_songs": len(task.validation),
        f"validation_recall_at_{RECALL_AT}": round(run.best_recall, 4) if len(task.truth) else None,
        "best_step": run.best_step,
        "seconds_to_prepare": round(prepared_s, 2),
        "seconds": round(time.perf_counter() - started, 2),
    }
    return Artifact.of(run.best, settings, fields, metrics, audiences)


def split(
    interactions: Interactions,
    songs: int,
    settings: TrainSettings,
    *,
    impressions: Impressions | None = None,
    held_out: npt.NDArray[np.bool_] | None = None,
    validation: npt.NDArray[np.bool_] | None = None,
) -> Task:
    """Hold songs out before any pair is computed."""
    if len(interactions.songs) and not 0 <= interactions.songs.min() <= interactions.songs.max() < songs:
        raise BadData(f"plays name songs {interactions.songs.min()} to {interactions.songs.max()}, there are {songs}")
    allowed = np.ones(songs, dtype=bool) if held_out is None else ~held_out
    if validation is None:
        shuffled = np.random.default_rng(settings.run.seed).permutation(np.flatnonzero(allowed))
        validation = np.zeros(songs, dtype=bool)
        validation[shuffled[: int(len(shuffled) * settings.run.validation_share)]] = True
    elif both := int((validation & ~allowed).sum()):
        raise BadData(f"{both} songs are held out and for validation: a song is one or the other")
    is_training = allowed & ~validation
    pairs = item_cf(interactions.of_songs(is_training), songs, settings.pairs)
    if impressions is not None:
        pairs = posterior_check(pairs, impressions, songs, settings.pairs)
    if not len(pairs):
        raise BadData(
            f"no two of {songs} songs share {settings.pairs.min_common} listeners in {len(interactions.songs)} plays; "
            "give more plays or lower pairs.min_common"
        )
    truth = item_cf(interactions.of_songs(allowed), songs, settings.pairs, only=validation)
    warm = is_training[truth.similar]
    truth = Pairs(truth.songs[warm], truth.similar[warm], truth.scores[warm])
    return Task(np.flatnonzero(is_training), pairs, np.unique(truth.songs), truth)


class Run:
    """One training run: all that changes from step to step, and the loop."""

    def __init__(self, fields: Fields, settings: TrainSettings, resident: Batch, task: Task) -> None:
        run = settings.run
        self.settings, self.resident, self.task = settings, resident, task
        self.songs = torch.from_numpy(task.training).to(run.device)
        self.pairs = torch.from_numpy(np.stack([task.pairs.songs, task.pairs.similar])).to(run.device)
        self.generator = torch.Generator(run.device).manual_seed(run.seed)
        self.encoder = Encoder(fields, settings.encoder, run.seed).to(run.device)
        self.contrast = Contrast(self.encoder, settings, run.seed).to(run.device) if settings.contrast.weight else None
        learned = [*self.encoder.parameters(), *(self.contrast.parameters() if self.contrast else ())]
        self.optimiser = torch.optim.Adam(learned, lr=run.learning_rate, weight_decay=run.weight_decay)
        if run.compile:
            self.encoder.represent = torch.compile(self.encoder.represent)  # type: ignore[method-assign]
        self.step = 0
        self.losses: list[Tensor] = []  # since the last validation
        self.best, self.best_recall, self.best_step = self.weights(), -1.0, 0

    def go(self, progress: Callable[[Progress], None], checkpoint: Path | None = None) -> None:
        run = self.settings.run
        since, at = time.perf_counter(), self.step
        while self.step < run.steps and self.step - self.best_step < run.patience * run.validate_every:
            self.step += 1
            for group in self.optimiser.param_groups:
                group["lr"] = learning_rate(self.step, run)
            loss = self.loss()
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimiser.step()
            self.losses.append(loss.detach())

            if self.step % run.validate_every == 0 or self.step == run.steps:
                pairs_per_second = (self.step - at) * run.pairs_per_step / (time.perf_counter() - since)
                mean_loss = float(torch.stack(self.losses).mean())
                recall = recall_of(self.encoder, self.resident, self.task)
                if recall > self.best_recall or not len(self.task.truth):
                    self.best, self.best_recall, self.best_step = self.weights(), recall, self.step
                self.losses = []
                progress(Progress(self.step, run.steps, mean_loss, recall, pairs_per_second))
                since, at = time.perf_counter(), self.step
            if checkpoint is not None and self.step % run.checkpoint_every == 0:
                self.save(checkpoint)

    def loss(self) -> Tensor:
        """L = L_BPR + weight * L_CL."""
        settings = self.settings
        with torch.autocast(settings.run.device.partition(":")[0], torch.bfloat16, enabled=settings.run.bf16):
            loss = ranking_loss(self.encoder, self.resident, self.pairs, self.songs, settings, self.generator)
            if self.contrast is not None:
                if (self.step - 1) % settings.correlation.every == 0:
                    self.contrast.observe(self.encoder, self.resident, self.songs, self.generator)
                songs = self.contrast.draw(self.songs, self.pairs, self.generator)
                contrastive = self.contrast.loss(self.encoder, self.resident, songs, self.generator)
                loss = loss + settings.contrast.weight * contrastive
        return loss

    def weights(self) -> Weights:
        """What is served."""
        state = self.encoder.state_dict()
        return {name: weight.detach().float().cpu().numpy().copy() for name, weight in state.items()}

    def save(self, checkpoint: Path) -> None:
        """Written aside and renamed: a checkpoint is whole or the one before."""
        state = {
            "of": self._fingerprint(),
            "encoder": self.encoder.state_dict(),
            "contrast": self.contrast.state_dict() if self.contrast else {},
            "correlation": self.contrast.correlation.signed if self.contrast else None,
            "optimiser": self.optimiser.state_dict(),
            "generator": self.generator.get_state(),
            "step": self.step,
            "losses": self.losses,
            "best": {name: torch.from_numpy(weight) for name, weight in self.best.items()},
            "best_recall": self.best_recall,
            "best_step": self.best_step,
        }
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        aside = checkpoint.with_name(f".{checkpoint.name}.{os.getpid()}")
        torch.save(state, aside)
        aside.replace(checkpoint)

    def resume(self, checkpoint: Path) -> None:
        try:
            state: dict[str, Any] = torch.load(checkpoint, map_location=self.settings.run.device, weights_only=True)
        except Exception as error:  # torch names no error of its own for what it cannot read
            raise ModelError(f"the checkpoint {checkpoint} cannot be read: {error}; remove it to start anew") from error
        if state.get("of") != self._fingerprint():
            raise ModelError(f"the checkpoint {checkpoint} is of other settings or data; remove it to start anew")
        self.encoder.load_state_dict(state["encoder"])
        if self.contrast is not None:
            self.contrast.load_state_dict(state["contrast"])
            self.contrast.correlation.signed = state["correlation"]
        self.optimiser.load_state_dict(state["optimiser"])
        self.generator.set_state(state["generator"].cpu())
        self.step, self.losses = state["step"], state["losses"]
        self.best = {name: weight.cpu().numpy() for name, weight in state["best"].items()}
        self.best_recall, self.best_step = state["best_recall"], state["best_step"]

    def _fingerprint(self) -> str:
        """Of all that a run follows from."""
        settings = json.dumps(to_table(self.settings), sort_keys=True)
        fields = json.dumps([self.encoder.fields.to_json(), dict(self.encoder.fields.words)], sort_keys=True)
        digest = sha256((settings + fields).encode())
        for column in (self.task.training, self.task.pairs.songs, self.task.pairs.similar, self.task.truth.similar):
            digest.update(np.ascontiguousarray(column).tobytes())
        return digest.hexdigest()


def ranking_loss(
    encoder: Encoder, resident: Batch, pairs: Tensor, songs: Tensor, settings: TrainSettings, generator: torch.Generator
) -> Tensor:
    """BPR on pairs drawn uniformly, against songs drawn uniformly from the training songs."""
    ranking, count = settings.ranking, settings.run.pairs_per_step
    chosen = pairs[:, _draw(pairs.shape[1], count, generator)]  # (2, pairs)
    wanted = ranking.negatives if ranking.shared_negatives else ranking.negatives * count
    others = songs[_draw(len(songs), wanted, generator)]
    batch = rows_of(resident, torch.cat([chosen[0], chosen[1], others]))
    met = forgetting(batch, ranking.unknown_share, generator)
    met = lacking(met, encoder.fields, ranking.absent_share, generator)
    vectors = compared(encoder(met), ranking)
    anchor, similar, other = torch.split(vectors, [count, count, wanted])
    if ranking.shared_negatives:
        against = anchor @ other.T  # (pairs, negatives)
    else:
        against = torch.einsum("bd,bnd->bn", anchor, other.view(count, ranking.negatives, -1))
    return bpr((anchor * similar).sum(dim=-1), against)


def compared(h: Tensor, ranking: RankingSettings) -> Tensor:
    """Vectors whose inner product is the similarity that is trained."""
    if ranking.similarity is Similarity.DOT:
        return h
    scaled: Tensor = functional.normalize(h, dim=-1) / ranking.temperature**0.5
    return scaled


def forgetting(batch: Batch, share: float, generator: torch.Generator) -> Batch:
    """Some words are made unknown ones, so that the unknown word learns to stand for a word never seen."""
    if share <= 0:
        return batch
    changed = dict(batch)
    for name, rows in batch.items():
        if not rows.dtype.is_floating_point:
            forgotten = torch.rand(rows.shape, generator=generator, device=rows.device) < share
            changed[name] = torch.where(forgotten & (rows != NONE), UNKNOWN, rows)
    return changed


def lacking(batch: Batch, fields: Fields, share: float, generator: torch.Generator) -> Batch:
    """Some fields of some songs are taken away, so that a song that lacks one is no surprise."""
    if share <= 0:
        return batch
    present = batch[""]
    kept = torch.rand(present.shape, generator=generator, device=present.device) >= share
    changed = {"": present * kept}
    for place, one in enumerate(fields.fields):
        rows, keep = batch[one.name], kept[:, place, None]
        changed[one.name] = torch.where(keep, rows, NONE if one.has_words else 0)
    return changed


@torch.no_grad()
def represent_all(encoder: Encoder, resident: Batch, at_once: int = 8192) -> Tensor:
    songs = torch.arange(len(resident[""]), device=resident[""].device)
    return torch.cat([encoder(rows_of(resident, some)) for some in torch.split(songs, at_once)])


@torch.no_grad()
def recall_of(encoder: Encoder, resident: Batch, task: Task) -> float:
    """Of the true neighbours of each held-out song, the share among its nearest training songs by what is served."""
    if not len(task.truth):
        return 0.0
    vectors = functional.normalize(represent_all(encoder, resident), dim=-1)
    cold, warm = (torch.from_numpy(songs).to(vectors.device) for songs in (task.validation, task.training))
    scores = vectors[cold] @ vectors[warm].T  # (validation, training)
    nearest = scores.topk(min(RECALL_AT, len(task.training)), dim=1).indices.cpu().numpy()
    row = np.searchsorted(task.validation, task.truth.songs)
    is_true = np.zeros((len(task.validation), len(task.training)), dtype=bool)
    is_true[row, np.searchsorted(task.training, task.truth.similar)] = True
    hits = np.take_along_axis(is_true, nearest, axis=1).sum(axis=1)
    return float(np.mean(hits / np.minimum(is_true.sum(axis=1), RECALL_AT)))


def learning_rate(step: int, run: RunSettings) -> float:
    """Falls along half a cosine, from the first step to the last."""
    left = (1 + np.cos(np.pi * (step - 1) / max(run.steps - 1, 1))) / 2
    return float(run.learning_rate * (run.final_learning_rate + (1 - run.final_learning_rate) * left))


def _draw(below: int, count: int, generator: torch.Generator) -> Tensor:
    return torch.randint(below, (count,), generator=generator, device=generator.device)


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
