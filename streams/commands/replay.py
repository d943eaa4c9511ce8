"""`bcl replay`: a recorded log once more through the live stages, whether they say the same, and how good it was."""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streams.judging.findings import Findings
    from streams.judging.prequential import Judge
    from streams.recording.files import Damage
    from streams.recording.log import Log
    from streams.replay.driver import Replayed
    from streams.replay.timeline import Timeline
    from streams.settings import Settings

EXAMPLE = "bcl replay --data recorded --out runs/replay --policy more-crowds.toml --set model.artifact=runs/models"
SHOWN = 10  # differences


def arguments(parser: argparse.ArgumentParser) -> None:
    from streams.commands.options import settings_options
    from streams.commands.record import PLACES

    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="what `bcl record` wrote, or a data folder of `bcl train` whose plays have times; the topics if not given",
    )
    parser.add_argument("--from", dest="start", metavar="PLACE", help=f"of the topics: {PLACES}; earliest if not given")
    parser.add_argument("--until", metavar="PLACE", help="the same; latest if not given: as of now")
    parser.add_argument("--fields", type=Path, metavar="FILE", help="of a data folder, if fields.toml is not in it")
    parser.add_argument("--out", type=Path, metavar="DIR", help="for report.html and report.json")
    parser.add_argument(
        "--policy",
        action="append",
        default=[],
        metavar="FILE",
        help="TOML with what a policy does differently from the settings; may be repeated: they are compared. "
        "random-crowds is one that is known to be broken",
    )
    parser.add_argument(
        "--horizon-h",
        type=float,
        metavar="HOURS",
        help="plays so long after a release are its truth; outcomes.window_h if not given",
    )
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes that share the listeners")
    parser.add_argument("--seed", type=int, default=0, help="of the intervals and tests")
    parser.add_argument("--json", action="store_true")
    settings_options(parser)


def run(args: argparse.Namespace) -> int:
    """A log with decisions is followed byte by byte, unless other policies are asked for: these decide anew."""
    from streams.commands.options import settings_from
    from streams.judging.prequential import Judge

    settings = settings_from(args)
    judge = Judge(_horizon_ms(args, settings), args.seed)
    with _folder(args, settings) as folder:
        if not args.policy and (followed := _with_decisions(folder, settings)):
            return _followed(args, settings, *followed, judge)
        return _decided_anew(args, settings, *_timeline(args, settings, folder), judge)


@contextmanager
def _folder(args: argparse.Namespace, settings: "Settings") -> Iterator[Path]:
    """What was recorded, or is recorded now for as long as this replay takes."""
    from streams.errors import BadSettings

    if args.data is not None:
        if args.start or args.until:
            raise BadSettings("--from and --until are places in the topics; --data is replayed as it is, leave one out")
        yield args.data
        return
    from streams.commands.log_progress import shown
    from streams.commands.records import reacting
    from streams.recording.offsets import place
    from streams.recording.recorder import Recording

    now_ms = int(time.time() * 1_000)
    start, until = place(args.start or "earliest", now_ms), place(args.until or "latest", now_ms)
    with TemporaryDirectory(prefix="bcl-replay-") as folder:
        with reacting(settings.kafka), shown(quiet=args.json) as noted:
            Recording(settings, Path(folder), "parquet", noted).record(start, until)
        yield Path(folder)


def _with_decisions(folder: Path, settings: "Settings") -> "tuple[Log, Damage] | None":
    from streams.contracts.topics import PLAYS, SONG_DECISIONS
    from streams.recording.data_folder import is_data_folder
    from streams.recording.files import read_log

    if is_data_folder(folder):
        return None
    log, _ = read_log(folder, settings.contracts, but_not=(PLAYS,))
    if not any(log.records(SONG_DECISIONS, partition) for partition in log.partitions(SONG_DECISIONS)):
        return None
    return read_log(folder, settings.contracts)


def _timeline(args: argparse.Namespace, settings: "Settings", folder: Path) -> "tuple[Timeline, Damage]":
    from streams.commands.model import told
    from streams.recording.data_folder import is_data_folder, read_data_folder
    from streams.recording.files import Damage
    from streams.replay.timeline import Timeline

    if is_data_folder(folder):
        with told():
            return Timeline.of(read_data_folder(folder, args.fields, settings), settings.contracts), Damage()
    return Timeline.read(folder, settings.contracts)


