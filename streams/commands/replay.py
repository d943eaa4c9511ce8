"""`bcl replay`: a recorded log once more through the live stages: the same bytes? and how good were the choices?"""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streams.replay.driver import Replayed
    from streams.replay.files import Damage
    from streams.replay.findings import Findings
    from streams.settings import Settings

EXAMPLE = "bcl replay --data recorded --out runs/replay --set model.artifact=runs/models"
SHOWN = 10  # differences


def arguments(parser: argparse.ArgumentParser) -> None:
    from streams.commands.options import settings_options

    parser.add_argument(
        "--data", type=Path, required=True, metavar="DIR", help="what `bcl record` wrote, of a system with decisions"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="judge the choices; report.html and report.json")
    parser.add_argument(
        "--horizon-h",
        type=float,
        metavar="HOURS",
        help="plays so long after a release are its truth; outcomes.window_h if not given",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the intervals and tests")
    parser.add_argument("--json", action="store_true")
    settings_options(parser)


def run(args: argparse.Namespace) -> int:
    from bcl_model.inference import SongEncoder
    from streams.commands.model import told
    from streams.commands.options import settings_from
    from streams.contracts.topics import SONG_DECISIONS
    from streams.errors import BadSettings
    from streams.replay.driver import exact
    from streams.replay.files import read_log
    from streams.replay.judge_log import judged
    from streams.replay.prequential import Judge

    settings = settings_from(args)
    log, damage = read_log(args.data, settings.contracts)
    for line in damage.first:
        print(f"bcl replay: left out: {line}", file=sys.stderr)
    if not any(log.records(SONG_DECISIONS, partition) for partition in log.partitions(SONG_DECISIONS)):
        raise BadSettings(f"{args.data} holds no song-decisions: only a log of a system that decided can be followed")
    with told():
        encoder = SongEncoder.load(Path(settings.model.artifact))
    judge = Judge(horizon_ms_of(args, settings), args.seed)
    replayed, timeline = judged(log, exact(settings, encoder), settings, judge)
    differences = replayed.differences(log)
    found = None
    if args.out is not None:
        about = {"log": str(args.data), "artifact": encoder.artifact, "same_bytes": not differences}
        found = judge.verdict(timeline.span_ms[1], len(timeline.tables.listeners), about | told_of(damage))
    _say(args, replayed, differences, damage, found)
    if found is not None:
        _write(found, args)
    return 1 if differences else 0


def horizon_ms_of(args: argparse.Namespace, settings: "Settings") -> int:
    from streams.contracts.topics import HOUR_MS
    from streams.errors import BadSettings

    hours = settings.outcomes.window_h if args.horizon_h is None else args.horizon_h
    if not hours * HOUR_MS >= 1:
        raise BadSettings(f"--horizon-h is {hours:g}, wanted more than 0")
    return int(hours * HOUR_MS)


def told_of(damage: "Damage") -> Mapping[str, Any]:
    return {"damaged_lines": damage.lines, "damaged": damage.first}


def _say(
    args: argparse.Namespace,
    replayed: "Replayed",
    differences: list[str],
    damage: "Damage",
    found: "Findings | None",
) -> None:
    from streams.contracts.topics import PUSH_SUPPRESSIONS, PUSH_TARGETS
    from streams.replay.driver import PROMISED
    from streams.replay.report import plain, text

    said = {topic.name: sum(map(len, replayed.said[topic.name].values())) for topic in PROMISED}
    if args.json:
        about = {"same_bytes": not differences, "said": said} | told_of(damage)
        judged = {} if found is None else {"report": plain(found)}
        print(json.dumps(about | {"differences": differences[:SHOWN]} | judged))
        return
    for name in (PUSH_TARGETS.name, PUSH_SUPPRESSIONS.name):
        print(f"{said[name]:>10}  {name}")
    print(f"{sum(said.values()):>10}  records said again, {len(differences)} differences to what was recorded")
    print(f"{damage.lines:>10}  damaged lines")
    for difference in differences[:SHOWN]:
        print(difference)
    if found is not None:
        print(f"\n{text(found)}")


def _write(found: "Findings", args: argparse.Namespace) -> None:
    from streams.replay.report import written

    machines, people = written(found, args.out)
    if not args.json:
        print(f"written: {people}, {machines}")
