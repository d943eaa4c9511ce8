"""Simulated worlds in place of a data folder: how the command line names those that methods are judged or tuned on."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from streams.errors import BadSettings

if TYPE_CHECKING:
    from bcl_model.evaluation.rounds import Source

EXPONENTS = (0.6, 1.22, 1.8)  # of the plays' power law: even, as the world usually is, and steep


def data_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, metavar="DIR", help="items.parquet, interactions.parquet, fields.toml")
    parser.add_argument("--fields", type=Path, metavar="FILE", help="the description, if it is not in the data folder")
    parser.add_argument(
        "--worlds",
        type=float,
        nargs="*",
        metavar="EXPONENT",
        help="in place of a folder: simulated worlds whose plays fall as rank^-EXPONENT, a new one for each seed",
    )
    parser.add_argument("--listeners", type=int, default=4_000, help="of a simulated world")
    parser.add_argument("--songs", type=int, default=1_500, help="of a simulated world")
    parser.add_argument("--plays", type=int, default=160_000, help="of a simulated world")


def exponents_of(args: argparse.Namespace) -> Sequence[float] | None:
    """None where a folder is named."""
    if (args.data is None) == (args.worlds is None):
        raise BadSettings("say --data DIR or --worlds, one of the two")
    for name in ("listeners", "songs", "plays"):
        if getattr(args, name) < 1:
            raise BadSettings(f"--{name} is {getattr(args, name)}, wanted at least 1")
    return None if args.worlds is None else args.worlds or EXPONENTS


def source_of(args: argparse.Namespace) -> "Callable[[float, int], Source]":
    from streams.world.catalogue import worlds
    from streams.world.world import WorldSettings

    return worlds(WorldSettings(listeners=args.listeners, songs=args.songs, new_songs=1), args.plays)
