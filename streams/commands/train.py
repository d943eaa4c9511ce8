"""`bcl train`: a data folder in, an artifact out; with --search, settings chosen where nothing is compared later."""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from streams.commands.worlds import data_options, exponents_of, source_of

EXAMPLE = "bcl train --data my-catalogue --model bcl --out runs/models --promote"

MODELS = Path(__file__).parents[2] / "config" / "models"


def arguments(parser: argparse.ArgumentParser) -> None:
    data_options(parser)
    parser.add_argument(
        "--model", default="demo", metavar="NAME|FILE", help="a model of config/models or a TOML file (default: demo)"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/models"), metavar="DIR", help="folder of artifacts")
    parser.add_argument("--seed", type=int, help="instead of the model's own")
    parser.add_argument("--steps", type=int, help="instead of the model's own")
    parser.add_argument("--device", help="cpu or cuda, instead of the model's own")
    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="kept while training; a run goes on from it")
    parser.add_argument("--promote", action="store_true", help="put the new artifact in use")
    parser.add_argument(
        "--search", nargs="+", metavar="NAME", help="choose settings for these methods, the same trials for each"
    )
    parser.add_argument("--trials", type=int, default=8, help="of a search, for each method")
    parser.add_argument("--seeds", type=int, default=1, help="of a search: splits, or worlds of each exponent")
    parser.add_argument("--vary", nargs="+", default=[], metavar="KEY", help="settings to search (default: all)")
    parser.add_argument("--by", nargs="+", metavar="FIELD", help="of a search: held out (song album; of worlds song)")
    parser.add_argument("--budget", type=int, default=100, help="of a search: listeners for each song")
    parser.add_argument(
        "--measure", metavar="NAME", help="of a search: the best has most (default: precision at the budget)"
    )
    parser.add_argument("--jobs", type=int, default=1, help="of a search: processes that share the trials")
    parser.add_argument("--models", type=Path, default=MODELS, metavar="DIR", help="where a search writes NAME.toml")
    parser.add_argument("--json", action="store_true", help="the result as one JSON object")


def run(args: argparse.Namespace) -> int:
    return _search(args) if args.search else _train(args)


def _train(args: argparse.Namespace) -> int:
    from bcl_model.artifact import write_artifact
    from bcl_model.catalogue import read_catalogue
    from bcl_model.registry import promote
    from bcl_model.settings import read_settings
    from bcl_model.train import train
    from streams.commands.model import told
    from streams.errors import BadSettings

    if exponents_of(args):
        raise BadSettings("--worlds is for a search; one model is trained on --data DIR")
    with told():
        settings = read_settings(settings_file(args.model))
        said: dict[str, Any] = {"seed": args.seed, "steps": args.steps, "device": args.device}
        said = {name: value for name, value in said.items() if value is not None}
        settings = replace(settings, run=replace(settings.run, **said))
        catalogue = read_catalogue(args.data, args.fields)
        with _progress(settings.run.steps, quiet=args.json) as progress:
            artifact = train(
                catalogue.contents,
                catalogue.interactions,
                settings,
                catalogue.fields,
                progress,
                checkpoint=args.checkpoint,
            )
        folder = write_artifact(args.out, artifact)
        if args.promote:
            promote(args.out, artifact.name)
    if args.json:
        print(
            json.dumps({"artifact": artifact.name, "folder": str(folder), "in_use": args.promote, **artifact.metrics})
        )
    else:
        print(f"{folder}{' is in use' if args.promote else ''}")
        for name, value in artifact.metrics.items():
            print(f"  {name.replace('_', ' ')}: {value}")
    return 0


def _search(args: argparse.Namespace) -> int:
    from bcl_model.catalogue import read_catalogue
    from bcl_model.evaluation.contenders import contenders
    from bcl_model.evaluation.measures import song_to_listeners
    from bcl_model.evaluation.model_file import write_model
    from bcl_model.evaluation.rounds import Plan, Step
    from bcl_model.evaluation.search import on_validation_songs, on_worlds_apart, search
    from streams.commands.model import told
    from streams.commands.progress import bar
    from streams.errors import BadSettings

    for name in ("promote", "checkpoint", "steps", "device"):
        if getattr(args, name):
            raise BadSettings(f"--{name} is for training one model; --search trains many and keeps their settings")
    for name in ("trials", "seeds", "budget", "jobs"):
        if getattr(args, name) < 1:
            raise BadSettings(f"--{name} is {getattr(args, name)}, wanted at least 1")
    exponents = exponents_of(args)
    ways = tuple(args.by or (("song",) if exponents else ("song", "album")))
    plan, seed = Plan(ways, args.seeds, budget=args.budget), 1 if args.seed is None else args.seed
    measure = args.measure or song_to_listeners(args.budget)[0]
    with told():
        methods = contenders(args.search, args.models)
        steps = len(methods) * args.trials * len(ways) * args.seeds * len(exponents or [0])
        with bar(steps, quiet=args.json) as said:

            def progress(step: Step, _: float) -> None:
                said(f"{step.contender.name} by {step.by}")

            if exponents:
                judge = on_worlds_apart(source_of(args), exponents, plan, args.out, jobs=args.jobs, progress=progress)
            else:
                source = partial(read_catalogue, args.data, args.fields)
                judge = on_validation_songs(source, plan, args.out, jobs=args.jobs, progress=progress)
            found = search(
                judge, methods, measure=measure, budget=args.budget, trials=args.trials, seed=seed, vary=args.vary
            )
    judged_on = f"{'worlds apart' if exponents else 'validation songs'} by {', '.join(ways)}"
    if exponents:
        judged_on += f", power laws {', '.join(f'{exponent:g}' for exponent in exponents)}"
    judged_on += f", {args.seeds} of each" if args.seeds > 1 else ""
    for one in found:
        why = (
            f"bcl train --search: trial {one.tried.index(one.best)} of {len(one.tried)}, seed {seed}, {measure} "
            f"{one.best.score:.4f} (as given {one.given.score:.4f}) on {judged_on}."
        )
        file = args.models / f"{one.name}.toml"
        write_model(file, one.best.contender, why)
        if not args.json:
            print(f"{file}: {why}")
    if args.json:
        print(json.dumps({one.name: _told(one) for one in found}))
    return 0


def _told(found: Any) -> dict[str, Any]:
    tried = [
        {"settings": one.contender.table, "score": one.score, "by": one.by, "seconds": round(one.seconds, 2)}
        for one in found.tried
    ]
    return {"chosen": found.tried.index(found.best), "trials": tried}


def settings_file(model: str) -> Path:
    return Path(model) if model.endswith(".toml") else MODELS / f"{model}.toml"


@contextmanager
def _progress(steps: int, *, quiet: bool) -> Iterator[Callable[[Any], None] | None]:
    """A bar on a terminal, nothing elsewhere."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("preparing", total=steps)

        def show(now: Any) -> None:
            about = f"loss {now.loss:.3f}, recall {now.recall:.3f}, {now.pairs_per_second:,.0f} pairs/s"
            bar.update(task, completed=now.step, description=about)

        yield show
