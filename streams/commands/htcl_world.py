"""`bcl htcl world`: a simulated world as a folder of synthetic music, to try the other actions on."""

import argparse
import os
from pathlib import Path
from typing import Any

EXAMPLE = "bcl htcl world --out my-songs --songs 4000 --seconds 6"


def world_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = f"example: {EXAMPLE}"
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the folder; a run that was cut goes on")
    parser.add_argument("--songs", type=int, default=4_000, metavar="N", help="about one artist for eight (4000)")
    parser.add_argument("--listeners", type=int, default=20_000, metavar="N", help="who decide what is liked (20000)")
    parser.add_argument("--seconds", type=float, default=6.0, help="of each song (6)")
    parser.add_argument("--seed", type=int, default=7, help="another world (7)")
    parser.add_argument(
        "--processes", type=int, default=os.cpu_count() or 1, metavar="N", help="that perform (all cores)"
    )


def write_world(args: argparse.Namespace) -> dict[str, Any]:
    from streams.commands.progress import bar
    from streams.errors import BadSettings
    from streams.world.recordings import write_corpus
    from streams.world.world import World, WorldSettings

    for name, least in (("songs", 50), ("listeners", 100), ("seconds", 0.5), ("processes", 1), ("seed", 0)):
        if getattr(args, name) < least:
            raise BadSettings(f"--{name} is {getattr(args, name)}, wanted at least {least}")
    world = World(WorldSettings(songs=args.songs, new_songs=0, listeners=args.listeners, seed=args.seed))
    with bar(args.songs, quiet=args.json) as show:
        shown = 0

        def performed(done: int, of: int) -> None:
            nonlocal shown
            for _ in range(done - shown):  # some are there already
                show("performing")
            shown = done

        write_corpus(world, args.out, seconds=args.seconds, processes=args.processes, progress=performed)
    artists = len(set(world.catalogue.artists.tolist()))
    return {
        "folder": str(args.out),
        "songs": args.songs,
        "artists": artists,
        "seconds": args.seconds,
        "seed": args.seed,
    }
