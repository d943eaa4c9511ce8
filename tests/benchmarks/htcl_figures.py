"""What HTCL is worth on synthetic music: python -m tests.benchmarks.htcl_figures claim|ceilings|fields --folder DIR

claim      stage 1: text -> audio R@10 on held-out artists, beside chance; stage 2: agreement with the true co-listening
           (share of the 50 true neighbours of a held-out song among its 50 nearest of all songs), zero-shot tagging
ceilings   the agreement that a ridge reaches which is told the true appeal of the training songs: from what a caption
           names, from mel statistics, from the vectors of stage 1, from what the sound was made of
fields     songs of held-out artists as releases, matched by BCL: with the vectors of either stage as fields, with mel
           statistics, without sound, with the true style in their place; of a catalogue that knows everything else,
           and of one that knows half; precision of the listeners chosen at a budget, recall of the true neighbours

A seed is a world of its own, with its own songs, listeners, held-out artists and training; its corpus is written where
it is missing. Everything is synthetic: songs, captions, listeners and what they like.
What is done stays in DIR/figures and is not run again, a run that was cut goes on; the others need the seeds of claim.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import soundfile
import torch
from sklearn.linear_model import RidgeCV
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from bcl_model.artifact import Artifact
from bcl_model.fields import Content
from bcl_model.htcl.corpus import Corpus, Split, read_corpus, split_of
from bcl_model.htcl.embedder import Embedder
from bcl_model.htcl.model import Htcl
from bcl_model.htcl.probe import Vectors, probe, vectors_of
from bcl_model.htcl.processes import Processes
from bcl_model.htcl.retrieval import agreement, neighbours
from bcl_model.htcl.settings import HtclSettings, read_htcl_settings
from bcl_model.htcl.spectra import Spectra
from bcl_model.htcl.train import Progress, Stage, train
from bcl_model.inference import SongEncoder
from bcl_model.mel_statistics import MelStatistics
from bcl_model.settings import read_settings
from bcl_model.train import train as train_bcl
from streams.commands.htcl import MODELS
from streams.commands.train import settings_file
from streams.config import load_settings
from streams.judging.judge import Known
from streams.sweep.cold import Cold
from streams.sweep.past import Catalogue, Past, heard
from streams.sweep.sources import Fresh, content
from streams.world.colistening import appeal
from streams.world.plays import history
from streams.world.recordings import NEIGHBOURS, write_corpus
from streams.world.world import World, WorldSettings

SONGS, SECONDS = 4_000, 6.0
_WRITTEN = ".written"  # a corpus that is whole
PLAYS, RELEASES, BUDGET = 200_000, 300, 200  # of 20,000 listeners: one in a hundred is reached
COMPONENTS = 60  # of the appeal, which a ridge is told: seven eighths of its variance
CATALOGUES = {"all known": 0.0, "half known": 0.5}  # share of the attributes that the catalogue does not know
TAGS = ("genre", "mood", "language", "era")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("figure", choices=("claim", "ceilings", "fields"))
    parser.add_argument("--folder", type=Path, required=True, metavar="DIR", help="of the corpora, written if missing")
    parser.add_argument("--songs", type=int, default=SONGS)
    parser.add_argument("--seeds", default="11,12,13")
    parser.add_argument("--model", type=Path, default=MODELS / "small.toml", metavar="FILE")
    args = parser.parse_args(arguments)
    settings, rows = read_htcl_settings(args.model), []
    (args.folder / "figures").mkdir(parents=True, exist_ok=True)
    figure, table = {
        "claim": (claim_of, claim_table),
        "ceilings": (ceilings_of, ceilings_table),
        "fields": (fields_of, fields_table),
    }[args.figure]
    for seed in map(int, args.seeds.split(",")):
        file = _kept(args.folder, args.figure, seed)
        if not file.exists():
            one = Trial.of(args.folder, settings, args.songs, seed)
            file.write_text(json.dumps({"seed": seed, "synthetic": True, **figure(one)}, indent=1))
        rows.append(json.loads(file.read_text()))
    print(table(rows))
    return 0


@dataclass(frozen=True)
class Trial:
    """One seed."""

    folder: Path
    seed: int
    settings: HtclSettings
    world: World
    corpus: Corpus
    split: Split

    @classmethod
    def of(cls, folder: Path, settings: HtclSettings, songs: int, seed: int) -> "Trial":
        settings = replace(settings, run=replace(settings.run, seed=seed))
        world = World(WorldSettings(songs=songs, new_songs=0, seed=seed))
        written = folder / f"world-{seed}"
        if not (written / _WRITTEN).exists():
            write_corpus(world, written, seconds=SECONDS)
            (written / _WRITTEN).touch()
        corpus = read_corpus(written)
        return cls(folder, seed, settings, world, corpus, split_of(corpus, settings.run))

    def vectors(self, stage: int) -> dict[str, np.ndarray]:
        """audio and text, by row of the corpus."""
        found = np.load(_kept(self.folder, f"vectors-{stage}", self.seed, "npz"))
        return {side: found[side] for side in ("audio", "text")}

    def mel(self) -> np.ndarray:
        kept = _kept(self.folder, "mel", self.seed, "npy")
        if not kept.exists():
            np.save(kept, np.stack([_mel(self.corpus.folder / file) for file in self.corpus.audio]))
        rows: np.ndarray = np.load(kept)
        return rows


def claim_of(trial: Trial) -> dict[str, Any]:
    folder, corpus, settings, seed = trial.folder, trial.corpus, trial.settings, trial.seed
    model = Htcl.fresh(settings)
    spectra = Spectra(corpus, settings.sound, model.audio_encoder.fewest_frames)
    assert spectra.prepare(settings.run.threads) == []
    row: dict[str, Any] = {}
    for stage in Stage:
        started = time.perf_counter()
        checkpoint = _kept(folder, f"stage{stage}", seed, "safetensors")
        told = train(corpus, spectra, model, stage, _alone(), checkpoint=checkpoint, progress=_say)
        seconds = time.perf_counter() - started
        vectors = vectors_of(corpus, spectra, Embedder("judged", model))
        row[f"stage{stage}"] = {**judged(trial, vectors, model), "train": told, "seconds_of_this_run": round(seconds)}
        np.savez(_kept(folder, f"vectors-{stage}", seed, "npz"), audio=vectors.audio, text=vectors.text)
    return row


def judged(trial: Trial, vectors: Vectors, model: Htcl) -> dict[str, Any]:
    both = np.hstack([vectors.audio, vectors.text])
    return {
        **probe(trial.corpus, vectors, Embedder("judged", model), trial.split, TAGS),
        "agreement": agreement_of(trial, vectors.audio),
        "agreement_with_text": agreement_of(trial, both),
    }


def agreement_of(trial: Trial, vectors: np.ndarray) -> float:
    """Over the held-out songs."""
    truth, rows = true_neighbours(trial.corpus), trial.split.held_out
    near = neighbours(torch.from_numpy(vectors.astype(np.float32)), torch.from_numpy(rows), truth.shape[1])
    return agreement(near, torch.from_numpy(truth[rows]))


def true_neighbours(corpus: Corpus) -> np.ndarray:
    table = pq.read_table(corpus.folder / "truth.parquet").to_pydict()
    place = {song: row for row, song in enumerate(corpus.songs)}
    named = dict(zip(table["song_id"], table["neighbours"], strict=True))
    return np.array([[place[other] for other in named[song]] for song in corpus.songs])


def claim_table(rows: Sequence[dict[str, Any]]) -> str:
    lines = [
        "synthetic music, a world a seed; held-out artists",
        f"seed  R@10 stage 1  x chance  {'agreement 1 -> 2':27}{'audio and text 1 -> 2':27}zero-shot 1 -> 2",
    ]
    for row in rows:
        stages = row["stage1"], row["stage2"]
        recall, chance = (stages[0][of]["recall_at_10"] for of in ("text_to_audio", "chance"))
        pairs = [[of(stage) for stage in stages] for of in JUDGED]
        lines.append(f"{row['seed']:4}  {recall:12.3f}  {recall / chance:8.1f}" + "".join(map(_change, pairs)))
    means = [[float(np.mean([of(row[stage]) for row in rows])) for stage in ("stage1", "stage2")] for of in JUDGED]
    return "\n".join([*lines, f"mean{'':24}" + "".join(map(_change, means))])


def _change(pair: Sequence[float]) -> str:
    return f"  {pair[0]:7.4f} -> {pair[1]:.4f}  {pair[1] / pair[0] - 1:+7.1%}"


def zero_shot(stage: dict[str, Any]) -> float:
    """The mean over tags of the share of held-out songs that their prompt finds."""
    return float(np.mean([tag["zero_shot"] for tag in stage["tags"].values()]))


JUDGED: tuple[Callable[[dict[str, Any]], float], ...] = (
    lambda stage: float(stage["agreement"]),
    lambda stage: float(stage["agreement_with_text"]),
    zero_shot,
)


def ceilings_of(trial: Trial) -> dict[str, Any]:
    songs, one = trial.world.catalogue, trial.vectors(1)
    genre, haste = trial.world.artists.genres[songs.artists], (songs.tempos[:, None] - 110) / 30
    language, era = np.eye(songs.languages.max() + 1)[songs.languages], np.eye(songs.eras.max() + 1)[songs.eras]
    named = np.hstack([np.eye(genre.max() + 1)[genre], np.eye(songs.moods.max() + 1)[songs.moods], haste])
    made_of = np.hstack([2 * songs.styles, language, era])
    known = {
        "what a caption names": np.hstack([named, language, era]),
        "mel statistics": trial.mel(),
        "HTCL stage 1 audio": one["audio"],
        "HTCL stage 1 audio, text": np.hstack([one["audio"], one["text"]]),
        "style, language, era": made_of,
        "and their products": PolynomialFeatures(2).fit_transform(made_of),
    }
    found = appeal(trial.world)
    found -= found.mean(axis=0)
    found -= found.mean(axis=1, keepdims=True)
    left, sizes, _ = np.linalg.svd(found / np.linalg.norm(found, axis=1, keepdims=True), full_matrices=False)
    told, training = (left * sizes)[:, :COMPONENTS], trial.split.training
    row = {"chance": NEIGHBOURS / (len(songs) - 1)}
    for name, columns in known.items():
        scaled = StandardScaler().fit(columns[training]).transform(columns)
        ridge = RidgeCV(np.logspace(0, 4, 9)).fit(scaled[training], told[training])
        row[name] = agreement_of(trial, ridge.predict(scaled))
    return row


def ceilings_table(rows: Sequence[dict[str, Any]]) -> str:
    lines = ["synthetic music, a world a seed; agreement of held-out songs by a ridge that was told the true appeal"]
    for name in (name for name in rows[0] if name not in ("seed", "synthetic")):
        every = [row[name] for row in rows]
        lines.append(f"{name:30}{' '.join(f'{one:.4f}' for one in every)}   mean {np.mean(every):.4f}")
    return "\n".join(lines)


def fields_of(trial: Trial) -> dict[str, Any]:
    """Songs of artists that HTCL has not seen are the releases; BCL knows the plays of the songs that HTCL has."""
    songs, training = list(trial.world.songs()), trial.split.training
    past, cold = listened(trial.world, training, trial.split.held_out, trial.seed)
    row: dict[str, Any] = {"releases": len(cold.releases), "budget": BUDGET}
    for told, forgets in CATALOGUES.items():
        known = [forgetting(content(song), forgets, [trial.seed, n]) for n, song in enumerate(songs)]
        for name, of in vectors_by_variant(trial).items():
            every = [replace(one, vectors=of(n)) for n, one in enumerate(known)]
            past.songs = replace(past.songs, contents=tuple(every[song] for song in training))
            fresh = [replace(one, content=every[trial.corpus.songs.index(one.song_id)]) for one in cold.releases]
            bcl = read_settings(settings_file("demo"))
            bcl = replace(bcl, run=replace(bcl.run, seed=trial.seed))
            artifact: Artifact = train_bcl(past.songs.contents, past.interactions, bcl)
            row[f"{told}: {name}"] = replace(cold, past=past, releases=fresh).judged(SongEncoder(artifact))
            print(told, name, row[f"{told}: {name}"], flush=True)
    return row


def vectors_by_variant(trial: Trial) -> dict[str, Callable[[int], dict[str, Any]]]:
    """variant -> what is known of the sound and the words of a song, by its row."""
    one, two, mel = trial.vectors(1), trial.vectors(2), trial.mel()
    styles = trial.world.catalogue.styles.astype(np.float32)
    return {
        "no sound, no words": lambda row: {},
        "mel statistics": lambda row: {"audio": mel[row]},
        "HTCL stage 1 audio": lambda row: {"audio": one["audio"][row]},
        "HTCL stage 2 audio": lambda row: {"audio": two["audio"][row]},
        "HTCL stage 2 audio, lyrics": lambda row: {"audio": two["audio"][row], "lyrics": two["text"][row]},
        "the true style": lambda row: {"audio": styles[row]},
    }


def forgetting(known: Content, share: float, seed: Sequence[int]) -> Content:
    """As a catalogue has it that does not know every attribute."""
    kept = np.random.default_rng([*seed, 4]).random(len(known.attributes)) >= share
    return replace(known, attributes=dict(compress(known.attributes.items(), kept)))


def listened(world: World, warm: np.ndarray, cold: np.ndarray, seed: int) -> tuple[Past, Cold]:
    rule = load_settings([], {}).listening
    place = np.full(len(world.catalogue), -1)
    place[warm] = np.arange(len(warm))
    blocks = [block.take(place[block.songs] >= 0) for block in history(world, PLAYS)]
    played = heard([replace(block, songs=place[block.songs]) for block in blocks], rule, world.settings.listeners)
    songs = list(world.songs())
    catalogue = Catalogue(tuple(songs[n].song_id for n in warm), tuple(content(songs[n]) for n in warm))
    past = Past(catalogue, played, world.settings.listeners, world.settings.start_ms, rule)
    listeners = world.listeners()
    releases = []
    for row in np.random.default_rng([seed, 3]).permutation(cold)[:RELEASES].tolist():
        truth = world.truth_of(row, listeners)
        known = Known(truth.probabilities, truth.would_like, truth.crowds)
        releases.append(Fresh(songs[row].song_id, content(songs[row]), known))
    return past, Cold.of(past, releases, BUDGET)


def fields_table(rows: Sequence[dict[str, Any]]) -> str:
    told = {"seed", "synthetic", "releases", "budget"}
    lines = [f"synthetic music, a world a seed; {RELEASES} releases of held-out artists, {BUDGET} of 20,000 listeners"]
    for of in ("precision_by_song", "precision_by_neighbours", "recall"):
        lines.append(of)
        for name in (name for name in rows[0] if name not in told):
            every = [row[name][of] for row in rows]
            lines.append(f"  {name:44}{' '.join(f'{one:.4f}' for one in every)}   mean {np.mean(every):.4f}")
    return "\n".join(lines)


def _mel(file: Path) -> np.ndarray:
    samples, rate = soundfile.read(file, dtype="float32")
    return MelStatistics().of(samples, rate)


def _kept(folder: Path, figure: str, seed: int, kind: str = "json") -> Path:
    return folder / "figures" / f"{figure}-{seed}.{kind}"


def _alone() -> Processes:
    return Processes(0, 1, torch.device("cpu"))


def _say(now: Progress) -> None:
    recall = "" if now.recall is None else f", R@10 {now.recall:.3f}"
    print(f"epoch {now.epoch} of {now.epochs}: loss {now.loss:.3f}{recall}", flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
