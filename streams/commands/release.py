"""`bcl release`: publish releases, or withdraw songs, each checked against the contract before anything is sent.

What names an audio_uri goes to audio-releases, and its vectors are made there.
"""

import argparse
import json
from typing import Any

from streams.commands.options import settings_from, settings_options
from streams.errors import BadSettings, MalformedMessage

EXAMPLE = "bcl release --song-id s1 --title 'Paper Boats' --artist a9 --attribute genre=folk --attribute tempo=92.5"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file", nargs="?", metavar="FILE", help="JSON: one release, a list, or one on each line; - for stdin"
    )
    parser.add_argument("--song-id", metavar="ID")
    parser.add_argument("--released", metavar="TIME", help="ISO 8601 or milliseconds since 1970; default: now")
    parser.add_argument("--title")
    parser.add_argument("--artist", action="append", default=[], metavar="ID", help="may be repeated")
    parser.add_argument(
        "--attribute", action="append", default=[], metavar="NAME=VALUE", help="number, token, or tokens with commas"
    )
    parser.add_argument("--vector", action="append", default=[], metavar="NAME=X,Y,...")
    parser.add_argument("--audio-uri", metavar="URI", help="its vectors are made from this sound by `bcl featurize`")
    parser.add_argument("--lyrics", metavar="TEXT")
    parser.add_argument("--market", action="append", default=[], metavar="CODE")
    parser.add_argument("--budget", type=int, metavar="N", help="listeners to reach")
    parser.add_argument("--expires", metavar="TIME")
    parser.add_argument("--withdraw", action="append", default=[], metavar="ID", help="take this song out instead")
    parser.add_argument("--dry-run", action="store_true", help="check only")
    parser.add_argument("--json", action="store_true")
    settings_options(parser)


def run(args: argparse.Namespace) -> int:
    from streams.commands.records import Written, checked, documents, now_ms, publish
    from streams.contracts.codec import decode
    from streams.contracts.topics import AUDIO_RELEASES, SONG_RELEASES

    settings, at_ms = settings_from(args), now_ms()
    if sum(map(bool, (args.file, args.song_id, args.withdraw))) != 1:
        raise BadSettings("wanted one of FILE, --song-id or --withdraw")
    songs = settings.topics.prefix + SONG_RELEASES.name
    records = []
    if args.withdraw:
        for song_id in args.withdraw:
            decode(SONG_RELEASES, song_id.encode(), None, at_ms, settings.contracts)
            records.append(Written(songs, song_id.encode(), None, at_ms, []))
    else:
        for n, document in enumerate(documents(args.file) if args.file else [_from_words(args, at_ms)], 1):
            try:
                is_sound = isinstance(document, dict) and "audio_uri" in document
                topic = AUDIO_RELEASES if is_sound else SONG_RELEASES
                records.append(checked(topic, "song_id", document, settings, at_ms))
            except MalformedMessage as error:
                raise MalformedMessage(f"release {n}: {error}; nothing was published") from error
    places = [] if args.dry_run else publish(settings.kafka, records)
    done = "checked" if args.dry_run else "withdrawn" if args.withdraw else "released"
    named = [(record.key or b"").decode() for record in records]
    if args.json:
        topics = sorted({record.topic for record in records})
        print(json.dumps({done: named, "topic": ", ".join(topics), "at": [list(place) for place in places]}))
    else:
        for n, song_id in enumerate(named):
            where = f" at {records[n].topic}[{places[n][0]}] offset {places[n][1]}" if places else ""
            print(f"{song_id} {done}{where}")
    return 0


def _from_words(args: argparse.Namespace, at_ms: int) -> dict[str, Any]:
    from streams.commands.records import ms_of, pairs

    release: dict[str, Any] = {"song_id": args.song_id, "released_ms": ms_of(args.released) if args.released else at_ms}
    release["artist_ids"], release["markets"] = args.artist, args.market
    release["attributes"] = {name: _attribute(text) for name, text in pairs(args.attribute, "--attribute").items()}
    release["vectors"] = {name: _vector(name, text) for name, text in pairs(args.vector, "--vector").items()}
    given = {
        "title": args.title,
        "audio_uri": args.audio_uri,
        "lyrics": args.lyrics,
        "budget": args.budget,
        "expires_ms": args.expires and ms_of(args.expires),
    }
    return release | {name: value for name, value in given.items() if value is not None}


def _attribute(text: str) -> str | float | list[str]:
    try:
        return float(text)
    except ValueError:
        return text.split(",") if "," in text else text


def _vector(name: str, text: str) -> list[float]:
    try:
        return [float(number) for number in text.split(",")]
    except ValueError as error:
        raise BadSettings(f"--vector {name}={text:.80}: wanted numbers with commas between them") from error
