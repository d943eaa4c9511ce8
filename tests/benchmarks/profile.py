"""What a sampled worker was doing, by part of the system: stacks that `sampled_worker` wrote down, summed up."""

from collections import Counter
from pathlib import Path

LEFT_OUT = ("app.create_app", "restore.")  # the start is not measured
# The first that a stack contains, names it.
PARTS = {
    "RefreshCrowds.handle": "fold samples into crowds",
    "Audience.fold": "fold plays into rings",
    "embeddings_before": "embeddings of sampled listeners",
    "SongPlays.": "count plays of songs",
    "TrackListening.handle": "columns, sampling, samples as messages",
    "ScoreListeners.handle": "score listeners",
    "SelectTargets.": "select targets",
    "AdmitTargets.": "admit targets",
    "MatchSongs.": "match songs",
    "EmbedSongs.": "embed songs",
    "NoticeReactions.": "notice reactions",
    "MeasureOutcomes.": "measure outcomes",
    "codec.decode_batch": "decode",
    "Shard.commit": "write state (RocksDB)",
    "Publisher.publish": "encode and batch what is published",
    "Metrics.": "metrics",
    "views.": "views of songs and crowds",
    "FetchResult.getall": "unpack fetched records",
    "fetcher.": "fetch",
    "sender.": "send (compress, checksum, request)",
    "AIOKafkaConnection": "connections",
    "feed.": "feed",
    "door.": "door",
    "selectors.": "wait for sockets",
    "base_events.": "event loop and sockets",
}


def parts(stacks: Path) -> dict[str, float]:
    """Share of the worker's CPU time, the largest first."""
    found: Counter[str] = Counter()
    for stack, count in _counted(stacks):
        found[next((part for mark, part in PARTS.items() if mark in stack), "other")] += count
    return _shares(found)


def functions(stacks: Path, most: int = 25) -> dict[str, float]:
    """The same by function, what it calls left out."""
    found: Counter[str] = Counter()
    for stack, count in _counted(stacks):
        found[stack.rsplit(";", 1)[-1]] += count
    return dict(list(_shares(found).items())[:most])


def _counted(stacks: Path) -> list[tuple[str, int]]:
    lines = (line.rsplit(" ", 1) for line in stacks.read_text().splitlines())
    return [(stack, int(count)) for stack, count in lines if not any(mark in stack for mark in LEFT_OUT)]


def _shares(found: Counter[str]) -> dict[str, float]:
    total = sum(found.values()) or 1
    return {name: round(count / total, 4) for name, count in found.most_common()}
