"""What each recorded decision knew: the moment at which it was taken, told by offsets.

Topics have no common order. A moment is a record that was handled, and how far all else had been read by then:

    recorded in                   handled                         known by then
    song-decisions, a query       the song in song-embeddings     song_offsets, crowd_offsets
    song-decisions, a selection   the last answer that it names   no answers but those that it names
    audience-answers              the query in audience-queries   plays, settings, erasures; song_offsets
    push-targets, -suppressions   the record of candidates        plays, settings, erasures
"""

from collections import defaultdict, deque
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from streams.contracts.ids import target_id_of
from streams.contracts.queries import AudienceAnswer, TargetsSelected
from streams.contracts.targets import Suppression, Target
from streams.contracts.topics import (
    AUDIENCE_ANSWERS,
    AUDIENCE_QUERIES,
    LISTENER_ERASURES,
    LISTENER_SETTINGS,
    PLAYS,
    PUSH_SUPPRESSIONS,
    PUSH_TARGETS,
    SONG_CROWDS,
    SONG_DECISIONS,
    SONG_EMBEDDINGS,
    TARGET_CANDIDATES,
    Topic,
)
from streams.recording.log import Log

Admission: TypeAlias = Target | Suppression


@dataclass(frozen=True)
class Moment:
    topic: Topic
    offset: int  # of the record that is handled
    known: Mapping[Topic, int] = field(default_factory=dict)  # next offsets of the shard's own partition
    views: Mapping[Topic, tuple[int, ...]] = field(default_factory=dict)  # and of every partition of the views
    decided: Sequence[tuple[Topic, Any]] = ()
    chosen: Sequence[int] = ()  # offsets of the answers that a selection names


def song_moments(log: Log, partition: int) -> Iterator[Moment]:
    """In the order in which the shard decided."""
    songs = {
        (embedded.song_id, embedded.published_ms): record.offset
        for record, embedded in reversed(list(log.contracts(SONG_EMBEDDINGS, partition)))
        if embedded is not None
    }
    seen: set[Hashable] = set()
    for record, decision in log.contracts(SONG_DECISIONS, partition):
        if (copy := (record.value, record.timestamp)) in seen:
            continue
        seen.add(copy)
        decided = [(SONG_DECISIONS, decision)]
        if isinstance(decision, TargetsSelected):
            chosen = sorted(decision.answers.values())
            yield Moment(AUDIENCE_ANSWERS, chosen[-1], decided=decided, chosen=chosen)
        elif (offset := songs.get((decision.song_id, decision.decided_ms))) is not None:  # compaction may have it
            views = {SONG_EMBEDDINGS: decision.song_offsets, SONG_CROWDS: decision.crowd_offsets}
            yield Moment(SONG_EMBEDDINGS, offset, views=views, decided=decided)


def listener_moments(log: Log, partition: int) -> Iterator[Moment]:
    """Answers in the order of the queries, admissions in that of the candidates; among them who knew less is first.

    Neither changes what the other says, so where they cannot be told apart any order will do.
    """
    answers, admissions = deque(_answers(log, partition)), deque(_admissions(log, partition))
    while answers and admissions:
        knew_less = all(answers[0].known[topic] >= offset for topic, offset in admissions[0].known.items())
        yield (admissions if knew_less else answers).popleft()
    yield from answers
    yield from admissions


def known_to(decision: AudienceAnswer | Admission) -> dict[Topic, int]:
    return {
        PLAYS: decision.plays_offset,
        LISTENER_SETTINGS: decision.settings_offset,
        LISTENER_ERASURES: decision.erasures_offset,
    }


def admission_of(decision: Admission) -> tuple[str, int, str]:
    """The same listener may be asked about in other queries, or about a song that was released again."""
    return decision.query_id, decision.decided_ms, decision.target_id


def _answers(log: Log, partition: int) -> Iterator[Moment]:
    """The first answer to each query: it is the one that is selected from."""
    answers: dict[tuple[str, int], AudienceAnswer] = {}
    for song_partition in log.partitions(AUDIENCE_ANSWERS):
        for record, answer in log.contracts(AUDIENCE_ANSWERS, song_partition):
            if answer.listener_partition == partition:
                answers.setdefault((answer.query_id, record.timestamp), answer)
    for record, query in log.contracts(AUDIENCE_QUERIES, partition):
        if found := answers.pop((query.query_id, query.decided_ms), None):
            yield Moment(AUDIENCE_QUERIES, record.offset, known_to(found), {SONG_EMBEDDINGS: found.song_offsets})


def _admissions(log: Log, partition: int) -> Iterator[Moment]:
    """Of one record of candidates there are several, if a crash came between and the rest was admitted later."""
    admitted: dict[tuple[str, int, str], tuple[Topic, Admission]] = {}
    for topic in (PUSH_TARGETS, PUSH_SUPPRESSIONS):
        for _, one in log.contracts(topic, partition):
            admitted.setdefault(admission_of(one), (topic, one))
    for record, candidates in log.contracts(TARGET_CANDIDATES, partition):
        moments: dict[tuple[int, ...], list[tuple[Topic, Admission]]] = defaultdict(list)
        for listener_id in candidates.listener_ids:
            target_id = target_id_of(candidates.song_id, listener_id)
            if found := admitted.pop((candidates.query_id, candidates.decided_ms, target_id), None):
                moments[tuple(known_to(found[1]).values())].append(found)
        for decided in moments.values():
            yield Moment(TARGET_CANDIDATES, record.offset, known_to(decided[0][1]), decided=decided)
