"""What a worker tells Prometheus: one method for each moment, and nobody else imports prometheus_client.

Names are in base units under the prefix `bcl_`; labels hold topics, partitions, stages and reasons, never a song or a
listener.
"""

from collections import Counter as Counts
from collections import OrderedDict
from collections.abc import Callable, Iterable
from time import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest

from streams.contracts.messages import Message
from streams.contracts.targets import Arm, Reason, Suppression, Target

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
STAGE_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)  # 200 ms: the loop is starved
RELEASE_SECONDS = (0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30, 60)
QUERIES_REMEMBERED = 4_096  # whose first target was seen


class Metrics:
    def __init__(self, clock: Callable[[], float] = time) -> None:
        self._clock = clock
        self._registry = own = CollectorRegistry()
        at = ("topic", "partition")

        self._consumed = Counter(
            "bcl_consumed_records", "Records folded, refused ones included", ["topic"], registry=own
        )
        self._published = Counter("bcl_published_records", "Records published", ["topic"], registry=own)
        self._dead = Counter("bcl_dead_letters", "Records that could not be read", ["topic"], registry=own)
        self._targets = Counter("bcl_targets", "Push targets", ["arm"], registry=own)
        self._suppressed = Counter("bcl_suppressed", "Targets not sent", ["reason"], registry=own)
        self._restored = Counter(
            "bcl_restored_shards", "Shards taken over, by where their state came from", ["source"], registry=own
        )

        self._lag = Gauge("bcl_lag_records", "Records not yet folded", at, registry=own)
        self._commit_age = Gauge(
            "bcl_commit_age_seconds", "Since the partition last moved or had nothing to do", at, registry=own
        )
        self._checkpoint_age = Gauge(
            "bcl_checkpoint_age_seconds", "Since the last good checkpoint", ["shard"], registry=own
        )
        self._partitions = Gauge("bcl_owned_partitions", "Partitions that this worker owns", ["side"], registry=own)
        self._listeners = Gauge("bcl_listeners", "Listeners with an embedding", ["partition"], registry=own)
        self._songs = Gauge("bcl_index_songs", "Songs that can be neighbours", registry=own)
        self._known = Gauge("bcl_known_songs", "Songs with an embedding, warm or not", registry=own)
        self._tombstones = Gauge("bcl_index_tombstones", "Songs withdrawn since the index was built", registry=own)
        self._recall = Gauge(
            "bcl_shadow_recall_ratio", "Recall of sampled searches against the exact index", registry=own
        )
        self._model = Info("bcl_model", "The artifact in use", registry=own)

        self._stage = Histogram(
            "bcl_stage_duration_seconds", "One batch through a stage", ["stage"], registry=own, buckets=STAGE_SECONDS
        )
        self._freshness = Histogram(
            "bcl_freshness_seconds",
            "From a record's time to its effect",
            ["stage"],
            registry=own,
            buckets=RELEASE_SECONDS,
        )
        self._first_target = Histogram(
            "bcl_release_to_first_target_seconds", "From the release's record", registry=own, buckets=RELEASE_SECONDS
        )

        self._moved: dict[tuple[str, int], float] = {}
        self._checkpointed: dict[str, float] = {}
        self._seen_queries: OrderedDict[str, None] = OrderedDict()

    def consumed(self, topic: str, records: int) -> None:
        self._consumed.labels(topic).inc(records)

    def published(self, messages: Iterable[Message]) -> None:
        """Added up before they are told: a release is ten thousand messages."""
        topics: Counts[str] = Counts()
        arms: Counts[Arm] = Counts()
        reasons: Counts[Reason] = Counts()
        for message in messages:
            topics[message.topic.name] += 1
            value = message.value
            if isinstance(value, Target):
                arms[value.arm] += 1
                self._note_first_target(value)
            elif isinstance(value, Suppression):
                reasons[value.reason] += 1
        for topic, count in topics.items():
            self._published.labels(topic).inc(count)
        for arm, count in arms.items():
            self._targets.labels(arm.value).inc(count)
        for reason, count in reasons.items():
            self._suppressed.labels(reason.value).inc(count)

    def dead_letter(self, topic: str) -> None:
        self._dead.labels(topic).inc()

    def stage_took(self, stage: str, seconds: float) -> None:
        self._stage.labels(stage).observe(seconds)

    def fresh(self, stage: str, record_ms: int) -> None:
        """What a record of that time says is now in force: seen by scoring, found by a search."""
        self._freshness.labels(stage).observe(max(self._clock() - record_ms / 1000, 0))

    def lag(self, topic: str, partition: int, records: int) -> None:
        self._lag.labels(topic, partition).set(records)

    def moved(self, topic: str, partition: int) -> None:
        """The partition was committed further, or there was nothing to commit."""
        at = (topic, partition)
        if at not in self._moved:
            self._commit_age.labels(*at).set_function(lambda: self._clock() - self._moved.get(at, self._clock()))
        self._moved[at] = self._clock()

    def revoked(self, topic: str, partition: int) -> None:
        """Another worker's from now on: its gauges would be wrong here."""
        if self._moved.pop((topic, partition), None) is not None:
            self._commit_age.remove(topic, partition)
        self._lag.remove(topic, partition)

    def owns(self, side: str, partitions: int) -> None:
        self._partitions.labels(side).set(partitions)

    def restored(self, source: str) -> None:
        """`source`: disk, checkpoint or topic."""
        self._restored.labels(source).inc()

    def checkpointed(self, shard: str) -> None:
        if shard not in self._checkpointed:
            age = self._checkpoint_age.labels(shard)
            age.set_function(lambda: self._clock() - self._checkpointed.get(shard, self._clock()))
        self._checkpointed[shard] = self._clock()

    def listeners(self, partition: int, count: int) -> None:
        self._listeners.labels(partition).set(count)

    def index(self, songs: int, tombstones: int = 0) -> None:
        self._songs.set(songs)
        self._tombstones.set(tombstones)

    def known(self, songs: int) -> None:
        self._known.set(songs)

    def searched_exactly(self, recall: float) -> None:
        self._recall.set(recall)

    def model(self, artifact: str, dimension: int) -> None:
        self._model.info({"artifact": artifact, "dimension": str(dimension)})

    def exposition(self) -> bytes:
        return generate_latest(self._registry)

    def value(self, name: str, **labels: str) -> float:
        """As Prometheus would read it now; zero for what has not happened."""
        return self._registry.get_sample_value(name, labels) or 0.0

    def _note_first_target(self, target: Target) -> None:
        if target.query_id in self._seen_queries:
            return
        self._seen_queries[target.query_id] = None
        if len(self._seen_queries) > QUERIES_REMEMBERED:
            self._seen_queries.popitem(last=False)
        self._first_target.observe(max(self._clock() - target.decided_ms / 1000, 0))
