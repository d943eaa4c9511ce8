"""Measure: python -m tests.benchmarks ingest | release | withdrawal | state | replay | truth | steps | htcl [--quick]

ingest      plays per second through one worker, durable, beside an idiomatic Faust agent and a bare consumer
release     from a release to the first and last of its targets, while plays flow at half the rate that ingest measures
withdrawal  from a withdrawal until the song is in no worker's index
state       bytes per listener and per song, on disk and in memory
replay      plays per second and core of a replay from a columnar log, beside what a live worker takes up
truth       whether `bcl replay` says what was said, and what is true, in simulated worlds; `--seeds 20 --prepared DIR`
steps       a training step of BCL beside one of BPR only, in CPU time, and pairs per second; needs no broker
htcl        clips per second through the audio encoder, share of peak, beside a plain loop

The worker and its rivals have one core each in turn, the broker and whoever measures have the others. `--prepared`
keeps what all runs begin with (a Kafka with a world's history, a worker's state) for the next call.
"""

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from tests.benchmarks import ingest, profile, release, replay, state, steps, truth, withdrawal
from tests.benchmarks.ingest import COUNTING, FAUST, ROOT, WORKER
from tests.benchmarks.machine import Cores, cores, description, pin
from tests.benchmarks.prepared import Prepared, Sizes, prepare

# scenario -> what is measured, and the same small enough for a try
SIZES = {
    "ingest": (
        Sizes(listeners=100_000, songs=20_000, history=1_500_000, plays=2_000_000),
        Sizes(listeners=20_000, songs=4_000, history=150_000, plays=300_000, training_steps=10),
    ),
    "release": (
        Sizes(listeners=100_000, songs=20_000, history=1_500_000, plays=600_000, flow=9_000_000),
        Sizes(listeners=20_000, songs=4_000, history=150_000, plays=200_000, flow=800_000, training_steps=10),
    ),
    "withdrawal": (
        Sizes(listeners=100_000, songs=20_000, history=1_500_000, plays=1_000),
        Sizes(listeners=20_000, songs=4_000, history=150_000, plays=1_000, training_steps=10),
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    args = _parser().parse_args(arguments)
    used = cores()
    pin(0, used.others)
    args.scratch.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="benchmark-", dir=args.scratch))
    try:
        result = {
            "scenario": args.scenario,
            "machine": description(),
            "pinned": {"subject": sorted(used.subject), "others": sorted(used.others)},
            "quick": args.quick,
            "seed": args.seed,
            **{
                "ingest": _ingest,
                "release": _release,
                "withdrawal": _withdrawal,
                "state": _state,
                "replay": _replay,
                "truth": _truth,
                "steps": _steps,
                "htcl": _htcl,
            }[args.scenario](args, used, folder),
        }
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(result) if args.json else "\n".join(_lines(result)))
    return 0


def _ingest(args: argparse.Namespace, used: Cores, folder: Path) -> dict[str, Any]:
    prepared = _prepared(args, folder)
    stacks = folder / "stacks" if args.profile else None
    found = ingest.measure(
        prepared,
        used,
        runs=args.runs or (1 if args.quick else 3),
        rival_s=8 if args.quick else 25,
        rivals=not args.profile,  # a worker that is watched is slower
        profile=stacks,
        changes=_changes(args),
    )
    return {"sizes": asdict(prepared.sizes), **found, **_profile(stacks)}


def _release(args: argparse.Namespace, used: Cores, folder: Path) -> dict[str, Any]:
    prepared = _prepared(args, folder)
    stacks = folder / "stacks" if args.profile else None
    found = release.measure(
        prepared,
        used,
        releases=args.releases or (6 if args.quick else 40),
        every_s=args.every_s,
        budget=args.budget or (2_000 if args.quick else 10_000),
        share_of_rate=args.share_of_rate,
        profile=stacks,
        changes=_changes(args),
    )
    return {"sizes": asdict(prepared.sizes), **found, **_profile(stacks)}


