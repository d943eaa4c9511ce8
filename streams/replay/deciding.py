"""One lane of a replay where songs are decided: the views of all songs, and the stages that embed, match and select."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from streams.catalogue.embed_songs import EmbedSongs, SongEncoder
from streams.catalogue.exact_index import ExactIndex
from streams.catalogue.match_songs import MatchSongs
from streams.catalogue.song_crowds import CrowdsOfSongs
from streams.catalogue.song_index import Embeddings
from streams.catalogue.songs import Songs
from streams.catalogue.warm_songs import WarmSongs
from streams.contracts.crowds import SongCrowds
from streams.contracts.dead_letters import DeadLetter
from streams.contracts.embeddings import SongEmbedded
from streams.contracts.messages import Batch, Message
from streams.contracts.partitions import partition_of
from streams.contracts.queries import AudienceAnswer, AudienceQuery, TargetCandidates
from streams.contracts.releases import Release
from streams.contracts.topics import (
    AUDIENCE_ANSWERS,
    AUDIENCE_QUERIES,
    SONG_EMBEDDINGS,
    TARGET_CANDIDATES,
    Topic,
)
from streams.replay.lanes import Lane
from streams.replay.song_side import Turned
from streams.settings import Settings
from streams.state.memory_store import MemoryStore
from streams.targeting.select_targets import SelectTargets

AskCrowds = Callable[[list[str]], list[SongCrowds | None]]


class Applied(NamedTuple):
    """A record of song-embeddings."""

    partition: int
    next_offset: int
    song_id: str
    embedded: SongEmbedded | None


class Deciding:
    def __init__(self, number: int, lane: Lane, encoder: SongEncoder, ask_crowds: AskCrowds) -> None:
        topics = lane.settings.topics
        self.number, self.lane = number, lane
        self.new: list[Applied] = []  # that the listeners have not been told of
        self.alters = False  # one of them alters a song that they know
        self.songs = Songs(lane.artifact, lane.dimension, topics.song_partitions)
        self.crowds = AskedCrowds(lane, ask_crowds)
        self._embed = EmbedSongs(encoder, MemoryStore(), lane.settings.model.songs_per_batch)
        warm = _Warm(self.songs, self.crowds, ExactIndex(lane.dimension))
        self.policies = {name: _Policy(own, warm, lane.budgets[name]) for name, own in lane.policies.items()}
        self._offsets = [0] * topics.song_partitions

    def embedded(self, batch: Batch[Release]) -> list[Message | DeadLetter]:
        return self._embed.handle(batch)

    def apply(self, song_id: str, embedded: SongEmbedded | None) -> None:
        partition = partition_of(song_id.encode(), len(self._offsets))
        self._offsets[partition] += 1
        row = self.songs.row_of.get(song_id)
        if row is not None:
            before = self.songs.embeddings[row].astype("<f4").tobytes()
            self.alters |= embedded is None or embedded.embedding != before
        record = Applied(partition, self._offsets[partition], song_id, embedded)
        self.songs.apply(*record)
        self.new.append(record)


class _Policy:
    """What one way to decide adds: which releases are open, and what was chosen."""

    def __init__(self, settings: Settings, warm: WarmSongs, budget: int | None) -> None:
        self._store, self._settings, self._budget = MemoryStore(), settings, budget
        self._match = MatchSongs(
            warm, self._store, settings.matching, listener_partitions=settings.topics.listener_partitions
        )
        self._select = SelectTargets(self._store, settings.selection)
        self._answers = 0

    def question(self, message: Message) -> AudienceQuery | None:
        """What is asked about a song that was embedded or withdrawn."""
        value = message.value
        if self._budget is not None and isinstance(value, SongEmbedded):
            value = msgspec.structs.replace(value, budget=self._budget)
        said = self._match.handle(_batch(SONG_EMBEDDINGS, [value], message.key, message.time_ms))
        self._store.commit({})
        for one in said:
            if isinstance(one, Message) and one.topic is AUDIENCE_QUERIES:
                assert isinstance(one.value, AudienceQuery)
                return one.value
        return None

    def candidates(self, answers: Sequence[AudienceAnswer]) -> list[tuple[int, TargetCandidates]]:
        """With their listener partitions, in the order in which they are published."""
        said = self._select.handle(_batch(AUDIENCE_ANSWERS, answers, start=self._answers))
        self._answers += len(answers)
        self._store.commit({})
        return [
            (one.partition, one.value)
            for one in said
            if isinstance(one, Message) and one.topic is TARGET_CANDIDATES and one.partition is not None
            if isinstance(one.value, TargetCandidates)
        ]


class AskedCrowds(CrowdsOfSongs):
    """The view of all crowds, where these lie with others: which songs are warm is known, crowds are asked for."""

    def __init__(self, lane: Lane, ask: AskCrowds) -> None:
        settings = lane.settings
        super().__init__(lane.artifact, settings.topics.song_partitions, settings.crowds.warm_at_listeners)
        self._ask = ask
        self._are_warm: set[str] = set()
        self._asked: dict[str, SongCrowds | None] = {}

    def turn(self, turned: Turned) -> None:
        self._are_warm.update(turned.warm)
        self._are_warm.difference_update(turned.cold)
        self._turned += [*turned.warm, *turned.cold]
        self._offsets = [offset + more for offset, more in zip(self._offsets, turned.published, strict=True)]

    def take_back(self, song_id: str) -> None:
        """A record without crowds."""
        published = [0] * len(self._offsets)
        published[partition_of(song_id.encode(), len(published))] = 1
        self.turn(Turned([], [song_id] if self.is_warm(song_id) else [], published))

    def ask(self, songs: Iterable[str]) -> None:
        """All at once; `of` then has them until others are asked for."""
        names = list(songs)
        self._asked = dict(zip(names, self._ask(names), strict=True))

    def of(self, song_id: str) -> SongCrowds | None:
        if song_id not in self._asked:
            self.ask([song_id])
        return self._asked[song_id]

    def is_warm(self, song_id: str) -> bool:
        return song_id in self._are_warm

    def __len__(self) -> int:
        return len(self._are_warm)


class _Warm(WarmSongs):
    """Asks for the crowds of all songs that it finds."""

    crowds: AskedCrowds

    def near(self, embedding: Embeddings, k: int, *, markets: Any = (), but_not: str = "") -> list[tuple[str, float]]:
        found = super().near(embedding, k, markets=markets, but_not=but_not)
        self.crowds.ask(song_id for song_id, _ in found)
        return found


def _batch(topic: Topic, values: Sequence[Any], key: str = "", time_ms: int = 0, *, start: int = 0) -> Batch[Any]:
    rows = len(values)
    return Batch(
        topic.name,
        partition=0,
        next_offset=start + rows,
        offsets=range(start, start + rows),
        times_ms=[time_ms] * rows,
        keys=[key.encode()] * rows,
        values=values,
        raw=[None] * rows,
    )
