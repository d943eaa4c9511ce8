"""`bcl htcl`: audio and text encoders are trained, probed, and make the vectors of a folder of sound files."""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bcl_model.htcl.settings import HtclSettings

EXAMPLE = "bcl htcl train my-songs --model small --stage 1"

MODELS = Path(__file__).parents[2] / "config" / "htcl"

_ABOUT = {
    "world": "a simulated world as a folder of synthetic music with captions, lyrics and feedback, for trials",
    "train": "one stage of training: a folder of songs in, a model out",
    "embed": "a folder of sound files in, a parquet file of vectors out; a run that was cut goes on",
    "probe": "what a model's vectors know of songs that its training did not see",
    "import": "the authors' weights (a state dict, .pth or .safetensors) as a model",
}
_FOLDER = """the folder of a training holds
  songs.parquet      song_id, audio (a path below the folder), artist (a name or a list); title, caption, lyrics;
                     every other column of text is a tag for `bcl htcl probe`
  feedback.parquet   for stage 2: trigger, recalled, shown, liked

with several GPUs: torchrun --nproc-per-node 8 -m streams.cli htcl train ..."""


def arguments(parser: argparse.ArgumentParser) -> None:
    from streams.commands.htcl_world import world_arguments

    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    added = {
        name: actions.add_parser(
            name, help=about, description=about, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        for name, about in _ABOUT.items()
    }
    for name, sub in added.items():
        sub.add_argument("--json", action="store_true", help="the result as one JSON object")
        if name not in ("import", "world"):
            sub.add_argument("--device", help="cpu or cuda, instead of the model's own")
            sub.add_argument("--threads", type=int, help="that read sounds and compute (default: the model's own)")
    for name in ("train", "import"):
        added[name].add_argument(
            "--model", metavar="NAME|FILE", help="of config/htcl, or a TOML file; stage 2 has that of stage 1"
        )
        added[name].add_argument("--out", type=Path, default=Path("runs/htcl"), metavar="DIR", help="folder of models")
    for name in ("train", "probe"):
        added[name].add_argument("folder", type=Path, metavar="FOLDER", help="songs.parquet and what it names")

    world_arguments(added["world"])

    train = added["train"]
    train.epilog = f"{_FOLDER}\n\nexample: {EXAMPLE}"
    train.add_argument("--stage", type=int, choices=(1, 2), required=True, help="1 semantics, 2 preference")
    train.add_argument(
        "--from", dest="start", type=Path, metavar="MODEL", help="the model of stage 1 that stage 2 goes on from"
    )
    train.add_argument("--seed", type=int, help="instead of the model's own")
    train.add_argument("--epochs", type=int, help="instead of the model's own")
    train.add_argument("--checkpoint", type=Path, metavar="FILE", help="kept while training; a run goes on from it")

    embed = added["embed"]
    embed.epilog = "example: bcl htcl embed music --with runs/htcl/htcl-3f9a0c1d2e4b --out vectors.parquet"
    embed.add_argument(
        "folder", type=Path, metavar="FOLDER", help="sound files, with songs.parquet or .txt beside them"
    )
    embed.add_argument("--out", type=Path, required=True, metavar="FILE", help="the parquet file")
    embed.add_argument("--per-batch", type=int, default=16, help="songs at once (default: 16)")
    embed.add_argument("--bf16", action="store_true", help="half the memory, on hardware that has it")

    about = added["probe"]
    about.epilog = "example: bcl htcl probe my-songs --with runs/htcl/htcl-3f9a0c1d2e4b --tags genre,language"
    about.add_argument("--tags", default="genre,language", help="columns of songs.parquet (default: genre,language)")
    about.add_argument(
        "--prompt", default="{tag}: {word}", help="that a word is looked for by (default: {tag}: {word})"
    )
    for sub in (embed, about):
        sub.add_argument("--with", dest="artifact", type=Path, required=True, metavar="MODEL", help="a trained model")

    weights = added["import"]
    weights.epilog = "example: bcl htcl import stage2.pth --model published"
    weights.add_argument("weights", type=Path, metavar="FILE")


def run(args: argparse.Namespace) -> int:
    from streams.commands.htcl_world import write_world
    from streams.commands.model import told

    actions: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
        "world": write_world,
        "train": _train,
        "embed": _embed,
        "probe": _probe,
        "import": _import,
    }
    with told():
        found = actions[args.action](args)
    if args.json and found:
        print(json.dumps(found))
    elif found:
        print("\n".join(_lines(found)))
    return 0


