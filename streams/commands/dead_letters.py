"""`bcl dead-letters`: what could not be read, why, and once more to its topic when the reason is gone."""

import argparse
import json
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from streams.commands.options import settings_from, settings_options

if TYPE_CHECKING:
    from streams.contracts.dead_letters import DeadLetter
    from streams.settings import Settings

EXAMPLE = "bcl dead-letters list --topic plays; bcl dead-letters replay --topic plays --cause 1f0c9be2"
SHOWN = 200  # bytes of a value


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=["list", "replay"])
    parser.add_argument(
        "--topic", action="append", default=[], metavar="NAME", help="that the record came from; may be repeated"
    )
    parser.add_argument("--cause", metavar="HEX", help="only this cause, as `list` tells it")
    parser.add_argument("--partition", type=int, metavar="N", help="only from this partition of its topic")
    parser.add_argument(
        "--offset", type=int, action="append", default=[], metavar="N", help="only this offset; may be repeated"
    )
    parser.add_argument("--limit", type=int, metavar="N", help="at most so many, the oldest first")
    parser.add_argument("--dry-run", action="store_true", help="replay: say what would be sent")
    parser.add_argument("--json", action="store_true", help="list: one object on each line; replay: one object")
    settings_options(parser)


def run(args: argparse.Namespace) -> int:
    settings = settings_from(args)
    return _list(args, settings) if args.action == "list" else _replay(args, settings)


def _list(args: argparse.Namespace, settings: "Settings") -> int:
    from streams.contracts.codec import cause_of

    causes: Counter[tuple[str, str]] = Counter()
    for letter in _chosen(args, settings):
        cause = cause_of(letter.reason)
        causes[letter.topic, cause] += 1
        if args.json:
            print(json.dumps(_told(letter, cause)))
        else:
            print(f"{letter.topic}[{letter.partition}] {letter.offset}  {cause}  {letter.reason}")
    if not args.json:
        print(f"{sum(causes.values())} dead letters of {len(causes)} causes")
        for (topic, cause), count in causes.most_common():
            print(f"  {count:>6}  {topic}  {cause}")
    return 0


def _replay(args: argparse.Namespace, settings: "Settings") -> int:
    """What the door would still refuse stays where it is: it would only become a dead letter again."""
    from streams.commands.records import Written, publish
    from streams.contracts.codec import decode
    from streams.contracts.topics import READ_FROM_NEIGHBOURS, TOPICS
    from streams.errors import MalformedMessage

    good: list[Written] = []
    refused: list[str] = []
    for letter in _chosen(args, settings):
        where = f"{letter.topic}[{letter.partition}] {letter.offset}"
        if letter.is_cut:
            refused.append(f"{where}: only its beginning was kept")
            continue
        try:
            decode(TOPICS[letter.topic], letter.key, letter.value, letter.time_ms, settings.contracts)
        except MalformedMessage as reason:
            refused.append(f"{where}: {reason}")
        else:
            name, headers = settings.topics.prefix + letter.topic, [("replayed-from", where.encode())]
            # What our own stages write is not always where its key would take it
            partition = None if TOPICS[letter.topic] in READ_FROM_NEIGHBOURS else letter.partition
            good.append(Written(name, letter.key, letter.value, letter.time_ms, headers, partition))
    if good and not args.dry_run:
        publish(settings.kafka, good)
    if args.json:
        print(json.dumps({"replayed": len(good), "still_refused": refused, "dry_run": args.dry_run}))
    else:
        for line in refused:
            print(f"still refused: {line}")
        print(f"{len(good)} {'would be sent again' if args.dry_run else 'sent again'}, {len(refused)} still refused")
    return 0


def _chosen(args: argparse.Namespace, settings: "Settings") -> "Iterator[DeadLetter]":
    from streams.commands.records import read_to_the_end
    from streams.contracts.codec import cause_of, read_dead_letter
    from streams.contracts.topics import READ_BY_STAGES
    from streams.errors import BadSettings

    known = [topic.name for topic in READ_BY_STAGES]
    if odd := set(args.topic) - set(known):
        raise BadSettings(f"--topic {odd.pop()}: wanted one of {', '.join(known)}")
    found = 0
    for topic in READ_BY_STAGES:
        if args.topic and topic.name not in args.topic:
            continue
        for record in read_to_the_end(settings.kafka, settings.topics.prefix + topic.dead_letters):
            letter = read_dead_letter(record.key, record.value, record.headers)
            if (
                args.cause not in (None, cause_of(letter.reason))
                or args.partition not in (None, letter.partition)
                or (args.offset and letter.offset not in args.offset)
            ):
                continue
            if args.limit is not None and found >= args.limit:
                return
            found += 1
            yield letter


def _told(letter: "DeadLetter", cause: str) -> dict[str, object]:
    def text(raw: bytes | None) -> str | None:
        return None if raw is None else raw[:SHOWN].decode("utf-8", "backslashreplace")

    return {
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "time_ms": letter.time_ms,
        "cause": cause,
        "reason": letter.reason,
        "key": text(letter.key),
        "value": text(letter.value),
        "value_bytes": None if letter.value is None else len(letter.value),
        "whole": not letter.is_cut,
    }
