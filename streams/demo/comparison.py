"""Whom the live system chose, beside whom the simple rules would have chosen, by the truth of the simulated world.

Every choice is made from the same listeners, knowing the same. For each release each partition's answer names the
plays, settings and songs that it knew; the log up to there is folded again, by the same stages, and the rules choose
from what is found: from listeners with an embedding who consent, are not held out and have not heard the song. That it
is the same knowledge is checked: the answer is computed again and must name the same listeners.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bcl_model.inference import SongEncoder
from streams.audience.audience import Audience
from streams.audience.cat import merge_crowds
from streams.audience.listener import half_life_ms
from streams.audience.rings import MAX_STRENGTH, UNKNOWN, played_ms
from streams.catalogue.exact_index import ExactIndex
from streams.contracts.codec import Record, decode
from streams.contracts.crowds import SongCrowds
from streams.contracts.ids import seed_of
from streams.contracts.messages import Batch
from streams.contracts.queries import AudienceAnswer, AudienceQuery, TargetsSelected
from streams.contracts.targets import Arm
from streams.contracts.topics import (
    AUDIENCE_ANSWERS,
    AUDIENCE_QUERIES,
    LISTENER_SETTINGS,
    PLAYS,
    PUSH_TARGETS,
    SONG_CROWDS,
    SONG_DECISIONS,
    SONG_EMBEDDINGS,
    TARGET_CANDIDATES,
    Shard,
    Topic,
)
from streams.demo.traffic import Traffic
from streams.judging.judge import Estimate, Judged, Known, Verdict, difference, judged, verdict
from streams.replay import rivals
from streams.settings import Settings
from streams.shard import Shard as Stages
from streams.state.memory_store import MemoryStore
from streams.wiring import Views, Wiring
from streams.world.world import World, listener_number

RIVALS = ("single_mean", "own_vector", "weighted_count", "popularity", "random")
RULES = ("cat", *RIVALS)
RECORDS_PER_BATCH = 5_000

Floats = npt.NDArray[np.floating[Any]]
Ints = npt.NDArray[np.integer[Any]]


@dataclass
class Asked:
    """A release as the log tells it, and how each rival likes each listener."""

    query: AudienceQuery
    answers: dict[int, AudienceAnswer]  # that were merged, by listener partition
    chosen: list[str]  # of arm target, best first
    mean: Floats  # the one vector between the crowds of all neighbours
    scores: dict[str, Floats] = field(default_factory=dict)  # rival -> (L,); -inf: not eligible

    def choice(self, rule: str) -> Ints:
        """Numbers of listeners, for every rule as many as the live system chose."""
        if rule == "cat":
            return np.array([listener_number(listener_id) for listener_id in self.chosen], dtype=np.int64)
        best = rivals.best(self.scores[rule], len(self.chosen))
        return best[self.scores[rule][best] > -np.inf]


@dataclass(frozen=True)
class Sent:
    """What was sent with one arm, after caps and hold-out."""

    targets: int
    precision: float | None


@dataclass(frozen=True)
class Comparison:
    releases: int
    chosen: int  # on average
    rules: dict[str, Judged]
    cat_minus: dict[str, Estimate]  # the difference in precision, release by release
    sent: dict[str, Sent]
    answers: int
    answers_again: int  # of these, how many came out the same from the rebuilt knowledge


async def compare(traffic: Traffic, settings: Settings, world: World) -> Comparison | None:
    """None if nobody was chosen for any release."""
    asked = await _asked(traffic, settings)
    if not asked:
        return None
    same = 0
    encoder = SongEncoder.load(Path(settings.model.artifact))
    songs = [record async for record in _every(traffic, SONG_EMBEDDINGS)]
    for partition in range(settings.topics.listener_partitions):
        rebuilt = _Rebuilt(settings, encoder, partition, songs, world.settings.listeners)
        same += await rebuilt.score(asked, traffic)
    return _compared(asked, world, await _sent(traffic, settings, world), same)


def _compared(asked: Sequence[Asked], world: World, sent: dict[str, Sent], same: int) -> Comparison:
    verdicts: dict[str, list[Verdict]] = {rule: [] for rule in RULES}
    everyone = world.listeners()
    for one in asked:
        truth = world.truth_of(world.row_of(one.query.song_id), everyone)
        known = Known(truth.probabilities, truth.would_like, truth.crowds)
        for rule in RULES:
            verdicts[rule].append(verdict(one.choice(rule), known, len(one.chosen)))
    precisions = {rule: [one.precision for one in of_rule] for rule, of_rule in verdicts.items()}
    return Comparison(
        releases=len(asked),
        chosen=round(sum(len(one.chosen) for one in asked) / len(asked)),
        rules={rule: judged(of_rule) for rule, of_rule in verdicts.items()},
        cat_minus={rival: difference(precisions["cat"], precisions[rival]) for rival in RIVALS},
        sent=sent,
        answers=sum(len(one.answers) for one in asked),
        answers_again=same,
    )


class _Rebuilt:
    """A listener partition, folded again from the log as far as an answer knew it."""

    def __init__(
        self, settings: Settings, encoder: SongEncoder, partition: int, songs: Sequence[tuple[int, Record]], count: int
    ) -> None:
        self._settings, self._partition, self._count = settings, partition, count
        self._views = Views.of(settings, encoder, ExactIndex(encoder.dimension))
        self._shard: Stages = Wiring(settings, encoder, self._views).shard(Shard.LISTENER, partition, MemoryStore())
        self._plays = np.zeros(count, dtype=np.int64)  # of each listener
        self._songs: dict[int, list[Record]] = defaultdict(list)
        for song_partition, record in songs:
            self._songs[song_partition].append(record)

    async def score(self, asked: Sequence[Asked], traffic: Traffic) -> int:
        """Every rival scores every release with what was known then; how many answers came out the same."""
        waiting = [(one, one.answers[self._partition]) for one in asked if self._partition in one.answers]
        waiting.sort(key=lambda each: (each[1].plays_offset, each[1].settings_offset, sum(each[1].song_offsets)))
        settings = [record async for _, record in _every(traffic, LISTENER_SETTINGS, self._partition)]
        same = 0
        async for _, records in traffic.logged(PLAYS, self._partition):
            left: Sequence[Record] = records
            while waiting and waiting[0][1].plays_offset <= records[-1].offset:
                cut = bisect_left(left, waiting[0][1].plays_offset, key=_OFFSET)
                self._hear(left[:cut])
                left = left[cut:]
                same += self._score(*waiting.pop(0), settings)
            if not waiting:
                break
            self._hear(left)
        return same + sum(self._score(*each, settings) for each in waiting)

    def _score(self, asked: Asked, recorded: AudienceAnswer, settings: Sequence[Record]) -> bool:
        self._fold(LISTENER_SETTINGS, _up_to(settings, recorded.settings_offset))
        self._know_songs(recorded.song_offsets)
        again = self._answer(asked.query)
        audience: Audience = self._shard.audience
        slots = np.flatnonzero(_eligible(audience, asked.query.song_id))
        numbers = np.array([listener_number(audience.listener_ids[slot]) for slot in slots.tolist()], dtype=np.int64)
        for rival in RIVALS:
            every = asked.scores.setdefault(rival, np.full(self._count, -np.inf))
            every[numbers] = self._scores(rival, asked, audience, slots, numbers)
        return again.best == recorded.best and again.eligible == recorded.eligible == len(slots)

    def _scores(self, rival: str, asked: Asked, audience: Audience, slots: Ints, numbers: Ints) -> Floats:
        if rival == "single_mean":
            return rivals.single_mean(audience.matrix.embeddings[slots], asked.mean, np.ones(1, dtype=np.float32))
        if rival == "own_vector":
            return rivals.own_vector(audience.matrix.embeddings[slots], np.frombuffer(asked.query.embedding, "<f4"))
        if rival == "weighted_count":
            because = asked.query.because
            return rivals.weighted_count(
                audience.matrix.song_rows[slots],
                self._weights(audience, slots),
                audience.songs.rows([near.song_id for near in because]),
                np.array([near.similarity for near in because]),
                len(audience.songs.song_ids),
            )
        if rival == "popularity":
            return rivals.popularity(self._plays[numbers])
        return rivals.at_random(self._count, seed_of("random", asked.query.song_id))[numbers]

    def _weights(self, audience: Audience, slots: Ints) -> Floats:
        """(L, K) strength and age of each play in a ring, as in the listener's embedding."""
        whens, rows = audience.matrix.rings[slots, :, 0], audience.matrix.song_rows[slots]
        times = played_ms(whens)
        aged = np.exp2((times - times[:, -1:]) / half_life_ms(self._settings.listening))
        weights: Floats = aged * (whens & np.uint64(MAX_STRENGTH)) * (rows != UNKNOWN)
        return weights

    def _answer(self, query: AudienceQuery) -> AudienceAnswer:
        batch = Batch(AUDIENCE_QUERIES.name, self._partition, 1, [0], [query.decided_ms], [None], [query], [None])
        [message] = self._shard.stages[AUDIENCE_QUERIES.name][0].handle(batch)
        answer: AudienceAnswer = message.value
        return answer

    def _hear(self, plays: Sequence[Record]) -> None:
        self._fold(PLAYS, plays)
        np.add.at(self._plays, [int((record.key or b"l0")[1:]) for record in plays], 1)

    def _fold(self, topic: Topic, records: Sequence[Record]) -> None:
        for start in range(0, len(records), RECORDS_PER_BATCH):
            self._shard.commit(self._shard.decide(topic, records[start : start + RECORDS_PER_BATCH]))

    def _know_songs(self, offsets: Sequence[int]) -> None:
        for partition, end in enumerate(offsets):
            for record in _up_to(self._songs[partition], end, self._views.offset(SONG_EMBEDDINGS, partition)):
                value: Any = decode(
                    SONG_EMBEDDINGS, record.key, record.value, record.timestamp, self._settings.contracts
                )
                song_id = (record.key or b"").decode()
                self._views.apply(SONG_EMBEDDINGS, partition, record.offset + 1, song_id, value)


