"""`bcl model`: list artifacts, put one in use, go back to the one before."""

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

EXAMPLE = "bcl model promote bcl-3f9a0c1d2e4b --models runs/models"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("list", "promote", "rollback"))
    parser.add_argument("name", nargs="?", help="the artifact to promote")
    parser.add_argument("--models", type=Path, default=Path("runs/models"), metavar="DIR", help="folder of artifacts")
    parser.add_argument("--json", action="store_true")


def run(args: argparse.Namespace) -> int:
    from bcl_model import registry
    from streams.errors import BadSettings

    if (args.action == "promote") != (args.name is not None):
        raise BadSettings("promote needs the name of an artifact, list and rollback take none")
    with told():
        if args.action == "promote":
            registry.promote(args.models, args.name)
        elif args.action == "rollback":
            registry.roll_back(args.models)
        listed = registry.listed(args.models)
    if args.json:
        whole = [
            {"name": one.name, "in_use": one.in_use, "metrics": one.metrics, "damage": one.damage} for one in listed
        ]
        print(json.dumps({"models": str(args.models), "artifacts": whole}))
        return 0
    if not listed:
        print(f"no artifacts in {args.models}; `bcl train --out {args.models}` makes one")
    for one in listed:
        about = one.damage or ", ".join(f"{name} {value}" for name, value in one.metrics.items())
        print(f"{'*' if one.in_use else ' '} {one.name}  {about}")
    return 0


@contextmanager
def told() -> Iterator[None]:
    """Errors of the model package as those that the command line knows."""
    from bcl_model.errors import BadData, BadModelSettings, FieldMismatch, ModelError
    from streams.errors import BadSettings, Stop

    try:
        yield
    except (BadModelSettings, BadData) as error:
        raise BadSettings(str(error)) from error
    except (ModelError, FieldMismatch) as error:
        raise Stop(str(error)) from error
