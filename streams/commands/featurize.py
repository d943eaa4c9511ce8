"""`bcl featurize`: makes the vectors of releases that come as sound and text, until it is told to stop."""

import argparse

from streams.commands import worker

EXAMPLE = "bcl featurize --set featurize.hosts=sounds.example.com --set featurize.encoder=runs/htcl/htcl-3f9a"

arguments = worker.arguments


def run(args: argparse.Namespace) -> int:
    settings, level = worker.ready(args)
    from streams.agents.featurize import create_featurizer
    from streams.agents.process import run_worker

    return run_worker(settings, create_featurizer, level=level)