def _eligible(audience: Audience, song_id: str) -> npt.NDArray[np.bool_]:
    matrix, slots = audience.matrix, audience.slots
    may_be_told = matrix.consents[:slots] & ~matrix.is_held_out[:slots] & ~audience.has_heard(song_id)
    eligible: npt.NDArray[np.bool_] = audience.is_present() & matrix.has_embedding[:slots] & may_be_told
    return eligible


async def _asked(traffic: Traffic, settings: Settings) -> list[Asked]:
    """Every release for which somebody was chosen."""
    queries: dict[str, AudienceQuery] = {}
    selected: dict[str, TargetsSelected] = {}
    for _, decision in await _contracts(traffic, SONG_DECISIONS, settings):
        if isinstance(decision, AudienceQuery):
            queries.setdefault(decision.query_id, decision)
        else:
            selected.setdefault(decision.query_id, decision)
    answers: dict[str, dict[int, AudienceAnswer]] = defaultdict(dict)
    for offset, answer in await _contracts(traffic, AUDIENCE_ANSWERS, settings):
        named = selected.get(answer.query_id)
        if named and named.answers.get(answer.listener_partition) == offset:
            answers[answer.query_id][answer.listener_partition] = answer
    ranked: dict[str, dict[str, int]] = defaultdict(dict)
    for _, candidates in await _contracts(traffic, TARGET_CANDIDATES, settings):
        for listener_id, rank, arm in zip(candidates.listener_ids, candidates.ranks, candidates.arms, strict=True):
            if arm == Arm.TARGET:
                ranked[candidates.query_id][listener_id] = rank
    crowds = await _crowds_of({near.song_id for query in queries.values() for near in query.because}, traffic, settings)
    return [
        Asked(
            query=queries[query_id],
            answers=answers[query_id],
            chosen=sorted(ranks, key=ranks.__getitem__),
            mean=_mean_of(queries[query_id], crowds, settings),
        )
        for query_id, ranks in ranked.items()
    ]


