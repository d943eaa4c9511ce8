"""Which stages handle what: the one place where stages meet their stores, views and settings.

Agents, replay and tests build their shards here, so that they cannot differ.
"""

import logging
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from bcl_model.inference import SongEncoder as TrainedEncoder
from streams.audience.audience import Audience
from streams.audience.erase_listeners import EraseListeners
from streams.audience.follow_settings import FollowSettings
from streams.audience.refresh_crowds import RefreshCrowds
from streams.audience.score_listeners import ScoreListeners
from streams.audience.track_listening import TrackListening
from streams.catalogue import view_snapshot
from streams.catalogue.embed_songs import EmbedSongs, SongEncoder
from streams.catalogue.faiss_index import FaissIndex
from streams.catalogue.match_songs import MatchSongs
from streams.catalogue.snapshots import SnapshotRefused
from streams.catalogue.song_crowds import CrowdsOfSongs
from streams.catalogue.song_index import SongIndex
from streams.catalogue.songs import Songs
from streams.catalogue.warm_songs import WarmSongs
from streams.contracts.crowds import SongCrowds
from streams.contracts.embeddings import SongEmbedded
from streams.contracts.topics import (
    AUDIENCE_ANSWERS,
    AUDIENCE_QUERIES,
    AUDIENCE_SAMPLES,
    LISTENER_ERASURES,
    LISTENER_SETTINGS,
    PLAYS,
    PUSH_SUPPRESSIONS,
    PUSH_TARGETS,
    SONG_CROWDS,
    SONG_DECISIONS,
    SONG_EMBEDDINGS,
    SONG_RELEASES,
    TARGET_CANDIDATES,
    TARGET_REACTIONS,
    Topic,
)
from streams.contracts.topics import Shard as Side
from streams.settings import Settings
from streams.shard import Shard, unmeasured
from streams.state.store import Store
from streams.targeting.admit_targets import AdmitTargets
from streams.targeting.measure_outcomes import MeasureOutcomes, NoticeReactions
from streams.targeting.select_targets import SelectTargets
from streams.targeting.watched_releases import WatchedReleases

log = logging.getLogger("bcl.wiring")

SNAPSHOT = "views"  # in the worker's folder

# The verb of each topic's agent; the stages behind it are listed in `Wiring.shard`.
AGENTS_OF: dict[Side, dict[Topic, str]] = {
    Side.SONG: {
        SONG_RELEASES: "embed-songs",
        SONG_EMBEDDINGS: "match-songs",
        AUDIENCE_SAMPLES: "refresh-crowds",
        AUDIENCE_ANSWERS: "select-targets",
        TARGET_REACTIONS: "measure-outcomes",
    },
    Side.LISTENER: {
        PLAYS: "track-listening",
        LISTENER_SETTINGS: "follow-settings",
        LISTENER_ERASURES: "erase-listeners",
        AUDIENCE_QUERIES: "score-listeners",
        TARGET_CANDIDATES: "admit-targets",
    },
}


@dataclass(frozen=True)
class Views:
    """What every worker knows of all songs."""

    warm: WarmSongs

    @classmethod
    def of(cls, settings: Settings, encoder: SongEncoder, index: SongIndex, snapshot: Path | None = None) -> "Views":
        """As they were in a snapshot; empty, and to be read from the start of the topics, if there is no good one."""
        partitions = settings.topics.song_partitions
        songs = Songs(encoder.artifact, encoder.dimension, partitions)
        crowds = CrowdsOfSongs(encoder.artifact, partitions, settings.crowds.warm_at_listeners)
        if snapshot is not None and snapshot.exists():
            try:
                return cls(view_snapshot.load(snapshot, songs, crowds, index))
            except SnapshotRefused as reason:
                log.warning("the views are read from the topics: %s", reason)
        return cls(WarmSongs(songs, crowds, index))

    @property
    def songs(self) -> Songs:
        return self.warm.songs

    @property
    def crowds(self) -> CrowdsOfSongs:
        return self.warm.crowds

    def apply(
        self, topic: Topic, partition: int, next_offset: int, song_id: str, value: SongEmbedded | SongCrowds | None
    ) -> None:
        view = self.songs if topic is SONG_EMBEDDINGS else self.crowds
        view.apply(partition, next_offset, song_id, value)  # type: ignore[arg-type]  # each topic carries its own

    def read_up_to(self, topic: Topic, partition: int, next_offset: int) -> None:
        (self.songs if topic is SONG_EMBEDDINGS else self.crowds).read_up_to(partition, next_offset)

    def offset(self, topic: Topic, partition: int) -> int:
        return (self.songs if topic is SONG_EMBEDDINGS else self.crowds).offsets[partition]

    TOPICS = (SONG_EMBEDDINGS, SONG_CROWDS)