def _withdrawal(args: argparse.Namespace, used: Cores, folder: Path) -> dict[str, Any]:
    prepared = _prepared(args, folder)
    found = withdrawal.measure(
        prepared, used, withdrawals=args.releases or (5 if args.quick else 40), changes=_changes(args)
    )
    return {"sizes": asdict(prepared.sizes), **found}


def _state(args: argparse.Namespace, used: Cores, folder: Path) -> dict[str, Any]:
    listeners = [10_000, 100_000 if args.quick else 1_000_000]
    songs = 4_000 if args.quick else 20_000
    if args.listeners:
        listeners = [args.listeners]
    return state.measure(ROOT, folder, listeners, args.songs or songs)


def _replay(args: argparse.Namespace, used: Cores, folder: Path) -> dict[str, Any]:
    listeners, songs = args.listeners or 100_000, args.songs or 20_000
    plays = [args.plays] if args.plays else [200_000, 400_000] if args.quick else [1_000_000, 10_000_000]
    releases = args.releases or (20 if args.quick else 1_000)
    live: dict[str, Any] = {}
    if not args.alone:
        args.scenario, args.plays = "ingest", None
        prepared = _prepared(args, folder)
        ingested = ingest.measure(prepared, used, runs=1 if args.quick else 3, rival_s=0, rivals=False)
        live = {
            "live_plays_per_second": ingested["plays_per_second"][WORKER],
            "live_cpu_us_per_play": ingested["cpu_us_per_play"][WORKER],
        }
    pin(0, used.subject)
    return live | replay.measure(
        ROOT,
        (args.prepared or folder) / "logs",
        plays=plays,
        releases=releases,
        listeners=listeners,
        songs=songs,
        seed=args.seed,
        workers=1,
    )


def _truth(args: argparse.Namespace, used: Cores, folder: Path) -> dict[str, Any]:
    sizes = truth.Sizes(listeners=100_000, songs=20_000, plays=1_000_000, releases=200)
    if args.quick:
        sizes = truth.Sizes(listeners=2_000, songs=400, plays=20_000, releases=8, budget=100, training_steps=10)
    wanted = {name: getattr(args, name) for name in ("listeners", "songs", "plays", "releases", "budget")}
    wanted["workers"] = args.live
    sizes = replace(sizes, **{name: value for name, value in wanted.items() if value is not None})
    pin(0, used.subject | used.others if args.live else used.subject)
    return truth.measure(ROOT, args.prepared or folder, sizes=sizes, seeds=range(1, args.seeds + 1))


def _htcl(args: argparse.Namespace, used: Cores, folder: Path) -> dict[str, Any]:
    from tests.benchmarks import htcl  # imports torch, which the other scenarios do without

    pin(0, used.subject)
    return htcl.measure(folder, quick=args.quick, threads=max(1, len(used.subject)), seed=args.seed)


def _steps(args: argparse.Namespace, used: Cores, folder: Path) -> dict[str, Any]:
    pin(0, used.subject)
    songs, listeners, plays = args.songs or 5_000, args.listeners or 5_000, args.plays or 200_000
    if args.quick:
        songs, listeners, plays = args.songs or 800, args.listeners or 1_000, args.plays or 20_000
    turns, of_turn = (3, 2) if args.quick else (15, 20)
    return steps.measure(args.models, songs, listeners, plays, args.runs or turns, of_turn)


def _prepared(args: argparse.Namespace, folder: Path) -> Prepared:
    sizes = replace(SIZES[args.scenario][args.quick], seed=args.seed)
    wanted = {name: getattr(args, name) for name in ("listeners", "songs", "history", "plays", "flow")}
    sizes = replace(sizes, **{name: value for name, value in wanted.items() if value is not None})
    print("preparing: a world, its history, a worker that folds it ...", file=sys.stderr)
    kept = args.prepared or folder
    kept.mkdir(parents=True, exist_ok=True)
    return prepare(kept, sizes)


