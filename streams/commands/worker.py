"""`bcl worker`: one worker, until it is told to stop (SIGTERM, Ctrl-C) or cannot go on."""

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streams.settings import Settings

EXAMPLE = "bcl worker --config config/production.toml --set worker.name=worker-0"


def arguments(parser: argparse.ArgumentParser) -> None:
    from streams.commands.options import settings_options

    settings_options(parser)
    parser.add_argument(
        "--log", default="info", choices=["debug", "info", "warning", "error"], help="how much is logged"
    )


def run(args: argparse.Namespace) -> int:
    settings, level = ready(args)
    from streams.agents.process import run_worker

    return run_worker(settings, level=level)


def ready(args: argparse.Namespace) -> "tuple[Settings, int]":
    """What a process runs with and how much it logs; its folder is there."""
    from streams.commands.options import settings_from

    settings = settings_from(args)
    Path(settings.worker.data).mkdir(parents=True, exist_ok=True)
    return settings, getattr(logging, args.log.upper())
