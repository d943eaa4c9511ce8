"""`bcl featurize`: makes the vectors of releases that come as sound and text, until it is told to stop."""

import argparse
import logging
from pathlib import Path

EXAMPLE = "bcl featurize --set featurize.hosts=sounds.example.com --set featurize.encoder=runs/htcl/htcl-3f9a"


def arguments(parser: argparse.ArgumentParser) -> None:
    from streams.commands.options import settings_options

    settings_options(parser)
    parser.add_argument(
        "--log", default="info", choices=["debug", "info", "warning", "error"], help="how much is logged"
    )


def run(args: argparse.Namespace) -> int:
    from streams.commands.options import settings_from

    settings = settings_from(args)
    Path(settings.worker.data).mkdir(parents=True, exist_ok=True)
    from streams.agents.featurize import create_featurizer
    from streams.agents.process import run_worker

    return run_worker(settings, create_featurizer, level=getattr(logging, args.log.upper()))
