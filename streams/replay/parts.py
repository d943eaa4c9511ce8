"""What one process of a replay holds: some listener partitions and some songs of every lane; and a crew of such."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from streams.audience.crowds import Floats
from streams.catalogue.songs import Songs
from streams.contracts.crowds import SongCrowds
from streams.contracts.dead_letters import DeadLetter
from streams.contracts.messages import Batch, Message
from streams.contracts.queries import AudienceAnswer, AudienceQuery, TargetCandidates
from streams.replay.deciding import Applied
from streams.replay.growing import longer
from streams.replay.lanes import Lane
from streams.replay.listener_side import HeardHere, ListenerSide
from streams.replay.log_names import LogNames, NewNames
from streams.replay.past_rings import PastRings
from streams.replay.rivals import Shortlist
from streams.replay.song_side import SongSide, Turned
from streams.replay.waiting_samples import Samples

Numbers = NDArray[np.int64]


class Share(NamedTuple):
    """What a part is told of a block of plays."""

    names: NewNames  # since the last block
    listeners: Numbers  # of all its plays, effective or not
    heard: list[list[HeardHere]]  # of each lane, a partition each


class Part:
    """Number `n` of `parts`; listener partition p and song p are with number p mod parts."""

    def __init__(self, lanes: Sequence[Lane], n: int, parts: int) -> None:
        topics = lanes[0].settings.topics
        self._names = LogNames()
        self._plays: Numbers = np.zeros(0, np.int64)  # by number of the listener
        self._songs = [Songs(lane.artifact, lane.dimension, topics.song_partitions) for lane in lanes]
        self._n, self._parts = n, parts
        self._past = [PastRings(lane.settings.listening) for lane in lanes]
        self._listener_sides = [
            {p: ListenerSide(p, lane, songs, self._names, past) for p in range(n, topics.listener_partitions, parts)}
            for lane, songs, past in zip(lanes, self._songs, self._past, strict=True)
        ]
        self._song_sides = [
            SongSide(lane.settings.crowds, lane.artifact, lane.dimension, topics.song_partitions, self._names.songs)
            for lane in lanes
        ]

    def fold(self, share: Share) -> list[Samples]:
        """The samples of each lane."""
        self._names.learn(share.names)
        self._plays = longer(self._plays, len(self._names.listeners))
        np.add.at(self._plays, share.listeners, 1)
        found = [
            Samples.joined([sides[heard.partition].fold(heard) for heard in of_lane])
            for sides, of_lane in zip(self._listener_sides, share.heard, strict=True)
        ]
        return [samples._replace(rings=samples.rings * self._parts + self._n) for samples in found]

    def embeddings(self, lane: int, rings: Numbers) -> Floats:
        """Of listeners who are here, by the songs as they are known."""
        return self._past[lane].embeddings(rings // self._parts, self._songs[lane].embeddings)

    def kept(self, lane: int) -> int:
        """Entries of rings."""
        return len(self._past[lane])

    def keep_none(self, lane: int) -> None:
        """Nothing waits for the rings of the past."""
        self._past[lane].clear()
        for side in self._listener_sides[lane].values():
            side.continue_no_ring()

    def told(self, lane: int, samples: Samples) -> Samples:
        """Those that are to be folded now."""
        return self._song_sides[lane].told(samples)

    def waiting(self, lane: int) -> int:
        return self._song_sides[lane].waiting

    def taken(self, lane: int, songs: list[str]) -> Samples:
        return self._song_sides[lane].taken(songs)

    def next_taken(self, lane: int) -> Samples:
        return self._song_sides[lane].next_taken()

    def refresh(self, lane: int, samples: Samples, embeddings: Floats) -> None:
        self._song_sides[lane].fold(samples, embeddings)

    def turned(self, lane: int) -> Turned:
        return self._song_sides[lane].turned()

    def apply(self, lane: int, records: list[Applied]) -> None:
        for partition, next_offset, song_id, embedded in records:
            self._songs[lane].apply(partition, next_offset, song_id, embedded)

    def follow(self, batches: list[Batch[Any]]) -> list[DeadLetter]:
        """Settings; what cannot be used is told once."""
        refused: list[list[DeadLetter]] = [
            [letter for batch in batches for letter in sides[batch.partition].follow(batch)]
            for sides in self._listener_sides
        ]
        return refused[0]

    def erase(self, batches: list[Batch[Any]]) -> NDArray[np.uint64]:
        """The keys of who is to be forgotten."""
        keys = [[sides[batch.partition].erase(batch) for batch in batches] for sides in self._listener_sides]
        return np.concatenate([np.zeros(0, np.uint64), *keys[0]])

    def forget(self, listener_keys: NDArray[np.uint64]) -> None:
        for side in self._song_sides:
            side.forget(listener_keys)

    def untell(self, lane: int, song_id: str) -> None:
        self._song_sides[lane].untell(song_id)

    def crowds(self, lane: int, songs: list[str]) -> list[SongCrowds | None]:
        return self._song_sides[lane].crowds(songs)

    def answers(self, lane: int, policy: str, query: AudienceQuery) -> list[AudienceAnswer]:
        return [side.answer(policy, query) for side in self._listener_sides[lane].values()]

    def admit(self, lane: int, policy: str, candidates: list[tuple[int, TargetCandidates]]) -> list[Message]:
        """Candidates with their partitions, in order."""
        said: list[Message] = []
        for partition, side in self._listener_sides[lane].items():
            if own := [one for there, one in candidates if there == partition]:
                said += side.admit(policy, own)
        return said

    def shortlists(self, query: AudienceQuery, most: int) -> dict[int, tuple[int, dict[str, Shortlist]]]:
        """Of each partition of the first lane, after its answers."""
        return {
            partition: side.shortlists(query, most, self._plays) for partition, side in self._listener_sides[0].items()
        }

    def close(self) -> None:
        for past in self._past:
            past.close()


class Crew(Protocol):
    """All parts; each is asked the same, with arguments of its own."""

    @property
    def parts(self) -> int: ...

    def ask(self, what: str, arguments: Sequence[tuple[Any, ...]]) -> list[Any]: ...

    def close(self) -> None: ...


class OneProcess:
    """All of it here."""

    parts = 1

    def __init__(self, lanes: Sequence[Lane]) -> None:
        self._part = Part(lanes, 0, 1)

    def ask(self, what: str, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        [own] = arguments
        return [getattr(self._part, what)(*own)]

    def close(self) -> None:
        self._part.close()
