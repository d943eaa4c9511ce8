"""Every topic: what it carries, by what it is keyed, how long it is kept. Partition counts are settings."""

from dataclasses import dataclass
from enum import Enum

import msgspec

from streams.contracts.crowds import AudienceSamples, ListenersForgotten, SongCrowds
from streams.contracts.embeddings import SongEmbedded
from streams.contracts.listeners import Erasure, ListenerSettings
from streams.contracts.plays import Play
from streams.contracts.queries import AudienceAnswer, AudienceQuery, TargetCandidates, TargetsSelected
from streams.contracts.releases import AudioRelease, Release
from streams.contracts.targets import Outcome, Suppression, Target, TargetReactions

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


class Shard(Enum):
    """Topics of one kind have equal partition counts, and one worker owns a partition of all of them."""

    SONG = "song"
    LISTENER = "listener"


class Wire(Enum):
    JSON = "application/json"  # for our neighbours
    MSGPACK = "application/msgpack"  # between our own stages: vectors travel as bytes


@dataclass(frozen=True, slots=True)
class Topic:
    name: str
    carries: type[msgspec.Struct] | tuple[type[msgspec.Struct], ...]
    shard: Shard
    wire: Wire
    compacted: bool = False
    keep_ms: int | None = None  # None: as long as the broker holds it, which compaction makes bounded
    about: str = ""

    @property
    def dead_letters(self) -> str:
        return f"{self.name}.dead-letters"


SONG_RELEASES = Topic(
    "song-releases", Release, Shard.SONG, Wire.JSON, compacted=True, about="releases; null withdraws the song"
)
AUDIO_RELEASES = Topic(
    "audio-releases",
    AudioRelease,
    Shard.SONG,
    Wire.JSON,
    keep_ms=5 * DAY_MS,  # less than a withdrawal is kept: whoever reads these again finds the withdrawals too
    about="releases whose vectors are made here, from sound and text; withdrawn as any other, on song-releases",
)
PLAYS = Topic("plays", Play, Shard.LISTENER, Wire.JSON, keep_ms=90 * DAY_MS, about="plays, from the player backend")
LISTENER_SETTINGS = Topic(
    "listener-settings", ListenerSettings, Shard.LISTENER, Wire.JSON, compacted=True, about="consent, zone, quiet hours"
)
LISTENER_ERASURES = Topic(
    "listener-erasures",
    Erasure,
    Shard.LISTENER,
    Wire.JSON,
    keep_ms=3650 * DAY_MS,
    about="listeners to forget; the key is enough",
)
SONG_EMBEDDINGS = Topic(
    "song-embeddings", SongEmbedded, Shard.SONG, Wire.MSGPACK, compacted=True, about="every song's embedding"
)
AUDIENCE_SAMPLES = Topic(
    "audience-samples",
    (AudienceSamples, ListenersForgotten),
    Shard.SONG,
    Wire.MSGPACK,
    keep_ms=90 * DAY_MS,  # as plays: a sample has the time of its play, and a history that is read in is old at once
    about="sampled plays with the listener's embedding",
)
SONG_CROWDS = Topic(
    "song-crowds", SongCrowds, Shard.SONG, Wire.MSGPACK, compacted=True, about="every warm song's crowds"
)
SONG_DECISIONS = Topic(
    "song-decisions",
    (AudienceQuery, TargetsSelected),
    Shard.SONG,
    Wire.MSGPACK,
    keep_ms=90 * DAY_MS,
    about="what was decided for a release, once",
)
AUDIENCE_QUERIES = Topic(
    "audience-queries",
    AudienceQuery,
    Shard.LISTENER,
    Wire.MSGPACK,
    keep_ms=7 * DAY_MS,
    about="a release's question, one copy for each listener partition",
)
AUDIENCE_ANSWERS = Topic(
    "audience-answers",
    AudienceAnswer,
    Shard.SONG,
    Wire.MSGPACK,
    keep_ms=7 * DAY_MS,
    about="a partition's best listeners",
)
TARGET_CANDIDATES = Topic(
    "target-candidates",
    TargetCandidates,
    Shard.LISTENER,
    Wire.MSGPACK,
    keep_ms=90 * DAY_MS,
    about="chosen listeners, to be admitted",
)
PUSH_TARGETS = Topic("push-targets", Target, Shard.LISTENER, Wire.JSON, keep_ms=90 * DAY_MS, about="whom to tell")
PUSH_SUPPRESSIONS = Topic(
    "push-suppressions", Suppression, Shard.LISTENER, Wire.JSON, keep_ms=90 * DAY_MS, about="whom not, and why"
)
TARGET_REACTIONS = Topic(
    "target-reactions", TargetReactions, Shard.SONG, Wire.MSGPACK, keep_ms=90 * DAY_MS, about="what targets did"
)
RELEASE_OUTCOMES = Topic(
    "release-outcomes",
    Outcome,
    Shard.SONG,
    Wire.JSON,
    compacted=True,
    about="effective plays and likes against the hold-out",
)

TOPICS: dict[str, Topic] = {
    topic.name: topic
    for topic in (
        SONG_RELEASES,
        AUDIO_RELEASES,
        PLAYS,
        LISTENER_SETTINGS,
        LISTENER_ERASURES,
        SONG_EMBEDDINGS,
        AUDIENCE_SAMPLES,
        SONG_CROWDS,
        SONG_DECISIONS,
        AUDIENCE_QUERIES,
        AUDIENCE_ANSWERS,
        TARGET_CANDIDATES,
        PUSH_TARGETS,
        PUSH_SUPPRESSIONS,
        TARGET_REACTIONS,
        RELEASE_OUTCOMES,
    )
}

READ_FROM_NEIGHBOURS = (SONG_RELEASES, AUDIO_RELEASES, PLAYS, LISTENER_SETTINGS, LISTENER_ERASURES)
# What stages read; each has dead letters, for a record of our own can be wrong as well.
READ_BY_STAGES = (
    *READ_FROM_NEIGHBOURS,
    SONG_EMBEDDINGS,
    AUDIENCE_SAMPLES,
    AUDIENCE_QUERIES,
    AUDIENCE_ANSWERS,
    TARGET_CANDIDATES,
    TARGET_REACTIONS,
)
PUBLISHED_TO_NEIGHBOURS = (PUSH_TARGETS, PUSH_SUPPRESSIONS, RELEASE_OUTCOMES)


def group_of(shard: Shard, prefix: str) -> str:
    """The consumer group in which workers share the partitions of this kind."""
    return f"{prefix}bcl-{shard.value}s"


def featurize_group(prefix: str) -> str:
    """The group of those who make vectors: not the workers', for it may run elsewhere and falls behind alone."""
    return f"{prefix}bcl-featurize"
