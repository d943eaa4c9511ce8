"""`bcl sweep`: rules, crowds and models varied one by one on simulated worlds or a data folder, with a report."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streams.sweep.sources import Source
    from streams.sweep.studies import Sweep

EXAMPLE = "bcl sweep rules crowds --seeds 5 --out runs/sweep"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "studies",
        nargs="*",
        metavar="STUDY",
        help="rules vectors crowds matching operators views correlation contrast skew (default: all that can be)",
    )
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="a data folder whose held-out songs are the releases, not a world"
    )
    parser.add_argument("--fields", type=Path, metavar="FILE", help="the description, if it is not in the data folder")
    parser.add_argument("--listeners", type=int, default=4_000, help="of a simulated world")
    parser.add_argument("--songs", type=int, default=1_500, help="of a simulated world")
    parser.add_argument("--plays", type=int, help="of a simulated history; 40 for each listener if not given")
    parser.add_argument("--seed", type=int, default=11, help="of the first world or split")
    parser.add_argument("--seeds", type=int, default=5, help="so many worlds or splits, each with its own models")
    parser.add_argument("--releases", type=int, default=20, help="of each world or split, for which rules choose")
    parser.add_argument("--unheard", type=int, default=150, help="releases of each that judge a model")
    parser.add_argument("--trials", type=int, default=4, help="settings tried for each method at each skew")
    parser.add_argument("--exponents", type=float, nargs="+", default=[0.6, 1.22, 1.8], help="of the plays' power law")
    parser.add_argument("--budgets", type=int, nargs="+", default=[40, 200], help="the first one judges models")
    parser.add_argument("--model", default="sweep", metavar="NAME|FILE", help="the settings that are varied")
    parser.add_argument("--steps", type=int, help="of every training, instead of the model's own")
    parser.add_argument("--jobs", type=int, default=1, help="processes that share the work")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("runs/sweep"),
        metavar="DIR",
        help="report.json, report.html, and what a sweep that was cut goes on from",
    )
    parser.add_argument("--json", action="store_true", help="the report as one JSON object")


def run(args: argparse.Namespace) -> int:
    from streams.commands.model import told
    from streams.commands.progress import bar
    from streams.sweep.report import written
    from streams.sweep.studies import Carrier, jobs_of

    with told():
        sweep = _sweep(args)
        with bar(jobs_of(sweep), quiet=args.json) as said:
            found = Carrier(sweep, args.out / "kept", args.jobs, said).found()
    report = written(found, args.out)
    if args.json:
        print(json.dumps(report))
        return 0
    for of in report["studies"].values():
        print(f"\n{of['question']}\n{of['answer']}")
    print(f"\n{args.out / 'report.html'}")
    return 0


def _sweep(args: argparse.Namespace) -> "Sweep":
    from bcl_model.settings import read_settings
    from streams.commands.train import settings_file
    from streams.config import load_settings
    from streams.errors import BadSettings
    from streams.sweep.running import Bench
    from streams.sweep.studies import SKEW, STUDIES, Sweep
    from streams.sweep.variants import changed

    able = [study for study in STUDIES if study != SKEW or not args.data]  # data is as skewed as it is
    for study in args.studies:
        if study not in able:
            where = f" with --data {args.data}" if study in STUDIES else ""
            raise BadSettings(f"there is no study {study!r}{where}; there are {', '.join(able)}")
    for name in ("listeners", "songs", "plays", "seeds", "releases", "unheard", "trials", "steps", "jobs"):
        if (value := getattr(args, name)) is not None and value < 1:
            raise BadSettings(f"--{name} is {value}, wanted at least 1")
    if min(args.budgets) < 1:
        raise BadSettings(f"--budgets has {min(args.budgets)}, wanted at least 1")
    if not args.data and max(args.budgets) > args.listeners:
        raise BadSettings(f"--budgets has {max(args.budgets)}, there are {args.listeners} listeners")
    model = read_settings(settings_file(args.model))
    if args.steps is not None:
        model = changed(model, "run", steps=args.steps)
    return Sweep(
        Bench(_source(args), load_settings(), tuple(args.budgets)),
        model,
        tuple(study for study in able if study in (args.studies or able)),
        seeds=args.seeds,
        releases=args.releases,
        unheard=args.unheard,
        trials=args.trials,
        exponents=tuple(args.exponents),
    )


def _source(args: argparse.Namespace) -> "Source":
    from streams.sweep.sources import Folder, Simulated
    from streams.world.world import WorldSettings

    if args.data:
        return Folder.of(args.data, args.fields, args.seed)
    releases = max(args.releases, args.unheard)
    world = WorldSettings(args.listeners, args.songs, new_songs=releases, seed=args.seed)
    return Simulated(world, args.plays or 40 * args.listeners)
