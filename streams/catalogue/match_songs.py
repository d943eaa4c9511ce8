"""Finds the audience that a release will share: the warm songs near it, and the crowds of these, merged into few.

What comes out depends on the views at that moment, so it is decided once: the decision goes to song-decisions with
the offsets of the views, and a worker that takes the partition over adopts it instead of deciding again.
"""

import msgspec
import numpy as np

from streams.audience.cat import merge_crowds
from streams.catalogue.song_index import Embeddings
from streams.catalogue.warm_songs import WarmSongs
from streams.contracts.crowds import SongCrowds
from streams.contracts.dead_letters import DeadLetter
from streams.contracts.embeddings import SongEmbedded
from streams.contracts.ids import query_id_of, seed_of
from streams.contracts.messages import Batch, Message
from streams.contracts.queries import AudienceQuery, Neighbour
from streams.contracts.topics import AUDIENCE_QUERIES, DAY_MS, HOUR_MS, SONG_DECISIONS
from streams.settings import MatchingSettings
from streams.state.layout import DECIDED, OPEN_QUERY, WITHDRAWN, named
from streams.state.store import Store


class MatchSongs:
    """A release is matched once: a song that is embedded again has been matched, one that was withdrawn has not.

    Where no warm song with crowds is near (in an empty catalogue none is), the song's own embedding is the only
    centroid: that is a result, not an error.
    """

    def __init__(self, warm: WarmSongs, store: Store, settings: MatchingSettings, *, listener_partitions: int) -> None:
        self.of_other_artifacts = 0  # embeddings that cannot be compared with ours
        self._warm, self._store, self._settings = warm, store, settings
        self._listener_partitions = listener_partitions
        self._adopted: dict[str, dict[int, AudienceQuery]] = {}  # song -> time of the release -> what was decided

    def adopt(self, decision: object) -> None:
        if isinstance(decision, AudienceQuery):
            self._adopted.setdefault(decision.song_id, {})[decision.decided_ms] = decision

    def handle(self, batch: Batch[SongEmbedded]) -> list[Message | DeadLetter]:
        outputs: list[Message | DeadLetter] = []
        for key, time_ms, embedded in zip(batch.keys, batch.times_ms, batch.values, strict=True):
            if embedded is None:
                self._forget((key or b"").decode(), time_ms)
            elif (query := self._query_for(embedded)) is not None:
                outputs += self._messages(query, batch.partition)
        return outputs

    def _query_for(self, embedded: SongEmbedded) -> AudienceQuery | None:
        if self._store.get(named(DECIDED, embedded.song_id)) is not None or self._is_withdrawn(embedded):
            return None
        query = self._adopted_for(embedded)
        if query is None:
            if embedded.artifact != self._warm.songs.artifact:
                self.of_other_artifacts += 1
                return None
            if not is_cold(embedded, self._settings.cold_for_days):
                return None
            query = self._decide(embedded)
        self._store.put(named(DECIDED, query.song_id), query.query_id.encode())
        self._store.put(named(OPEN_QUERY, query.query_id), msgspec.msgpack.encode(query))  # for select_targets
        return query

    def _adopted_for(self, embedded: SongEmbedded) -> AudienceQuery | None:
        """What was decided for this release, or for an earlier one of the song of which compaction left nothing."""
        decisions = self._adopted.get(embedded.song_id, {})
        earlier = [decided_ms for decided_ms in decisions if decided_ms <= embedded.published_ms]
        query = decisions[max(earlier)] if earlier else None
        self._drop_adopted(embedded.song_id, embedded.published_ms)
        return query

    def _forget(self, song_id: str, withdrawn_ms: int) -> None:
        """A question that is still open stays without a choice."""
        if query_id := self._store.get(named(DECIDED, song_id)):
            self._store.delete(OPEN_QUERY + query_id)
        self._store.delete(named(DECIDED, song_id))
        self._store.put(named(WITHDRAWN, song_id), withdrawn_ms.to_bytes(8, "little"))
        self._drop_adopted(song_id, withdrawn_ms)

    def _is_withdrawn(self, embedded: SongEmbedded) -> bool:
        """Where a shard's state is lost, all its songs are published again, after their withdrawals of old."""
        withdrawn = self._store.get(named(WITHDRAWN, embedded.song_id))
        return withdrawn is not None and embedded.published_ms <= int.from_bytes(withdrawn, "little")

    def _drop_adopted(self, song_id: str, up_to_ms: int) -> None:
        decisions = self._adopted.pop(song_id, {})
        if later := {decided_ms: query for decided_ms, query in decisions.items() if decided_ms > up_to_ms}:
            self._adopted[song_id] = later

    def _decide(self, embedded: SongEmbedded) -> AudienceQuery:
        settings = self._settings
        embedding = np.frombuffer(embedded.embedding, dtype="<f4")
        with self._warm.as_of_one_moment():
            near = self._neighbours(embedded, embedding)
            song_offsets, crowd_offsets = self._warm.songs.offsets, self._warm.crowds.offsets
        merged = merge_crowds(
            [(crowds, similarity) for crowds, similarity in near],
            crowds=settings.crowds,
            max_share=settings.max_share_per_neighbour,
            seed=seed_of(embedded.song_id, embedded.artifact),
            at_ms=embedded.published_ms,
        )
        centroids, masses = merged.centroids, merged.masses
        if len(masses) == 0:
            centroids, masses = embedding[None], np.ones(1, dtype=np.float32)
        expires_ms = max(embedded.published_ms, embedded.released_ms) + round(settings.expires_after_h * HOUR_MS)
        return AudienceQuery(
            query_id=query_id_of(embedded.song_id, embedded.artifact, embedded.content, settings.policy),
            song_id=embedded.song_id,
            artifact=embedded.artifact,
            policy=settings.policy,
            embedding=embedded.embedding,
            centroids=centroids.astype("<f4").tobytes(),
            masses=masses.astype("<f4").tobytes(),
            because=tuple(Neighbour(crowds.song_id, round(similarity, 6)) for crowds, similarity in near),
            budget=embedded.budget or settings.budget,
            decided_ms=embedded.published_ms,
            expires_ms=embedded.expires_ms or expires_ms,
            released_ms=embedded.released_ms,
            markets=embedded.markets,
            song_offsets=song_offsets,
            crowd_offsets=crowd_offsets,
        )

    def _neighbours(self, embedded: SongEmbedded, embedding: Embeddings) -> list[tuple[SongCrowds, float]]:
        near = self._warm.near(embedding, self._settings.neighbours, markets=embedded.markets, but_not=embedded.song_id)
        return [
            (crowds, similarity)
            for song_id, similarity in near
            if similarity >= self._settings.min_similarity and (crowds := self._warm.crowds.of(song_id)) is not None
        ]

    def _messages(self, query: AudienceQuery, partition: int) -> list[Message]:
        """The decision first: a question that was put without it would be put again in other words after a crash."""
        at_ms = query.decided_ms
        return [
            Message(SONG_DECISIONS, query.song_id, query, at_ms, partition),
            *(Message(AUDIENCE_QUERIES, query.song_id, query, at_ms, p) for p in range(self._listener_partitions)),
        ]


def is_cold(embedded: SongEmbedded, cold_for_days: float) -> bool:
    """Released lately, or announced, when its record was published, and not expired by then."""
    if embedded.expires_ms is not None and embedded.expires_ms <= embedded.published_ms:
        return False
    return embedded.published_ms - embedded.released_ms <= cold_for_days * DAY_MS