@dataclass
class Wiring:
    settings: Settings
    encoder: SongEncoder
    views: Views
    threads: Executor | None = None
    stage_took: Callable[[str, float], None] = field(default=unmeasured)

    @classmethod
    def load(
        cls,
        settings: Settings,
        *,
        stage_took: Callable[[str, float], None] = unmeasured,
        on_recall: Callable[[float], None] | None = None,
    ) -> "Wiring":
        """As a worker runs it: the trained encoder, the FAISS index, threads for scoring."""
        encoder = TrainedEncoder.load(Path(settings.model.artifact))
        matching = settings.matching
        index = FaissIndex(
            encoder.dimension,
            exact_below_songs=matching.exact_below_songs,
            rebuild_share=matching.rebuild_share,
            recall_sample_share=matching.recall_sample_share,
            on_recall=on_recall,
        )
        threads = ThreadPoolExecutor(settings.scoring.threads) if settings.scoring.threads > 1 else None
        views = Views.of(settings, encoder, index, Path(settings.worker.data) / SNAPSHOT)
        return cls(settings, encoder, views, threads, stage_took)

    def shard(self, side: Side, partition: int, store: Store) -> Shard:
        return self._song_shard(partition, store) if side is Side.SONG else self._listener_shard(partition, store)

    def _song_shard(self, partition: int, store: Store) -> Shard:
        settings, topics = self.settings, self.settings.topics
        match = MatchSongs(self.views.warm, store, settings.matching, listener_partitions=topics.listener_partitions)
        select = SelectTargets(store, settings.selection)
        return Shard(
            Side.SONG,
            partition,
            store,
            stages={
                SONG_RELEASES.name: [EmbedSongs(self.encoder, store, settings.model.songs_per_batch)],
                SONG_EMBEDDINGS.name: [match],
                AUDIENCE_SAMPLES.name: [
                    RefreshCrowds(store, settings.crowds, self.encoder.artifact, self.encoder.dimension)
                ],
                AUDIENCE_ANSWERS.name: [select],
                TARGET_REACTIONS.name: [MeasureOutcomes(store)],
            },
            decisions={SONG_DECISIONS.name: [match, select]},
            deciders=[select],
            contracts=settings.contracts,
            stage_took=self.stage_took,
        )

    def _listener_shard(self, partition: int, store: Store) -> Shard:
        settings, topics = self.settings, self.settings.topics
        audience = Audience(store, self.views.songs, settings.listening, settings.admission)
        watched = WatchedReleases(store, settings.outcomes)
        admit = AdmitTargets(store, watched, settings.admission, audience.have_heard, audience.wishes_of)
        return Shard(
            Side.LISTENER,
            partition,
            store,
            stages={
                PLAYS.name: [
                    TrackListening(audience, store, settings.listening, topics.song_partitions),
                    NoticeReactions(store, watched, settings.listening, settings.outcomes),
                ],
                LISTENER_SETTINGS.name: [FollowSettings(audience, store)],
                LISTENER_ERASURES.name: [EraseListeners(audience, store, topics.song_partitions)],
                AUDIENCE_QUERIES.name: [
                    ScoreListeners(
                        audience,
                        store,
                        settings.scoring,
                        settings.selection,
                        settings.admission.hold_out_share,
                        topics.listener_partitions,
                        self.threads,
                    )
                ],
                TARGET_CANDIDATES.name: [admit],
            },
            decisions={PUSH_TARGETS.name: [admit], PUSH_SUPPRESSIONS.name: [admit]},
            deciders=[],
            contracts=settings.contracts,
            stage_took=self.stage_took,
            audience=audience,
        )

    def save_views(self) -> None:
        view_snapshot.save(Path(self.settings.worker.data) / SNAPSHOT, self.views.warm)

    def close(self) -> None:
        self.views.warm.index.close()
        if isinstance(self.threads, ThreadPoolExecutor):
            self.threads.shutdown()
