"""`bcl config check`: read and judge the settings as a worker would, and show what is in force."""

import argparse
import json

from streams.commands.options import settings_from, settings_options

EXAMPLE = "bcl config check --config config/production.toml"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=["check"])
    parser.add_argument("--json", action="store_true", help="all settings as one JSON object, secrets masked")
    settings_options(parser)


def run(args: argparse.Namespace) -> int:
    from streams.config import load_settings, shown

    told, usual = shown(settings_from(args)), shown(load_settings(environment={}))
    if args.json:
        print(json.dumps(told))
        return 0
    for section, keys in told.items():
        print(f"[{section}]")
        for key, value in keys.items():
            is_usual = value == usual[section][key]
            print(
                f"{key} = {json.dumps(value)}" + ("" if is_usual else f"  # default: {json.dumps(usual[section][key])}")
            )
        print()
    print("the settings are in order")
    return 0
