"""`bcl replay`: a recorded log once more through the live stages, and whether they say the same bytes."""

import argparse
import json
import sys
from pathlib import Path

EXAMPLE = "bcl replay --data recorded --set model.artifact=runs/models"
SHOWN = 10  # differences


def arguments(parser: argparse.ArgumentParser) -> None:
    from streams.commands.options import settings_options

    parser.add_argument(
        "--data", type=Path, required=True, metavar="DIR", help="what `bcl record` wrote, of a system with decisions"
    )
    parser.add_argument("--json", action="store_true")
    settings_options(parser)


def run(args: argparse.Namespace) -> int:
    from bcl_model.inference import SongEncoder
    from streams.commands.model import told
    from streams.commands.options import settings_from
    from streams.contracts.topics import PUSH_SUPPRESSIONS, PUSH_TARGETS, SONG_DECISIONS
    from streams.errors import BadSettings
    from streams.replay.driver import PROMISED, exact, replay
    from streams.replay.files import read_log

    settings = settings_from(args)
    log, damage = read_log(args.data, settings.contracts)
    for line in damage.first:
        print(f"bcl replay: left out: {line}", file=sys.stderr)
    if not any(log.records(SONG_DECISIONS, partition) for partition in log.partitions(SONG_DECISIONS)):
        raise BadSettings(f"{args.data} holds no song-decisions: only a log of a system that decided can be followed")
    with told():
        encoder = SongEncoder.load(Path(settings.model.artifact))
    replayed = replay(log, exact(settings, encoder))
    differences = replayed.differences(log)
    said = {topic.name: sum(map(len, replayed.said[topic.name].values())) for topic in PROMISED}
    if args.json:
        found = {"same_bytes": not differences, "said": said, "damaged_lines": damage.lines}
        print(json.dumps(found | {"damaged": damage.first, "differences": differences[:SHOWN]}))
        return 1 if differences else 0
    for name in (PUSH_TARGETS.name, PUSH_SUPPRESSIONS.name):
        print(f"{said[name]:>10}  {name}")
    print(f"{sum(said.values()):>10}  records said again, {len(differences)} differences to what was recorded")
    print(f"{damage.lines:>10}  damaged lines")
    for difference in differences[:SHOWN]:
        print(difference)
    return 1 if differences else 0
