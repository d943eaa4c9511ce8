"""The command line: finds the verb, imports only its module, turns errors into exit codes.

0 done, 1 failed, 2 wrong usage or wrong settings.
"""

import argparse
import importlib
import sys
from collections.abc import Sequence

# verb -> what it does; each lives in streams.commands.<verb with underscores> and has `arguments(parser)`, `run(args)`
VERBS = {
    "demo": "embedded broker, simulated world, trained model, workers; ends with a report",
    "broker": "the embedded broker alone",
    "topics": "create or check the topics",
    "worker": "one worker",
    "featurize": "makes the vectors of releases that come as sound and text",
    "train": "train a model from a data folder",
    "htcl": "audio and text encoders: train, embed, probe, import",
    "evaluate": "compare models on a data folder",
    "sweep": "rules, crowds and models varied one by one, with a report",
    "embed": "embed a catalogue file with an artifact",
    "model": "list, promote or roll back artifacts",
    "release": "publish one release",
    "play": "publish one play",
    "record": "topics to files",
    "replay": "a recorded log once more through the live stages: do they say the same, and how good was it",
    "dead-letters": "list or replay what could not be read",
    "contracts": "print or write the JSON Schemas and the AsyncAPI document",
    "config": "check the settings",
    "status": "lag, freshness, songs, listeners, model",
}


def main(argv: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(
        prog="bcl", description="Streaming music cold-start matching.", epilog="example: bcl demo --seconds 60"
    )
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    chosen = next((word for word in words if not word.startswith("-")), None)
    for verb, about in VERBS.items():
        sub = verbs.add_parser(
            verb, help=about, description=about, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        if verb == chosen:
            module = importlib.import_module(f"streams.commands.{verb.replace('-', '_')}")
            sub.epilog = f"example: {module.EXAMPLE}"
            module.arguments(sub)
            sub.set_defaults(run=module.run)
    args = parser.parse_args(words)
    return _guarded(args)


def _guarded(args: argparse.Namespace) -> int:
    from streams.errors import BadSettings, StreamsError

    try:
        return int(args.run(args))
    except BadSettings as error:
        print(f"bcl {args.verb}: {error}", file=sys.stderr)
        return 2
    except (StreamsError, OSError) as error:
        print(f"bcl {args.verb}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