def _mean_of(query: AudienceQuery, crowds: "_Crowds", settings: Settings) -> Floats:
    """(1, D): one crowd made of the same neighbours, weighed in the same way; the song itself if it has none."""
    near = [(near.song_id, near.similarity) for near in query.because]
    merged = merge_crowds(
        [(of, similarity) for song_id, similarity in near if (of := crowds.then(song_id, query.crowd_offsets))],
        crowds=1,
        max_share=settings.matching.max_share_per_neighbour,
        seed=seed_of(query.song_id, query.artifact),
        at_ms=query.decided_ms,
    )
    return merged.centroids if len(merged) else np.frombuffer(query.embedding, "<f4").reshape(1, -1)


class _Crowds:
    """Of some songs, the crowds that song-crowds still tells, oldest first."""

    def __init__(self) -> None:
        self._told: dict[str, list[tuple[int, int, SongCrowds]]] = defaultdict(list)

    def add(self, partition: int, offset: int, crowds: SongCrowds) -> None:
        self._told[crowds.song_id].append((partition, offset, crowds))

    def then(self, song_id: str, offsets: Sequence[int]) -> SongCrowds | None:
        """As they were known at these offsets; where compaction has taken that, what came next."""
        told = self._told.get(song_id, [])
        known = [crowds for partition, offset, crowds in told if offset < offsets[partition]]
        return known[-1] if known else told[0][2] if told else None


