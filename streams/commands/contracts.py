"""`bcl contracts`: print or write what neighbours code against; a schema that breaks a released one is refused."""

import argparse
import json
import sys
from pathlib import Path

from streams.commands.options import settings_from, settings_options

EXAMPLE = "bcl contracts --out docs/contracts"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="write asyncapi.json and <topic>/v1.json below this folder"
    )
    parser.add_argument("--check", action="store_true", help="only compare the code with the released schemas")
    parser.add_argument("--json", action="store_true", help="what was done as one JSON object")
    settings_options(parser)


def run(args: argparse.Namespace) -> int:
    from streams.contracts.schemas import broken_by_code, documents

    faults = broken_by_code()
    if faults:
        for fault in faults:
            print(
                f"bcl contracts: {fault}; a released schema only grows, release a new version beside it",
                file=sys.stderr,
            )
        return 1
    written = documents(settings_from(args).topics)
    if args.out is not None and not args.check:
        for path, text in written.items():
            file = args.out / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, "utf-8")
    if args.json:
        whole = {path: json.loads(text) for path, text in written.items()}
        print(json.dumps({"broken": [], "written": sorted(written)} if args.out or args.check else whole))
    elif args.check:
        print("the code agrees with the released schemas")
    elif args.out is not None:
        print(*(args.out / path for path in sorted(written)), sep="\n")
    else:
        print(written["asyncapi.json"], end="")
    return 0
