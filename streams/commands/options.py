"""What the verbs share on the command line: where the settings come from."""

import argparse
import os
from pathlib import Path

from streams.config import load_settings, variable_of
from streams.errors import BadSettings
from streams.settings import Settings


def settings_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("settings", "defaults, then --config, then BCL__SECTION__KEY, then these")
    group.add_argument(
        "--config",
        "--overlay",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="TOML with what differs; may be repeated",
    )
    group.add_argument(
        "--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="one setting; may be repeated"
    )
    group.add_argument("--brokers", metavar="HOST:PORT,...", help="short for --set kafka.brokers=...")


def settings_from(args: argparse.Namespace) -> Settings:
    return load_settings(args.config, os.environ | said_settings(args))


def said_settings(args: argparse.Namespace) -> dict[str, str]:
    """What the command line says, as variables of the environment."""
    said = {}
    for assignment in args.set:
        name, equals, value = assignment.partition("=")
        section, dot, key = name.partition(".")
        if not (equals and dot):
            raise BadSettings(f"--set {assignment}: wanted SECTION.KEY=VALUE, as in --set kafka.brokers=127.0.0.1:9092")
        said[variable_of(section, key)] = value
    if args.brokers:
        said[variable_of("kafka", "brokers")] = args.brokers
    return said