async def _crowds_of(song_ids: set[str], traffic: Traffic, settings: Settings) -> _Crowds:
    keys, found = {song_id.encode() for song_id in song_ids}, _Crowds()
    async for partition, record in _every(traffic, SONG_CROWDS):
        if record.key in keys and record.value is not None:
            value = decode(SONG_CROWDS, record.key, record.value, record.timestamp, settings.contracts)
            assert isinstance(value, SongCrowds)
            found.add(partition, record.offset, value)
    return found


async def _sent(traffic: Traffic, settings: Settings, world: World) -> dict[str, Sent]:
    pushed: dict[str, set[tuple[str, str]]] = {arm.value: set() for arm in (Arm.TARGET, Arm.EXPLORATION)}
    for _, target in await _contracts(traffic, PUSH_TARGETS, settings):
        pushed[target.arm].add((target.song_id, target.listener_id))
    return {arm: Sent(len(pairs), _worth(world, sorted(pairs))) for arm, pairs in pushed.items()}


def _worth(world: World, pairs: Sequence[tuple[str, str]]) -> float | None:
    if not pairs:
        return None
    rows = np.array([world.row_of(song_id) for song_id, _ in pairs])
    listeners = world.listeners(np.array([listener_number(listener_id) for _, listener_id in pairs]))
    return float(world.probabilities(rows, listeners).mean())


async def _every(traffic: Traffic, topic: Topic, partition: int | None = None) -> Any:
    """(partition, record), one by one."""
    async for number, records in traffic.logged(topic, partition):
        for record in records:
            yield number, record


async def _contracts(traffic: Traffic, topic: Topic, settings: Settings) -> list[tuple[int, Any]]:
    """(offset, contract) of a topic that has no tombstones."""
    return [
        (record.offset, decode(topic, record.key, record.value, record.timestamp, settings.contracts))
        async for _, record in _every(traffic, topic)
    ]


def _up_to(records: Sequence[Record], end: int, start: int = 0) -> Sequence[Record]:
    return records[bisect_left(records, start, key=_OFFSET) : bisect_left(records, end, key=_OFFSET)]


_OFFSET = attrgetter("offset")
