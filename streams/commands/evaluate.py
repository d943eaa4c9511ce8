"""`bcl evaluate`: models and simple rivals on the same held-out songs of a data folder."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

EXAMPLE = "bcl evaluate --data my-catalogue --models bpr demo --by album --seeds 5"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data", type=Path, required=True, metavar="DIR", help="items.parquet, interactions.parquet, fields.toml"
    )
    parser.add_argument("--fields", type=Path, metavar="FILE", help="the description, if it is not in the data folder")
    parser.add_argument("--models", nargs="*", default=["bpr", "demo"], metavar="NAME|FILE", help="of config/models")
    parser.add_argument("--by", default="song", metavar="FIELD", help="hold out songs, or all that share its value")
    parser.add_argument("--share", type=float, default=0.1, help="of the songs or values that is held out")
    parser.add_argument("--seeds", type=int, default=1, help="so many splits; intervals need at least 2")
    parser.add_argument("--budget", type=int, default=100, help="listeners for each cold song")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the result as JSON")
    parser.add_argument("--json", action="store_true", help="the result as one JSON object")


def run(args: argparse.Namespace) -> int:
    from bcl_model.catalogue import read_catalogue
    from bcl_model.evaluation.answers import Method
    from bcl_model.evaluation.compare import Compared, Facts, Round
    from bcl_model.evaluation.measures import judged
    from bcl_model.evaluation.trial import split_of
    from bcl_model.fields import Kind
    from bcl_model.rivals import RIVALS
    from bcl_model.rivals.bcl import trained
    from bcl_model.settings import read_settings
    from streams.commands.model import told
    from streams.commands.train import settings_file

    with told():
        catalogue = read_catalogue(args.data, args.fields)
        kinds = {one.name: one.kind for one in catalogue.fields.fields}
        simple = ["random", "popularity", "content"]
        simple += ["artist"] if kinds.get("artist") in (Kind.TOKEN, Kind.TOKENS) else []
        methods: dict[str, Method] = {name: RIVALS[name].make({}) for name in simple}
        methods |= {Path(name).stem: trained(read_settings(settings_file(name))) for name in args.models}
        rounds = []
        for seed in range(1, args.seeds + 1):
            split = split_of(
                catalogue.contents, catalogue.interactions, catalogue.fields, by=args.by, share=args.share, seed=seed
            )
            answered = {name: judged(split, method(split.trial), args.budget) for name, method in methods.items()}
            rounds.append(Round(seed, Facts.of(split), answered))
        compared = Compared(rounds)
    measures = compared.measures
    report = {
        "data": str(args.data),
        "held_out_by": args.by,
        "share": args.share,
        "seeds": args.seeds,
        "budget": args.budget,
        "methods": {
            name: {measure: asdict(compared.estimate(name, measure)) for measure in measures} for name in methods
        },
    }
    if args.out is not None:
        args.out.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    if args.json:
        print(json.dumps(report))
        return 0
    for measure in measures:
        print(f"\n{measure.replace('_', ' ')}")
        for name in methods:
            one = compared.estimate(name, measure)
            print(f"  {name:14} {one.mean:.3f}" + (f"  [{one.low:.3f}, {one.high:.3f}]" if args.seeds > 1 else ""))
    return 0