def _train(args: argparse.Namespace) -> dict[str, Any]:
    """Of several processes the first one writes and speaks."""
    from bcl_model.htcl.artifact import read_htcl, write_htcl
    from bcl_model.htcl.corpus import read_corpus
    from bcl_model.htcl.model import Htcl
    from bcl_model.htcl.processes import processes
    from bcl_model.htcl.spectra import Spectra
    from bcl_model.htcl.train import Progress, Stage, train
    from streams.errors import BadSettings

    stage = Stage(args.stage)
    if (stage is Stage.PREFERENCE) != (args.start is not None):
        raise BadSettings("stage 2 goes on from a model of stage 1: name it with --from; stage 1 takes none")
    if args.start is None:
        settings = _said(_settings(args.model or "small"), args)
    else:
        before = read_htcl(args.start).model
        settings = _said(_as_started(before.settings, args.model), args)
    corpus = read_corpus(args.folder)
    with processes(settings.run.device) as ours:
        if args.start is None:
            model = Htcl.fresh(settings)
        else:
            model = before
            model.settings = settings
        fewest = model.audio_encoder.fewest_frames
        if ours.is_first:
            with _bar("reading sounds", quiet=args.json) as show:
                spectra = Spectra(corpus, settings.sound, fewest)
                for refused in spectra.prepare(settings.run.threads, show):
                    print(f"bcl htcl: left out {refused}", file=sys.stderr)
        ours.wait()
        spectra = Spectra(corpus, settings.sound, fewest)
        with _bar("training", quiet=args.json or not ours.is_first) as show:

            def after(now: Progress) -> None:
                recall = "" if now.recall is None else f", text to audio R@10 {now.recall:.3f}"
                show(now.epoch, now.epochs, f"loss {now.loss:.3f}{recall}")

            metrics = train(corpus, spectra, model, stage, ours, checkpoint=args.checkpoint, progress=after)
        if not ours.is_first:
            return {}
        folder = write_htcl(args.out, model, metrics)
    return {"model": folder.name, "folder": str(folder), **metrics}


def _embed(args: argparse.Namespace) -> dict[str, Any]:
    from bcl_model.htcl.embed_folder import embed_folder
    from bcl_model.htcl.embedder import Embedder
    from bcl_model.htcl.processes import torch_threads
    from streams.errors import BadSettings

    if args.per_batch < 1:
        raise BadSettings(f"--per-batch is {args.per_batch}, wanted at least 1")
    embedder = Embedder.load(args.artifact, device=args.device or "cpu", bf16=args.bf16)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with torch_threads(args.threads) as threads, _bar("embedding", quiet=args.json) as show:
        done = embed_folder(args.folder, args.out, embedder, at_once=args.per_batch, threads=threads, progress=show)
    return {
        "model": embedder.name,
        "file": str(args.out),
        "embedded": done.embedded,
        "refused": done.refused,
        "done_before": done.before,
    }


def _probe(args: argparse.Namespace) -> dict[str, Any]:
    from bcl_model.htcl.artifact import read_htcl
    from bcl_model.htcl.corpus import read_corpus, split_of
    from bcl_model.htcl.embedder import Embedder
    from bcl_model.htcl.probe import probe, vectors_of
    from bcl_model.htcl.processes import torch_threads
    from bcl_model.htcl.spectra import Spectra

    corpus, artifact = read_corpus(args.folder), read_htcl(args.artifact)
    settings = artifact.model.settings
    spectra = Spectra(corpus, settings.sound, artifact.model.audio_encoder.fewest_frames)
    with torch_threads(args.threads) as threads:
        with _bar("reading sounds", quiet=args.json) as show:
            for refused in spectra.prepare(threads, show):
                print(f"bcl htcl: left out {refused}", file=sys.stderr)
        embedder = Embedder(artifact.name, artifact.model, device=args.device or "cpu")
        with _bar("embedding", quiet=args.json) as show:
            vectors = vectors_of(corpus, spectra, embedder, progress=show)
        tags = [tag for tag in args.tags.split(",") if tag]
        found = probe(corpus, vectors, embedder, split_of(corpus, settings.run), tags, args.prompt)
    return {"model": artifact.name, **found}


def _import(args: argparse.Namespace) -> dict[str, Any]:
    from bcl_model.htcl.artifact import write_htcl
    from bcl_model.htcl.authors import load_authors
    from bcl_model.htcl.model import Htcl

    model = Htcl.fresh(_settings(args.model or "published"))
    load_authors(args.weights, model)
    folder = write_htcl(args.out, model, {"imported_from": args.weights.name})
    return {"model": folder.name, "folder": str(folder)}


def _settings(model: str) -> "HtclSettings":
    from bcl_model.htcl.settings import read_htcl_settings

    return read_htcl_settings(Path(model) if model.endswith(".toml") else MODELS / f"{model}.toml")


def _as_started(started: "HtclSettings", model: str | None) -> "HtclSettings":
    """How stage 2 is trained may be said anew; what the model is, stage 1 has decided."""
    from streams.errors import BadSettings

    if model is None:
        return started
    wanted = _settings(model)
    for part in ("sound", "audio", "text", "head"):
        if getattr(wanted, part) != getattr(started, part):
            raise BadSettings(f"[{part}] of {model} is not that of the model of stage 1; leave --model out")
    return wanted


def _said(settings: "HtclSettings", args: argparse.Namespace) -> "HtclSettings":
    said = {"seed": args.seed, "device": args.device, "threads": args.threads}
    settings = replace(
        settings, run=replace(settings.run, **{name: value for name, value in said.items() if value is not None})
    )
    if args.epochs is None:
        return settings
    stage = f"stage{args.stage}"
    return replace(settings, **{stage: replace(getattr(settings, stage), epochs=args.epochs)})


def _lines(found: dict[str, Any], indent: str = "") -> Iterator[str]:
    for name, value in found.items():
        if isinstance(value, dict):
            yield f"{indent}{name.replace('_', ' ')}"
            yield from _lines(value, indent + "  ")
        else:
            yield f"{indent}{name.replace('_', ' ')}: {value}"


@contextmanager
def _bar(about: str, *, quiet: bool) -> Iterator[Callable[..., None]]:
    """On a terminal, nothing elsewhere."""
    if quiet or not sys.stderr.isatty():
        yield lambda *now: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(about, total=None)
        yield lambda done, of, said=about: bar.update(task, completed=done, total=of, description=said)