def _changes(args: argparse.Namespace) -> dict[str, str]:
    """section.key=value as a worker's environment says it."""
    pairs = (change.split("=", 1) for change in args.set)
    return {f"BCL__{name.replace('.', '__').upper()}": value for name, value in pairs}


def _profile(stacks: Path | None) -> dict[str, Any]:
    return {} if stacks is None else {"profile": profile.parts(stacks), "functions": profile.functions(stacks)}


def _lines(result: dict[str, Any]) -> Iterable[str]:
    yield f"{result['scenario']} on {result['machine']}; subject on {result['pinned']['subject'] or 'any core'}"
    if "clips" in result:
        from tests.benchmarks import htcl

        yield from htcl.lines(result)
        return
    if "replays" in result:
        yield from replay.lines(result)
        return
    if "truths" in result:
        yield from truth.lines(result)
        return
    if "plays_per_second" in result:
        yield f"{'':24}{'plays/s':>10}{'undisturbed':>13}{'CPU us/play':>13}   runs"
        for name in (WORKER, FAUST, COUNTING):
            if name in result["plays_per_second"]:
                rate, alone = result["plays_per_second"][name], result["undisturbed_plays_per_second"][name]
                cpu, runs = result["cpu_us_per_play"][name], " ".join(map(str, result["runs"][name]))
                yield f"{name:24}{rate:>10}{alone:>13}{cpu:>13}   {runs}"
    if "last_target_ms" in result:
        yield f"{'from the sending of the release':32}{'p50 ms':>8}{'p99 ms':>8}"
        hops = {f"last of {topic}, seen": ms for topic, ms in result["hops_ms"].items()}
        targets = {
            "first target": result["first_target_ms"],
            "last target": result["last_target_ms"],
            "last target, seen": result["last_target_seen_ms"],
        }
        for name, ms in {**hops, **targets}.items():
            yield f"{name:32}{ms['p50']:>8}{ms['p99']:>8}"
    for what in ("listeners", "songs"):
        for count, sizes in result.get(what, {}).items():
            yield f"{count} {what}: " + ", ".join(f"{name} {value}" for name, value in sizes.items())
    for name, share in result.get("profile", {}).items():
        yield f"{share:>7.1%}  {name}"
    told = {"plays_per_second", "undisturbed_plays_per_second", "cpu_us_per_play", "runs", "hops_ms", "first_target_ms"}
    told |= {
        "last_target_ms",
        "last_target_seen_ms",
        "listeners",
        "songs",
        "profile",
        "functions",
        "scenario",
        "machine",
        "pinned",
    }
    yield from (f"{name}: {value}" for name, value in result.items() if name not in told)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scenario", choices=[*SIZES, "state", "replay", "truth", "steps", "htcl"])
    parser.add_argument("--quick", action="store_true", help="smaller sizes: a try, not a figure")
    parser.add_argument("--json", action="store_true", help="one line for machines")
    parser.add_argument("--profile", action="store_true", help="where the worker's CPU time goes; without rivals")
    parser.add_argument("--alone", action="store_true", help="a replay without the live worker beside it")
    parser.add_argument("--prepared", type=Path, help="folder in which what is prepared stays for the next call")
    parser.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()), help="folder for everything else")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="of the worker")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--seeds", type=int, default=20, help="of truth: 1 to so many")
    parser.add_argument("--live", type=int, metavar="WORKERS", help="of truth: on Kafka; without, no broker")
    parser.add_argument("--runs", type=int, help="of ingest, turns of steps; the median counts")
    parser.add_argument("--models", nargs="+", default=["bcl"], metavar="NAME", help="of steps, beside bpr")
    parser.add_argument("--releases", type=int)
    parser.add_argument("--every-s", type=float, default=3.0, help="between two releases")
    parser.add_argument("--budget", type=int, help="of each release")
    parser.add_argument("--share-of-rate", type=float, default=0.5, help="plays beside the releases")
    for name in ("listeners", "songs", "history", "plays", "flow"):
        parser.add_argument(f"--{name}", type=int)
    return parser


if __name__ == "__main__":
    sys.exit(main())
