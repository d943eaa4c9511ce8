"""What HTCL is worth on synthetic music: python -m tests.benchmarks.htcl_figures claim|fields --folder DIR

claim    stage 1: text -> audio R@10 on held-out artists, beside chance; stage 2: agreement with the true co-listening
         (share of the 50 true neighbours of a held-out song among its 50 nearest of all songs), zero-shot tagging
fields   songs of held-out artists as releases, matched by BCL: with the vectors of either stage as fields, with mel
         statistics, without sound; precision of the listeners chosen at a budget, recall of the true neighbours

The corpus is written where it is missing. Everything is synthetic: songs, captions, listeners and what they like.
What is done stays in DIR/figures and is not run again, a run that was cut goes on; fields needs the seeds of claim.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import soundfile
import torch

from bcl_model.artifact import Artifact
from bcl_model.htcl.corpus import Corpus, read_corpus, split_of
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
from streams.replay.judge import Known
from streams.sweep.cold import Cold
from streams.sweep.past import Catalogue, Past, heard
from streams.sweep.sources import Fresh, content
from streams.world.plays import history
from streams.world.recordings import write_corpus
from streams.world.world import World, WorldSettings

SONGS, SECONDS, WORLD_SEED = 4_000, 6.0, 7
_WRITTEN = ".written"  # a corpus that is whole
PLAYS, RELEASES, BUDGET = 200_000, 100, 200  # of 20,000 listeners: one in a hundred is reached
TAGS = ("genre", "mood", "language", "era")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("figure", choices=("claim", "fields"))
    parser.add_argument("--folder", type=Path, required=True, metavar="DIR", help="of the corpus, written if missing")
    parser.add_argument("--songs", type=int, default=SONGS)
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--model", type=Path, default=MODELS / "small.toml", metavar="FILE")
    args = parser.parse_args(arguments)
    if not (args.folder / _WRITTEN).exists():
        write_corpus(world_of(args.songs), args.folder, seconds=SECONDS)
        (args.folder / _WRITTEN).touch()
    settings = read_htcl_settings(args.model)
    of, table = {"claim": (claim_of, claim_table), "fields": (fields_of, fields_table)}[args.figure]
    print(table([of(args.folder, settings, int(seed)) for seed in args.seeds.split(",")]))
    return 0


def world_of(songs: int) -> World:
    return World(WorldSettings(songs=songs, new_songs=0, seed=WORLD_SEED))


def claim_of(folder: Path, settings: HtclSettings, seed: int) -> dict[str, Any]:
    settings = replace(settings, run=replace(settings.run, seed=seed))
    file = _kept(folder, "claim", seed)
    if file.exists():
        found: dict[str, Any] = json.loads(file.read_text())
        return found
    corpus = read_corpus(folder)
    model = Htcl.fresh(settings)
    spectra = Spectra(corpus, settings.sound, model.audio_encoder.fewest_frames)
    assert spectra.prepare(settings.run.threads) == []
    row: dict[str, Any] = {"seed": seed, "synthetic": True}
    for stage in Stage:
        started = time.perf_counter()
        checkpoint = _kept(folder, f"stage{stage}", seed, "safetensors")
        told = train(corpus, spectra, model, stage, _alone(), checkpoint=checkpoint, progress=_say)
        seconds = time.perf_counter() - started
        vectors = vectors_of(corpus, spectra, Embedder("judged", model))
        row[f"stage{stage}"] = {**judged(corpus, vectors, model), "train": told, "seconds_of_this_run": round(seconds)}
        np.savez(_kept(folder, f"vectors-{stage}", seed, "npz"), audio=vectors.audio, text=vectors.text)
    file.write_text(json.dumps(row, indent=1))
    return row


def judged(corpus: Corpus, vectors: Vectors, model: Htcl) -> dict[str, Any]:
    split = split_of(corpus, model.settings.run)
    found = probe(corpus, vectors, Embedder("judged", model), split, TAGS)
    return {**found, "agreement": agreement_of(corpus, vectors, split.held_out)}


def agreement_of(corpus: Corpus, vectors: Vectors, rows: np.ndarray) -> float:
    truth = true_neighbours(corpus)
    near = neighbours(torch.from_numpy(vectors.audio), torch.from_numpy(rows), truth.shape[1])
    return agreement(near, torch.from_numpy(truth[rows]))


def true_neighbours(corpus: Corpus) -> np.ndarray:
    table = pq.read_table(corpus.folder / "truth.parquet").to_pydict()
    place = {song: row for row, song in enumerate(corpus.songs)}
    named = dict(zip(table["song_id"], table["neighbours"], strict=True))
    return np.array([[place[other] for other in named[song]] for song in corpus.songs])


def claim_table(rows: Sequence[dict[str, Any]]) -> str:
    lines = [
        "synthetic music; held-out artists",
        "seed  R@10 stage 1  x chance  agreement 1 -> 2      change   zero-shot 1 -> 2      change",
    ]
    for row in rows:
        one, two = row["stage1"], row["stage2"]
        recall, chance = one["text_to_audio"]["recall_at_10"], one["chance"]["recall_at_10"]
        tags = [zero_shot(stage) for stage in (one, two)]
        lines.append(
            f"{row['seed']:4}  {recall:12.3f}  {recall / chance:8.1f}  {one['agreement']:.4f} -> {two['agreement']:.4f}"
            f"  {two['agreement'] / one['agreement'] - 1:+10.1%}   {tags[0]:.3f} -> {tags[1]:.3f}"
            f"  {tags[1] / tags[0] - 1:+12.1%}"
        )
    return "\n".join(lines)


def zero_shot(stage: dict[str, Any]) -> float:
    """The mean over tags of the share of held-out songs that their prompt finds."""
    return float(np.mean([tag["zero_shot"] for tag in stage["tags"].values()]))


def fields_of(folder: Path, settings: HtclSettings, seed: int) -> dict[str, Any]:
    """Songs of artists that HTCL has not seen are the releases; BCL knows the plays of the songs that HTCL has."""
    file = _kept(folder, "fields", seed)
    if file.exists():
        found: dict[str, Any] = json.loads(file.read_text())
        return found
    corpus = read_corpus(folder)
    world = world_of(len(corpus))
    split = split_of(corpus, replace(settings.run, seed=seed))
    songs, variants = list(world.songs()), vectors_by_variant(folder, corpus, seed)
    contents = {
        name: [replace(content(song), vectors=of(row)) for row, song in enumerate(songs)]
        for name, of in variants.items()
    }
    past, cold = trial_of(world, split.training, split.held_out, seed)
    row: dict[str, Any] = {"seed": seed, "synthetic": True, "releases": len(cold.releases), "budget": BUDGET}
    for name, every in contents.items():
        past.songs = replace(past.songs, contents=tuple(every[song] for song in split.training))
        fresh = [replace(one, content=every[corpus.songs.index(one.song_id)]) for one in cold.releases]
        bcl = read_settings(settings_file("demo"))
        bcl = replace(bcl, run=replace(bcl.run, seed=seed))
        artifact: Artifact = train_bcl(past.songs.contents, past.interactions, bcl)
        row[name] = replace(cold, past=past, releases=fresh).judged(SongEncoder(artifact))
        print(name, row[name], flush=True)
    file.write_text(json.dumps(row, indent=1))
    return row


def vectors_by_variant(folder: Path, corpus: Corpus, seed: int) -> dict[str, Callable[[int], dict[str, Any]]]:
    """variant -> what is known of the sound and the words of a song, by its row."""
    one, two = (np.load(_kept(folder, f"vectors-{stage}", seed, "npz")) for stage in (1, 2))
    stages = {stage: {side: found[side] for side in ("audio", "text")} for stage, found in ((1, one), (2, two))}
    mel = np.stack([_mel(folder / file) for file in corpus.audio])
    return {
        "no sound, no words": lambda row: {},
        "mel statistics": lambda row: {"audio": mel[row]},
        "HTCL stage 1 audio": lambda row: {"audio": stages[1]["audio"][row]},
        "HTCL stage 2 audio": lambda row: {"audio": stages[2]["audio"][row]},
        "HTCL stage 2 audio, lyrics": lambda row: {"audio": stages[2]["audio"][row], "lyrics": stages[2]["text"][row]},
    }


def trial_of(world: World, warm: np.ndarray, cold: np.ndarray, seed: int) -> tuple[Past, Cold]:
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
    lines = [f"synthetic music; {RELEASES} releases of held-out artists, {BUDGET} of 20,000 listeners each"]
    lines += [f"{'':30}precision@{BUDGET} by seed"]
    for name in (name for name in rows[0] if name not in told):
        every = [row[name]["precision_by_song"] for row in rows]
        lines.append(f"{name:30}{' '.join(f'{one:.4f}' for one in every)}   mean {np.mean(every):.4f}")
    return "\n".join(lines)


def _mel(file: Path) -> np.ndarray:
    samples, rate = soundfile.read(file, dtype="float32")
    return MelStatistics().of(samples, rate)


def _kept(folder: Path, figure: str, seed: int, kind: str = "json") -> Path:
    (folder / "figures").mkdir(exist_ok=True)
    return folder / "figures" / f"{figure}-{seed}.{kind}"


def _alone() -> Processes:
    return Processes(0, 1, torch.device("cpu"))


def _say(now: Progress) -> None:
    recall = "" if now.recall is None else f", R@10 {now.recall:.3f}"
    print(f"epoch {now.epoch} of {now.epochs}: loss {now.loss:.3f}{recall}", flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
