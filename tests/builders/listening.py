"""A listener shard in one line: its store, its song view, its audience and the stages that share them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from streams.audience.audience import Audience
from streams.audience.erase_listeners import EraseListeners
from streams.audience.follow_settings import FollowSettings
from streams.audience.listener import embedding_of as slow_embedding
from streams.audience.listener import forget_after_ms, half_life_ms, heard, is_effective, ring_with
from streams.audience.score_listeners import ScoreListeners
from streams.audience.track_listening import TrackListening
from streams.catalogue.songs import Songs
from streams.contracts.crowds import AudienceSamples
from streams.contracts.ids import key_of
from streams.contracts.messages import Batch, Message
from streams.contracts.plays import Play
from streams.contracts.queries import AudienceAnswer, AudienceQuery
from streams.contracts.topics import AUDIENCE_QUERIES, LISTENER_ERASURES, LISTENER_SETTINGS, PLAYS
from streams.settings import ListeningSettings, Settings
from streams.state.memory_store import MemoryStore
from tests.builders.contracts import ARTIFACT, NOW, embedded, settings

SONG_PARTITIONS = 2


class Catalogue:
    """A song view that is told what happens to songs."""

    def __init__(self, dimension: int) -> None:
        self.songs = Songs(ARTIFACT, dimension, 1)
        self.vectors: dict[int, Any] = {}  # of songs that are known, by key
        self._next = 0

    def tell(self, song_id: str, *numbers: float) -> None:
        """The song is embedded; without numbers it is withdrawn."""
        self._next += 1
        told = embedded(song_id, *numbers) if numbers else None
        self.songs.apply(0, self._next, song_id, told)
        self.vectors.pop(key_of(song_id), None)
        if told is not None:
            self.vectors[key_of(song_id)] = np.frombuffer(told.embedding, "<f4")


def catalogue(count: int, dimension: int, *, seed: int = 1) -> Catalogue:
    """Songs s0, s1, ... in random directions."""
    random = np.random.default_rng(seed)
    told = Catalogue(dimension)
    for n in range(count):
        told.tell(f"s{n}", *random.normal(size=dimension).tolist())
    return told


class ListenerShard:
    def __init__(self, told: Catalogue, wanted: Settings | None = None, store: MemoryStore | None = None) -> None:
        self.told = told
        self.settings = wanted or settings()
        self.store = store or MemoryStore()
        self.next: dict[str, int] = {}
        self._start()

    def restart(self) -> None:
        """As after a crash: only what was committed is there."""
        self._start()

    def hear(self, *plays: Play, first: int | None = None) -> list[tuple[Any, ...]]:
        """The samples of a batch of these plays, each as one tuple."""
        return samples_of(self.track.handle(self._batch(PLAYS.name, plays, first)))

    def want(self, *said: msgspec.Struct | str) -> list[Any]:
        """Listener settings; a bare name withdraws them."""
        return self.follow.handle(self._batch(LISTENER_SETTINGS.name, said))

    def forget(self, *asked: msgspec.Struct | str, at: int = NOW) -> list[Message]:
        return self.erase.handle(self._batch(LISTENER_ERASURES.name, asked, at=at))

    def ask(self, query: AudienceQuery) -> AudienceAnswer:
        [message] = self.score.handle(self._batch(AUDIENCE_QUERIES.name, [query]))
        assert isinstance(message.value, AudienceAnswer)
        return message.value

    def commit(self) -> None:
        self.store.commit(self.next)

    def embeddings(self) -> dict[str, bytes]:
        self.audience.refresh()
        return {name: self.audience.matrix.embeddings[slot].tobytes() for name, slot in self._slots().items()}

    def rings(self) -> dict[str, bytes]:
        return {name: self.audience.matrix.rings[slot].tobytes() for name, slot in self._slots().items()}

    def _slots(self) -> dict[str, int]:
        return {name: slot for slot, name in enumerate(self.audience.listener_ids) if name}

    def _start(self) -> None:
        told = self.settings
        store = self.store = _as_committed(self.store)
        self.next = store.offsets()
        self.audience = audience = Audience(store, self.told.songs, told.listening, told.admission)
        self.track = TrackListening(audience, store, told.listening, SONG_PARTITIONS)
        self.follow = FollowSettings(audience, store)
        self.erase = EraseListeners(audience, store, SONG_PARTITIONS)
        self.score = ScoreListeners(
            audience,
            store,
            told.scoring,
            told.selection,
            told.admission.hold_out_share,
            told.topics.listener_partitions,
        )

    def _batch(self, topic: str, values: Sequence[Any], first: int | None = None, at: int | None = None) -> Batch[Any]:
        first = self.next.get(topic, 0) if first is None else first
        self.next[topic] = first + len(values)
        named = [value if isinstance(value, str) else getattr(value, "listener_id", "any") for value in values]
        return Batch(
            topic=topic,
            partition=3,
            next_offset=first + len(values),
            offsets=range(first, first + len(values)),
            times_ms=[at or getattr(value, "played_ms", NOW) for value in values],
            keys=[name.encode() for name in named],
            values=[None if isinstance(value, str) else value for value in values],
            raw=[b""] * len(values),
        )


def _as_committed(store: MemoryStore) -> MemoryStore:
    store._pending.clear()
    return store


def samples_of(messages: Iterable[Message]) -> list[tuple[Any, ...]]:
    """(offset, song partition, song, listener key, played_ms, strength, embedding bytes) of each sample."""
    found = []
    for message in messages:
        told = message.value
        assert isinstance(told, AudienceSamples)
        columns = zip(
            told.offsets,
            told.song_ids,
            np.frombuffer(told.listener_keys, "<u8").tolist(),
            np.frombuffer(told.played_ms, "<i8").tolist(),
            np.frombuffer(told.strengths, "<f4").tolist(),
            np.frombuffer(told.embeddings, "<f4").reshape(len(told.offsets), -1),
            strict=True,
        )
        found += [
            (offset, message.partition, song, key, at, strength, row.tobytes())
            for offset, song, key, at, strength, row in columns
        ]
    return sorted(found)


def reference(
    plays: Iterable[Play],
    vectors: Mapping[int, Any],
    listening: ListeningSettings,
    dimension: int,
    erased_ms: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """Every listener's embedding by the slow rules, from plays in any order."""
    by_listener: dict[str, list[Play]] = {}
    for play in plays:
        if is_effective(play, listening) and play.played_ms > (erased_ms or {}).get(play.listener_id, 0):
            by_listener.setdefault(play.listener_id, []).append(play)
    return {
        name: slow_embedding(
            ring_with(
                (),
                [heard(play, listening) for play in own],
                keep=listening.keep_plays,
                forget_after_ms=forget_after_ms(listening),
            ),
            vectors,
            half_life_ms=half_life_ms(listening),
            dimension=dimension,
        )
        for name, own in by_listener.items()
    }
