"""`bcl play`: publish plays, each checked against the contract before anything is sent."""

import argparse
import json
from typing import Any

from streams.commands.options import settings_from, settings_options
from streams.errors import BadSettings, MalformedMessage

EXAMPLE = "bcl play --listener ann --song s1 --listened 184 --length 201 --liked"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file", nargs="?", metavar="FILE", help="JSON: one play, a list, or one on each line; - for stdin"
    )
    parser.add_argument("--listener", metavar="ID")
    parser.add_argument("--song", metavar="ID")
    parser.add_argument("--play-id", metavar="ID", help="default: follows from listener, song and time")
    parser.add_argument("--played", metavar="TIME", help="ISO 8601 or milliseconds since 1970; default: now")
    parser.add_argument("--listened", type=float, default=180.0, metavar="S", help="seconds (default %(default)s)")
    parser.add_argument("--length", type=float, default=180.0, metavar="S", help="of the song (default %(default)s)")
    parser.add_argument("--liked", action="store_true")
    parser.add_argument("--market", metavar="CODE")
    parser.add_argument("--target-id", metavar="ID", help="of the push target that led to it")
    parser.add_argument("--dry-run", action="store_true", help="check only")
    parser.add_argument("--json", action="store_true")
    settings_options(parser)


def run(args: argparse.Namespace) -> int:
    from streams.commands.records import checked, documents, now_ms, publish
    from streams.contracts.topics import PLAYS

    settings, at_ms = settings_from(args), now_ms()
    if bool(args.file) == bool(args.listener and args.song):
        raise BadSettings("wanted either FILE, or --listener and --song")
    records = []
    for n, document in enumerate(documents(args.file) if args.file else [_from_words(args, at_ms)], 1):
        try:
            records.append(checked(PLAYS, "listener_id", document, settings, at_ms))
        except MalformedMessage as error:
            raise MalformedMessage(f"play {n}: {error}; nothing was published") from error
    places = [] if args.dry_run else publish(settings.kafka, records)
    if args.json:
        print(json.dumps({"plays": len(records), "at": [list(place) for place in places]}))
    else:
        print(f"{len(records)} {'play' if len(records) == 1 else 'plays'} {'checked' if args.dry_run else 'published'}")
    return 0


def _from_words(args: argparse.Namespace, at_ms: int) -> dict[str, Any]:
    from streams.commands.records import ms_of

    played_ms = ms_of(args.played) if args.played else at_ms
    play: dict[str, Any] = {
        "play_id": args.play_id or f"{args.listener}:{args.song}:{played_ms}"[:128],
        "listener_id": args.listener,
        "song_id": args.song,
        "played_ms": played_ms,
        "listened_ms": round(args.listened * 1000),
        "song_ms": round(args.length * 1000),
        "liked": args.liked,
    }
    given = {"market": args.market, "target_id": args.target_id}
    return play | {name: value for name, value in given.items() if value is not None}
