"""A log in the order of time: plays as columns, and between them, record by record, all else that neighbours said.

Records are in the order of time, then topic (releases, plays, settings, erasures), partition and offset. So a release
is decided before the plays of its own millisecond, and nothing that comes later is known to it. The plays of a block
stand partition by partition, as they were recorded, and each is told its place in that order.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from streams.contracts.codec import Record, decode_batch
from streams.contracts.dead_letters import DeadLetter
from streams.contracts.targets import Suppression, Target
from streams.contracts.topics import (
    LISTENER_ERASURES,
    LISTENER_SETTINGS,
    PLAYS,
    PUSH_SUPPRESSIONS,
    PUSH_TARGETS,
    SONG_RELEASES,
    TOPICS,
    Topic,
)
from streams.recording.files import Damage, read_log
from streams.recording.log import Log
from streams.recording.parquet_log import Group, PlaysReader, files_below, groups_of
from streams.recording.played import Played, Tables
from streams.replay.stretches import Block, Stretch
from streams.settings import ContractSettings

PLAYS_PER_BLOCK = 65_536  # at most so many are folded at once
DECODED_AT_ONCE = 65_536
MERGED = (SONG_RELEASES, LISTENER_SETTINGS, LISTENER_ERASURES)
RANK = {name: rank for rank, name in enumerate(TOPICS)}


class Told(NamedTuple):
    """A record of releases, settings or erasures."""

    topic: Topic
    partition: int
    record: Record


Item: TypeAlias = Block | list[Told]
Logged: TypeAlias = Mapping[str, Sequence[Target | Suppression]]


@dataclass(frozen=True)
class Timeline:
    """May be gone through once. `tables` grow as it is read."""

    tables: Tables
    plays: Iterable[Played]  # one after the other in time; within, by partition, time and offset
    told: Sequence[Told]  # in order
    span_ms: tuple[int, int]  # of the first and the last record
    play_records: int
    logged: Logged = field(default_factory=dict)  # by song: what was decided when the log was recorded
    dead_letters: Sequence[DeadLetter] = ()

    def __iter__(self) -> Iterator[Item]:
        waiting = list(self.told)
        done = 0
        for stretch in map(Stretch, self.plays):
            start = 0
            while done < len(waiting) and (cut := _cut(waiting[done], stretch)) < len(stretch):
                yield from _blocks(stretch, start, cut)
                start, first = cut, done
                while done < len(waiting) and _cut(waiting[done], stretch) == cut:
                    done += 1
                yield waiting[first:done]
            yield from _blocks(stretch, start, len(stretch))
        if done < len(waiting):
            yield waiting[done:]

    @classmethod
    def of(cls, log: Log, contracts: ContractSettings) -> "Timeline":
        """Of a log in memory; what cannot be read is left out, as the door leaves it out."""
        tables, dead_letters = Tables(), list[DeadLetter]()
        every: list[Played] = []
        for partition in log.partitions(PLAYS):
            records, parts = log.records(PLAYS, partition), list[Played]()
            for start in range(0, len(records), DECODED_AT_ONCE):
                columns, refused = decoded(records[start : start + DECODED_AT_ONCE], partition, tables, contracts)
                parts.append(columns)
                dead_letters += refused
            every.append(Played.joined(parts).in_order())
        plays = Played.joined(every)
        times = [int(plays.times_ms.min()), int(plays.times_ms.max())] if len(plays) else []
        return cls._with(log, tables, [plays], times, len(plays), dead_letters)

    @classmethod
    def read(cls, folder: Path, contracts: ContractSettings) -> "tuple[Timeline, Damage]":
        """Of a folder; plays in parquet are read as they are needed, all else is in memory."""
        groups = [group for file in files_below(folder) if file.topic is PLAYS for group in groups_of(file)]
        log, damage = read_log(folder, contracts, but_not=(PLAYS,) if groups else ())
        if not groups:
            return cls.of(log, contracts), damage
        tables, dead_letters = Tables(), list[DeadLetter]()
        times = [min(group.first_ms for group in groups), max(group.last_ms for group in groups)]
        rows = sum(group.rows for group in groups)
        plays = _merged(groups, tables, contracts, dead_letters)
        return cls._with(log, tables, plays, times, rows, dead_letters), damage

    @classmethod
    def _with(
        cls,
        log: Log,
        tables: Tables,
        plays: Iterable[Played],
        times: list[int],
        rows: int,
        dead_letters: Sequence[DeadLetter],
    ) -> "Timeline":
        told = in_order(
            Told(topic, partition, record)
            for topic in MERGED
            for partition in log.partitions(topic)
            for record in log.records(topic, partition)
        )
        times = times + [one.record.timestamp for one in (*told[:1], *told[-1:])]
        span_ms = (min(times, default=0), max(times, default=0))
        return cls(tables, plays, told, span_ms, rows, logged(log), dead_letters)


def _merged(
    groups: Iterable[Group], tables: Tables, contracts: ContractSettings, dead_letters: list[DeadLetter]
) -> Iterator[Played]:
    """Holds the groups that overlap in time, and no more than twice as many plays: a play may go on when no group to
    come has an earlier one, and does so when half of all that wait may."""
    by_time = sorted(groups, key=lambda group: (group.first_ms, group.file.path, group.number))
    reader = PlaysReader(tables, contracts)
    waiting: dict[int, Played] = defaultdict(Played.none)
    for n, group in enumerate(by_time):
        plays, refused = reader.plays_of(group)
        dead_letters += refused
        partition = group.file.partition
        waiting[partition] = Played.joined([waiting[partition], plays]).in_order()
        if n + 1 == len(by_time):
            yield Played.joined([some for _, some in sorted(waiting.items())])
            return
        due = {here: int(np.searchsorted(some.times_ms, by_time[n + 1].first_ms)) for here, some in waiting.items()}
        if 2 * sum(due.values()) >= sum(map(len, waiting.values())) > 0:
            yield Played.joined([waiting[here][:end] for here, end in sorted(due.items())])
            for here, end in due.items():
                waiting[here] = waiting[here][end:]


def in_order(told: Iterable[Told]) -> list[Told]:
    return sorted(told, key=lambda one: (one.record.timestamp, RANK[one.topic.name], one.partition, one.record.offset))


def logged(log: Log) -> Logged:
    """Targets and suppressions of every song, the first copy of each, listeners in the order of the log."""
    found: dict[str, dict[str, Target | Suppression]] = {}
    for topic in (PUSH_TARGETS, PUSH_SUPPRESSIONS):
        for partition in log.partitions(topic):
            for _, one in log.contracts(topic, partition):
                found.setdefault(one.song_id, {}).setdefault(one.listener_id, one)
    return {song_id: list(of_song.values()) for song_id, of_song in found.items()}


def decoded(
    records: Sequence[Record], partition: int, tables: Tables, contracts: ContractSettings
) -> tuple[Played, list[DeadLetter]]:
    batch, refused = decode_batch(PLAYS, partition, records, contracts)
    plays = [play for play in batch.values if play is not None]  # the door lets no other one in
    rows = len(plays)

    def times(name: str) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        return np.fromiter(map(attrgetter(name), plays), np.int64, rows)

    columns = Played(
        listeners=tables.listeners.numbers(play.listener_id for play in plays),
        songs=tables.songs.numbers(play.song_id for play in plays),
        played_ms=times("played_ms"),
        listened_ms=times("listened_ms"),
        song_ms=times("song_ms"),
        liked=np.array([play.liked for play in plays], np.bool_),
        markets=tables.markets.numbers_or_none(play.market for play in plays),
        answers_a_push=np.array([play.target_id is not None for play in plays], np.bool_),
        times_ms=np.array(batch.times_ms, np.int64),
        partitions=np.full(rows, partition, np.int64),
        offsets=np.array(batch.offsets, np.int64),
    )
    return columns, refused


def _cut(told: Told, plays: Stretch) -> int:
    """Before which of the plays it comes; after all of them: maybe after others too."""
    side: Literal["left", "right"] = "left" if RANK[told.topic.name] < RANK[PLAYS.name] else "right"
    return plays.before(told.record.timestamp, side)


def _blocks(plays: Stretch, start: int, end: int) -> Iterator[Block]:
    for first in range(start, end, PLAYS_PER_BLOCK):
        yield plays.block(first, min(first + PLAYS_PER_BLOCK, end))
