"""`bcl record`: everything that the topics hold now, as JSON Lines with offsets."""

import argparse
import json
from pathlib import Path

EXAMPLE = "bcl record --out recorded --brokers 127.0.0.1:9092"


def arguments(parser: argparse.ArgumentParser) -> None:
    from streams.commands.options import settings_options

    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="a file for each partition; those of before are replaced"
    )
    parser.add_argument("--json", action="store_true")
    settings_options(parser)


def run(args: argparse.Namespace) -> int:
    from streams.commands.options import settings_from
    from streams.commands.records import reacting
    from streams.contracts.topics import TOPICS
    from streams.replay.files import write_log
    from streams.replay.log import recorded

    settings = settings_from(args)
    with reacting(settings.kafka):
        log = recorded(settings)
    records = write_log(log, args.out)
    counts = {
        topic.name: sum(len(log.records(topic, partition)) for partition in log.partitions(topic))
        for topic in TOPICS.values()
    }
    if args.json:
        print(json.dumps({"out": str(args.out), "records": records, "topics": counts}))
        return 0
    for name, count in counts.items():
        print(f"{name:<24} {count:>10}")
    print(f"{records} records written to {args.out}")
    return 0
