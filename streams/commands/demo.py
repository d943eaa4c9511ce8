"""`bcl demo`: embedded broker, simulated world, trained model, workers, releases while plays go on, and a report."""

import argparse
import json
import sys
from collections.abc import Callable

EXAMPLE = "bcl demo --seconds 60"


def arguments(parser: argparse.ArgumentParser) -> None:
    from streams.demo.options import Options

    usual = Options()
    parser.add_argument(
        "--workers", type=_number(1, 16), default=usual.workers, metavar="N", help="default here: %(default)s"
    )
    parser.add_argument(
        "--listeners", type=_number(200, 1_000_000), default=usual.listeners, metavar="N", help="default: %(default)s"
    )
    parser.add_argument(
        "--songs",
        type=_number(100, 1_000_000),
        default=usual.songs,
        metavar="N",
        help="before the releases; default: %(default)s",
    )
    parser.add_argument(
        "--releases", type=_number(1, 10_000), default=usual.releases, metavar="N", help="default: %(default)s"
    )
    parser.add_argument(
        "--seconds",
        type=_number(1, 86_400),
        default=usual.seconds,
        metavar="S",
        help="for which songs come out and plays go on, after a world is made, a model trained and a history played; "
        "default: %(default)s",
    )
    parser.add_argument(
        "--seed", type=_number(0, 2**31 - 1), default=usual.seed, metavar="N", help="of world and model"
    )
    parser.add_argument("--keep", action="store_true", help="leave Kafka's data, models, state and logs, and say where")
    parser.add_argument("--json", action="store_true", help="the report as one JSON object, the last line")


def run(args: argparse.Namespace) -> int:
    from streams.commands.model import told
    from streams.demo.interruption import Interrupted, Interruption
    from streams.demo.options import Options
    from streams.demo.report import Measured, printed, to_json
    from streams.demo.scene import play
    from streams.demo.screen import Now, screen_for

    options = Options(args.workers, args.listeners, args.songs, args.releases, args.seconds, args.seed, args.keep)
    measured = Measured()
    now = Now(timing=measured.timing)
    try:
        with told(), Interruption() as interruption, screen_for(now) as screen:
            play(options, measured, screen, now, interruption)
    except Interrupted as reason:
        print(f"bcl demo: ended by {reason}; nothing is left running", file=sys.stderr)
        return reason.exit_code
    finally:
        if measured.kept:
            again = f"bcl broker --data {measured.kept / 'kafka'}"
            print(f"bcl demo: all is kept in {measured.kept}; `{again}` starts its Kafka again", file=sys.stderr)
    if args.json:
        print(json.dumps(to_json(options, measured)), flush=True)
    else:
        printed(options, measured)
    return 0 if measured.is_good else 1


def _number(least: int, most: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        try:
            found = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number, wanted {least} to {most}") from None
        if not least <= found <= most:
            raise argparse.ArgumentTypeError(f"{found} is out of bounds, wanted {least} to {most}")
        return found

    return number