def _followed(args: argparse.Namespace, settings: "Settings", log: "Log", damage: "Damage", judge: "Judge") -> int:
    from bcl_model.inference import SongEncoder
    from streams.commands.model import told
    from streams.judging.judge_log import judged
    from streams.replay.driver import exact

    _name(damage)
    with told():
        encoder = SongEncoder.load(Path(settings.model.artifact))
    replayed, timeline = judged(log, exact(settings, encoder), settings, judge)
    differences = replayed.differences(log)
    found = None
    if args.out is not None:
        about = _about(args, damage) | {"artifact": encoder.artifact, "same_bytes": not differences}
        found = judge.verdict(timeline.span_ms[1], len(timeline.tables.listeners), about)
    _say_followed(args, replayed, differences, damage, found)
    _write(found, args)
    return 1 if differences else 0


def _decided_anew(
    args: argparse.Namespace, settings: "Settings", timeline: "Timeline", damage: "Damage", judge: "Judge"
) -> int:
    from bcl_model.inference import SongEncoder
    from streams.commands.log_progress import pace, shown
    from streams.commands.model import told
    from streams.commands.options import said_settings
    from streams.judging.report import plain, text
    from streams.replay.contestants import changes, contestants
    from streams.replay.merged import MergedReplay

    _name(damage)
    with told():
        policies = contestants(args.policy, args.config, os.environ | said_settings(args), SongEncoder.load)
    begun = time.monotonic()
    with shown(quiet=args.json) as noted:
        MergedReplay(policies, timeline, judge, workers=args.workers, noted=noted).run()
    first_ms, last_ms = timeline.span_ms
    speed = pace(timeline.play_records, last_ms - first_ms, time.monotonic() - begun)
    about = _about(args, damage) | {
        "policies": {one.name: changes(one.settings, settings) for one in policies},
        "artifacts": {one.name: one.encoder.artifact for one in policies},
    }
    found = judge.verdict(last_ms, len(timeline.tables.listeners), about)
    if args.json:
        print(json.dumps(_told_of(damage) | {"speed": speed, "report": plain(found)}))
    else:
        print(f"{timeline.play_records:>10,}  plays, {speed}")
        print(f"{damage.lines:>10,}  damaged lines\n\n{text(found)}")
    _write(found, args)
    return 0


def _name(damage: "Damage") -> None:
    for line in damage.first:
        print(f"bcl replay: left out: {line}", file=sys.stderr)


def _horizon_ms(args: argparse.Namespace, settings: "Settings") -> int:
    from streams.contracts.topics import HOUR_MS
    from streams.errors import BadSettings

    hours = settings.outcomes.window_h if args.horizon_h is None else args.horizon_h
    if not hours * HOUR_MS >= 1:
        raise BadSettings(f"--horizon-h is {hours:g}, wanted more than 0")
    return int(hours * HOUR_MS)


def _about(args: argparse.Namespace, damage: "Damage") -> dict[str, Any]:
    return {"log": str(args.data or "topics")} | _told_of(damage)


def _told_of(damage: "Damage") -> dict[str, Any]:
    return {"damaged_lines": damage.lines, "damaged": damage.first}


def _say_followed(
    args: argparse.Namespace,
    replayed: "Replayed",
    differences: list[str],
    damage: "Damage",
    found: "Findings | None",
) -> None:
    from streams.contracts.topics import PUSH_SUPPRESSIONS, PUSH_TARGETS
    from streams.judging.report import plain, text
    from streams.replay.driver import PROMISED

    said = {topic.name: sum(map(len, replayed.said[topic.name].values())) for topic in PROMISED}
    if args.json:
        about = {"same_bytes": not differences, "said": said} | _told_of(damage)
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


def _write(found: "Findings | None", args: argparse.Namespace) -> None:
    from streams.judging.report import written

    if found is None or args.out is None:
        return
    machines, people = written(found, args.out)
    if not args.json:
        print(f"written: {people}, {machines}")
