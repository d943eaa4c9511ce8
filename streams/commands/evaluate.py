"""`bcl evaluate`: methods and models on the same held-out songs of a data folder or of worlds, with a report."""

import argparse
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streams.commands.worlds import data_options, exponents_of, source_of

if TYPE_CHECKING:
    from bcl_model.evaluation.contenders import Contender
    from bcl_model.evaluation.rounds import Outcome, Plan

EXAMPLE = "bcl evaluate --data my-catalogue --methods popularity content bpr demo --by album --seeds 5"

OF_WORLDS = ("worlds/bpr", "worlds/rfm", "worlds/cfm", "worlds/bcl")  # of config/models


def arguments(parser: argparse.ArgumentParser) -> None:
    data_options(parser)
    parser.add_argument(
        "--methods", nargs="+", metavar="NAME|FILE", help="known methods, or settings of config/models or of a file"
    )
    parser.add_argument("--main", metavar="NAME", help="the method set against every other one (default: the last)")
    parser.add_argument(
        "--table", action="store_true", help="all methods, by song and by album, 5 seeds, unless said otherwise"
    )
    parser.add_argument("--by", nargs="+", metavar="FIELD", help="hold out songs, or all that share its value")
    parser.add_argument("--share", type=float, default=0.1, help="of the songs that is held out")
    parser.add_argument("--seeds", type=int, help="so many splits; intervals need at least 2")
    parser.add_argument("--budget", type=int, default=100, help="listeners for each cold song")
    parser.add_argument("--jobs", type=int, default=1, help="processes that share the work")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("runs/evaluation"),
        metavar="DIR",
        help="report.json, report.html, and what a run that was cut goes on from",
    )
    parser.add_argument("--json", action="store_true", help="the report as one JSON object")


def run(args: argparse.Namespace) -> int:
    from bcl_model.evaluation.contenders import contenders
    from bcl_model.evaluation.page import page
    from bcl_model.evaluation.report import report
    from bcl_model.evaluation.rounds import Plan
    from bcl_model.evaluation.worlds import gaps
    from bcl_model.rivals import TABLE
    from streams.commands.model import told
    from streams.commands.progress import bar
    from streams.commands.train import MODELS
    from streams.errors import BadSettings

    exponents = exponents_of(args)
    usual = TABLE if args.table else OF_WORLDS if exponents else ("random", "popularity", "content", "bpr", "demo")
    ways = tuple(args.by or (("song", "album") if args.table and not exponents else ("song",)))
    seeds = args.seeds if args.seeds is not None else 5 if args.table else 1
    for name in ("budget", "jobs"):
        if getattr(args, name) < 1:
            raise BadSettings(f"--{name} is {getattr(args, name)}, wanted at least 1")
    if seeds < 1:
        raise BadSettings(f"--seeds is {seeds}, wanted at least 1")
    plan = Plan(ways, seeds, args.share, args.budget)
    with told():
        chosen = contenders(args.methods or usual, MODELS)
        main = args.main or chosen[-1].name
        if main not in {one.name for one in chosen}:
            raise BadSettings(f"--main {main} is none of the methods {', '.join(one.name for one in chosen)}")
        steps = len(chosen) * len(ways) * seeds * len(exponents or [0])
        with bar(steps, quiet=args.json) as said:
            outcome = _outcome(args, exponents, chosen, plan, said)
    found = report(outcome, chosen, plan, main, str(args.data) if args.data else _described(args))
    if exponents:
        found["worlds"] = gaps(outcome, plan, exponents, main)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "report.json").write_text(json.dumps(found, indent=1, allow_nan=False) + "\n", "utf-8")
    (args.out / "report.html").write_text(page(found), "utf-8")
    if args.json:
        print(json.dumps(found))
    else:
        _print(found)
        print(f"\n{args.out / 'report.html'}")
    return 0


def _outcome(
    args: argparse.Namespace,
    exponents: Sequence[float] | None,
    chosen: "Sequence[Contender]",
    plan: "Plan",
    said: Callable[[str], None],
) -> "Outcome":
    from bcl_model.catalogue import read_catalogue
    from bcl_model.evaluation.rounds import Step, run
    from bcl_model.evaluation.worlds import run_worlds

    def progress(step: Step, seconds: float) -> None:
        said(f"{step.contender.name} by {step.by}, seed {step.seed}")

    if not exponents:
        source = partial(read_catalogue, args.data, args.fields)
        return run(source, chosen, plan, args.out, jobs=args.jobs, progress=progress)
    return run_worlds(source_of(args), exponents, chosen, plan, args.out, jobs=args.jobs, progress=progress)


def _described(args: argparse.Namespace) -> str:
    return f"simulated worlds of {args.songs} songs, {args.listeners} listeners, {args.plays} plays"


def _print(found: dict[str, Any]) -> None:
    width = max(map(len, found["methods"]))
    for by, way in found["held_out_by"].items():
        for measure in next(iter(way["methods"].values())):
            print(f"\nheld out by {by}: {measure.replace('_', ' ')}")
            for name, of in way["methods"].items():
                one = of[measure]
                interval = f"  [{one['low']:.3f}, {one['high']:.3f}]" if found["seeds"] > 1 else ""
                print(f"  {name:{width}} {one['mean']:.3f}{interval}")
