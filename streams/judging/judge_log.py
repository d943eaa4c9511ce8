"""Judges a log with decisions: what was chosen for each release, as the replay says it again, beside its rivals."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from streams.audience.listener import half_life_ms
from streams.audience.sampled_plays import strengths
from streams.contracts.codec import decode
from streams.contracts.queries import AudienceQuery, TargetsSelected
from streams.contracts.targets import Suppression, Target
from streams.contracts.topics import AUDIENCE_ANSWERS, PLAYS, PUSH_SUPPRESSIONS, PUSH_TARGETS, SONG_DECISIONS
from streams.judging.artists import ArtistPlays
from streams.judging.prequential import Judge
from streams.recording.log import Log
from streams.recording.played import NameTable, Played
from streams.replay.bystanders import Bystanders, Counts, Numbers
from streams.replay.choices import Choice, Fixed, Heard, choice_of
from streams.replay.driver import Replayed, replay
from streams.replay.timeline import Timeline
from streams.settings import ListeningSettings, Settings
from streams.state.store import Store
from streams.wiring import Wiring

REPLAYED = "replayed"  # the policy of the log itself

Admissions = Mapping[tuple[str, int], Sequence[Target | Suppression]]  # by query and time of the decision


class Decided(NamedTuple):
    """A release with a choice; of those who answered, how many could be reached and were looked at."""

    query: AudienceQuery
    partitions: tuple[int, ...]
    eligible: int
    scored: int


def judged(log: Log, wiring: Callable[[], Wiring], settings: Settings, judge: Judge) -> tuple[Replayed, Timeline]:
    """The judge is told everything and may be asked for its verdict."""
    timeline = Timeline.of(log, settings.contracts)
    tables, plays = timeline.tables, Played.joined([Played.none(), *timeline.plays])
    heard = _heard(plays, settings.listening)
    bystanders = Bystanders(tables.listeners, _counts(plays, tables.listeners), half_life_ms(settings.listening))
    replayed = replay(log, wiring, bystanders)
    said_again, logged = _said_again(replayed, settings), _logged(log)
    artists = ArtistPlays(log, tables.songs, heard)
    for decided in sorted(_decided(log), key=lambda one: (one.query.decided_ms, one.query.query_id)):
        query, facts = decided.query, bystanders.facts(decided.query)
        artist_ids = facts.artist_ids if facts is not None else ()
        judge.fixed(
            Fixed(
                song=tables.songs.number(query.song_id),
                song_id=query.song_id,
                at_ms=query.decided_ms,
                budget=query.budget,
                artist_ids=artist_ids,
                artist_plays=artists.before(artist_ids, query.decided_ms),
                policies={REPLAYED: _choice(decided, said_again, tables.listeners)},
                rivals=bystanders.chosen(query, decided.partitions),
                logged=_choice(decided, logged, tables.listeners),
                title=facts.title if facts is not None else "",
            )
        )
    judge.plays(heard)
    return replayed, timeline


def _choice(decided: Decided, admissions: Admissions, listeners: NameTable) -> Choice:
    query = decided.query
    return choice_of(
        admissions.get((query.query_id, query.decided_ms), ()),
        listeners,
        eligible=decided.eligible,
        scored=decided.scored,
        because=query.because,
        budget=query.budget,
    )


def _heard(plays: Played, listening: ListeningSettings) -> Heard:
    is_effective = strengths(plays.listened_ms, plays.song_ms, plays.liked, listening) > 0
    return Heard(plays.listeners, plays.songs, plays.played_ms, is_effective, plays.answers_a_push)


def _decided(log: Log) -> Iterator[Decided]:
    """A question that nobody answered has no choice."""
    for partition in log.partitions(SONG_DECISIONS):
        answers = {record.offset: answer for record, answer in log.contracts(AUDIENCE_ANSWERS, partition)}
        queries: dict[tuple[str, int], AudienceQuery] = {}
        selected: dict[tuple[str, int], TargetsSelected] = {}
        for record, decision in log.contracts(SONG_DECISIONS, partition):
            kind: dict[tuple[str, int], Any] = queries if isinstance(decision, AudienceQuery) else selected
            kind.setdefault((decision.query_id, record.timestamp), decision)
        for key, choice in selected.items():
            if (query := queries.get(key)) is not None:
                merged = [answers[offset] for offset in choice.answers.values() if offset in answers]
                eligible, scored = sum(one.eligible for one in merged), sum(one.scored for one in merged)
                yield Decided(query, tuple(choice.answers), eligible, scored)


def _said_again(replayed: Replayed, settings: Settings) -> Admissions:
    found: dict[tuple[str, int], list[Target | Suppression]] = {}
    for topic in (PUSH_TARGETS, PUSH_SUPPRESSIONS):
        for said in (one for _, records in sorted(replayed.said[topic.name].items()) for one in records):
            value: Any = decode(topic, said.key, said.value, said.time_ms, settings.contracts)
            found.setdefault((value.query_id, value.decided_ms), []).append(value)
    return found


def _logged(log: Log) -> Admissions:
    """The first copy of each."""
    found: dict[tuple[str, int], dict[str, Target | Suppression]] = {}
    for topic in (PUSH_TARGETS, PUSH_SUPPRESSIONS):
        for partition in log.partitions(topic):
            for _, value in log.contracts(topic, partition):
                found.setdefault((value.query_id, value.decided_ms), {}).setdefault(value.target_id, value)
    return {key: list(admissions.values()) for key, admissions in found.items()}


def _counts(plays: Played, listeners: NameTable) -> Counts:
    """Each play is counted once, as long as a partition reads on."""
    columns: dict[int, tuple[Numbers, Numbers]] = {}
    for partition in np.unique(plays.partitions).tolist():
        rows = np.flatnonzero(plays.partitions == partition)
        rows = rows[np.argsort(plays.offsets[rows], kind="stable")]
        columns[partition] = plays.offsets[rows].astype(np.int64), plays.listeners[rows].astype(np.int64)
    counted: dict[int, tuple[int, Numbers]] = {}

    def so_far(partition: int, store: Store) -> Numbers:
        read, counts = counted.get(partition, (0, np.zeros(len(listeners), np.int64)))
        if partition not in columns:
            return counts
        offsets, who = columns[partition]
        end = int(np.searchsorted(offsets, store.offsets().get(PLAYS.name, 0)))
        if end < read:
            read, counts = 0, np.zeros(len(listeners), np.int64)
        counts = counts + np.bincount(who[read:end], minlength=len(listeners))
        counted[partition] = end, counts
        return counts

    return so_far
