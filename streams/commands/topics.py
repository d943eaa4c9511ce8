"""`bcl topics create | check`: the topics as configured, made or compared; a silent mismatch is refused."""

import argparse
import json

EXAMPLE = "bcl topics create --brokers 127.0.0.1:9092"


def arguments(parser: argparse.ArgumentParser) -> None:
    from streams.commands.options import settings_options

    parser.add_argument("what", choices=("create", "check"), help="make what is missing, then check; or check alone")
    parser.add_argument(
        "--alter", action="store_true", help="with create: also set retention and the like of topics that are there"
    )
    parser.add_argument("--json", action="store_true")
    settings_options(parser)


def run(args: argparse.Namespace) -> int:
    from streams.broker.topics import check, create, plans
    from streams.commands.options import settings_from

    settings = settings_from(args)
    made = create(settings.kafka, settings.topics, alter=args.alter) if args.what == "create" else []
    names = check(settings.kafka, settings.topics)
    if args.json:
        print(json.dumps({"created": made, "checked": names}))
        return 0
    for plan in plans(settings.topics):
        how = "created" if plan.name in made else "as configured"
        kept = "compacted" if plan.configs["cleanup.policy"] == "compact" else _days(plan.configs["retention.ms"])
        print(f"{plan.name:<36} {plan.partitions:>3} partitions  {plan.replication} copies  {kept:<14} {how}")
    return 0


def _days(retention_ms: str) -> str:
    return "kept for ever" if retention_ms == "-1" else f"kept {int(retention_ms) // 86_400_000} days"
