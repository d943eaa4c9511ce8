"""`bcl record`: what the topics hold, as files with offsets; again into the same folder, and it goes on."""

import argparse
import json
import time
from pathlib import Path

EXAMPLE = "bcl record --out recorded --format parquet --from last=24h --brokers 127.0.0.1:9092"
PLACES = "earliest, latest, ts=<unix seconds> or last=<duration, such as 24h>"


def arguments(parser: argparse.ArgumentParser) -> None:
    from streams.commands.options import settings_options

    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="one that holds a recording already is gone on with"
    )
    parser.add_argument(
        "--format", choices=("jsonl", "parquet"), default="jsonl", help="parquet: plays as columns too, replayed faster"
    )
    parser.add_argument("--from", dest="start", default="earliest", metavar="PLACE", help=PLACES)
    parser.add_argument("--until", default="latest", metavar="PLACE", help="the same; latest: as of now")
    parser.add_argument("--json", action="store_true")
    settings_options(parser)


def run(args: argparse.Namespace) -> int:
    from streams.commands.log_progress import shown
    from streams.commands.options import settings_from
    from streams.commands.records import reacting
    from streams.recording.offsets import place
    from streams.recording.recorder import Recording

    settings = settings_from(args)
    now_ms = int(time.time() * 1_000)
    start, until = place(args.start, now_ms), place(args.until, now_ms)
    with reacting(settings.kafka), shown(quiet=args.json) as noted:
        counts = Recording(settings, args.out, args.format, noted).record(start, until)
    records = sum(counts.values())
    if args.json:
        print(json.dumps({"out": str(args.out), "records": records, "topics": counts}))
        return 0
    for name, count in counts.items():
        print(f"{name:<24} {count:>10}")
    print(f"{records} records written to {args.out}")
    return 0
