"""Drives the live rules over a log in the order of time: plays fold as columns, every release is decided by the stages.

What the stages of one worker would publish is handed on at once, so a decision knows all that came before it and
nothing that came after. The targets follow from the log, the settings and the artifact; the number of processes and
where a block of plays is cut change no byte.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby
from operator import attrgetter
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from streams.audience.sampled_plays import strengths
from streams.contracts.codec import Record, decode_batch
from streams.contracts.crowds import SongCrowds
from streams.contracts.dead_letters import DeadLetter
from streams.contracts.embeddings import SongEmbedded
from streams.contracts.messages import Batch, Message
from streams.contracts.partitions import partition_of
from streams.contracts.queries import AudienceQuery
from streams.contracts.releases import Release
from streams.contracts.topics import LISTENER_ERASURES, LISTENER_SETTINGS, SONG_CROWDS, SONG_RELEASES, Topic
from streams.recording.log import Logged
from streams.recording.noted import Noted, unnoticed
from streams.recording.played import Played
from streams.replay import rivals
from streams.replay.choices import Choice, Fixed, Heard, choice_of
from streams.replay.deciding import Deciding
from streams.replay.growing import longer
from streams.replay.lanes import Contestant, lanes_of
from streams.replay.listener_side import HeardHere
from streams.replay.log_names import NewNames
from streams.replay.parts import Share
from streams.replay.processes import crew_of
from streams.replay.stretches import Block
from streams.replay.timeline import Timeline, Told
from streams.replay.waiting_samples import Samples

MOST_WAITING = 1 << 22  # samples
MOST_KEPT = 1 << 27  # entries of rings in a part: 2 GB of a temporary file

Numbers: TypeAlias = NDArray[np.int64]
Said: TypeAlias = Callable[[str, Sequence[Message]], None]  # a policy, and its targets and suppressions for a release


class Court(Protocol):
    """Who is told what was chosen and what was played, in the order of time."""

    def fixed(self, release: Fixed) -> None: ...

    def plays(self, block: Heard) -> None: ...


def nobody(policy: str, messages: Sequence[Message]) -> None:
    pass


class MergedReplay:
    """Once over one log."""

    def __init__(
        self,
        contestants: Sequence[Contestant],
        timeline: Timeline,
        court: Court,
        *,
        said: Said = nobody,
        with_rivals: bool = True,
        workers: int = 1,
        noted: Noted = unnoticed,
    ) -> None:
        lanes = lanes_of(contestants)
        self.dead_letters: list[DeadLetter] = []  # releases, settings and erasures that could not be used
        self.releases = 0  # that were decided
        self._names = [contestant.name for contestant in contestants]
        self._settings = lanes[0][0].settings
        self._timeline, self._tables, self._court, self._said = timeline, timeline.tables, court, said
        self._with_rivals, self._noted = with_rivals, noted
        self._crew = crew_of([lane for lane, _ in lanes], workers)
        self._lanes = [
            Deciding(n, lane, encoder, partial(self._ask_crowds, n)) for n, (lane, encoder) in enumerate(lanes)
        ]
        self._told = [0, 0, 0]  # names that the parts have
        self._partition_of: Numbers = np.zeros(0, np.int64)  # by number of the listener
        self._played = 0
        self._effective: Numbers = np.zeros(0, np.int64)  # plays, by number of the song
        self._songs_of: dict[str, set[int]] = {}  # by artist

    def run(self) -> None:
        try:
            for item in self._timeline:
                if isinstance(item, Block):
                    self._fold(item)
                else:
                    self._listen(item)
        finally:
            self._crew.close()

    def _listen(self, told: list[Told]) -> None:
        handle = {SONG_RELEASES: self._release, LISTENER_SETTINGS: self._follow, LISTENER_ERASURES: self._erase}
        for topic, some in groupby(told, key=lambda one: one.topic):
            handle[topic](list(some))

    # Plays

    def _fold(self, block: Block) -> None:
        names, parts = self._new_names(), self._crew.parts
        plays, places = self._by_partition(block)
        of_lanes = [
            strengths(plays.listened_ms, plays.song_ms, plays.liked, one.lane.settings.listening) for one in self._lanes
        ]
        is_effective = of_lanes[0] > 0
        self._tell_songs()
        rows_of = self._rows_of_partitions(plays)
        shares = []
        for n in range(parts):
            own = {partition: rows for partition, rows in rows_of.items() if partition % parts == n}
            who = np.concatenate([np.zeros(0, np.int64), *(plays.listeners[rows] for rows in own.values())])
            heard = [[self._heard(*one, plays, places, of_lane) for one in own.items()] for of_lane in of_lanes]
            shares.append((Share(names, who, heard),))
        self._hand_on(self._crew.ask("fold", shares))
        self._played += len(plays)
        self._noted(self._played, self._timeline.play_records, int(plays.times_ms.max()) - self._timeline.span_ms[0])
        self._count(plays.songs[is_effective])
        self._court.plays(Heard(plays.listeners, plays.songs, plays.played_ms, is_effective, plays.answers_a_push))

    def _by_partition(self, block: Block) -> Block:
        """As they are, where they were recorded in the partitions of their listeners; others are put in order."""
        partitions = self._partition_of[block.plays.listeners]
        if (partitions[1:] >= partitions[:-1]).all() and (partitions == block.plays.partitions).all():
            return block
        order = np.lexsort((block.places, partitions))
        return Block(block.plays[order], block.places[order])

    def _rows_of_partitions(self, plays: Played) -> dict[int, slice]:
        """Of each partition that has any."""
        counts = np.bincount(self._partition_of[plays.listeners], minlength=self._settings.topics.listener_partitions)
        ends = np.cumsum(counts).tolist()
        return {
            partition: slice(end - count, end)
            for partition, (end, count) in enumerate(zip(ends, counts.tolist(), strict=True))
            if count
        }

    def _heard(self, partition: int, rows: slice, plays: Played, places: Numbers, of_lane: Numbers) -> HeardHere:
        return HeardHere(
            partition=partition,
            places=self._played + places[rows],
            listeners=plays.listeners[rows],
            songs=plays.songs[rows],
            played_ms=plays.played_ms[rows],
            strengths=of_lane[rows],
            markets=plays.markets[rows],
            next_offset=int(plays.offsets[rows].max()) + 1,
        )

    def _new_names(self) -> NewNames:
        every = [table.all for table in (self._tables.listeners, self._tables.songs, self._tables.markets)]
        new = [names[told:] for names, told in zip(every, self._told, strict=True)]
        self._told = [len(names) for names in every]
        if new[0]:
            count = self._settings.topics.listener_partitions
            own = np.array([partition_of(name.encode(), count) for name in new[0]], np.int64)
            self._partition_of = np.concatenate([self._partition_of, own])
        return NewNames(*new)

    def _hand_on(self, found: list[list[Samples]]) -> None:
        """Samples go to the part that has their songs; some are folded at once."""
        for lane, of_lane in zip(self._lanes, zip(*found, strict=True), strict=True):
            samples = Samples.joined(list(of_lane))
            owners = _rows_by_part(samples.songs, self._crew.parts)
            due = self._crew.ask("told", [(lane.number, samples.at(rows)) for rows in owners])
            self._fold_crowds(lane, Samples.joined(due))
            if (
                sum(self._ask_all("waiting", lane.number)) >= MOST_WAITING
                or max(self._ask_all("kept", lane.number)) >= MOST_KEPT
            ):
                self._fold_all(lane)
                self._ask_all("keep_none", lane.number)
            for turned in self._ask_all("turned", lane.number):
                lane.crowds.turn(turned)

    def _fold_crowds(self, lane: Deciding, samples: Samples) -> None:
        """With the embeddings that the parts of their listeners tell, in the parts of their songs."""
        parts = self._crew.parts
        if len(samples.places) == 0:
            return
        owners = _rows_by_part(samples.rings, parts)
        told = self._crew.ask("embeddings", [(lane.number, samples.rings[rows]) for rows in owners])
        embeddings = np.zeros((len(samples.places), lane.lane.dimension), np.float32)
        for rows, some in zip(owners, told, strict=True):
            embeddings[rows] = some
        owners = _rows_by_part(samples.songs, parts)
        self._crew.ask("refresh", [(lane.number, samples.at(rows), embeddings[rows]) for rows in owners])

    def _fold_all(self, lane: Deciding) -> None:
        """Nothing waits any more."""
        while len((found := Samples.joined(self._ask_all("next_taken", lane.number))).places):
            self._fold_crowds(lane, found)

    def _count(self, songs: Numbers) -> None:
        self._effective = longer(self._effective, len(self._tables.songs))
        np.add.at(self._effective, songs, 1)

    # Songs

    def _release(self, records: list[Told]) -> None:
        for some in _of_distinct_songs(records):
            batch = self._batch(some)
            said: list[dict[str, list[Message]]] = []
            for lane in self._lanes:
                outputs = lane.embedded(batch)
                if lane is self._lanes[0]:
                    self._refuse([one for one in outputs if isinstance(one, DeadLetter)], some)
                by_song: dict[str, list[Message]] = {}
                for one in outputs:
                    if isinstance(one, Message):
                        by_song.setdefault(one.key, []).append(one)
                said.append(by_song)
            for key in batch.keys:
                song_id = (key or b"").decode()
                self._decide(song_id, [of_lane.get(song_id, []) for of_lane in said])

    def _decide(self, song_id: str, said: list[list[Message]]) -> None:
        """What each lane makes of one song: it is embedded or withdrawn, and maybe asked about."""
        questions: dict[str, tuple[Deciding, AudienceQuery]] = {}
        facts: SongEmbedded | None = None
        for lane, messages in zip(self._lanes, said, strict=True):
            for message in messages:
                if message.topic is SONG_CROWDS:
                    self._untell(lane, song_id)
                    continue
                assert message.value is None or isinstance(message.value, SongEmbedded)
                lane.apply(song_id, message.value)
                facts = facts or message.value
                for name, policy in lane.policies.items():
                    if (query := policy.question(message)) is not None:
                        questions[name] = lane, query
        if facts is not None:
            for artist in facts.artist_ids:
                self._songs_of.setdefault(artist, set()).add(self._tables.songs.number(song_id))
            if questions:
                self._fix(facts, questions)

    def _fix(self, facts: SongEmbedded, questions: Mapping[str, tuple[Deciding, AudienceQuery]]) -> None:
        self._tell_songs()
        chosen = {name: self._choice(name, *questions[name]) for name in self._names if name in questions}
        nobody_chosen = choice_of([], self._tables.listeners)
        lead = next(questions[name] for name in self._names if name in questions)
        budget = max(query.budget for _, query in questions.values())
        self.releases += 1
        self._court.fixed(
            Fixed(
                song=self._tables.songs.number(facts.song_id),
                song_id=facts.song_id,
                at_ms=facts.published_ms,
                budget=lead[1].budget,
                artist_ids=facts.artist_ids,
                artist_plays=self._plays_of(facts.artist_ids),
                policies={name: chosen.get(name, nobody_chosen) for name in self._names},
                rivals=self._rival_choices(lead[1], budget),
                logged=self._logged(facts),
                title=facts.title,
            )
        )

    def _choice(self, name: str, lane: Deciding, query: AudienceQuery) -> Choice:
        answers = [one for of_part in self._ask_all("answers", lane.number, name, query) for one in of_part]
        answers.sort(key=lambda answer: answer.listener_partition)
        candidates = lane.policies[name].candidates(answers)
        messages = [one for of_part in self._ask_all("admit", lane.number, name, candidates) for one in of_part]
        messages.sort(key=_PARTITION)
        self._said(name, messages)
        return choice_of(
            [one.value for one in messages],
            self._tables.listeners,
            budget=query.budget,
            eligible=sum(answer.eligible for answer in answers),
            scored=sum(answer.scored for answer in answers),
            because=query.because,
        )

    def _rival_choices(self, query: AudienceQuery, most: int) -> dict[str, Choice]:
        if not self._with_rivals:
            return {}
        found: dict[int, tuple[int, dict[str, rivals.Shortlist]]] = {}
        for of_part in self._ask_all("shortlists", query, most):
            found |= of_part
        eligible = sum(of_partition for of_partition, _ in found.values())
        each = [shortlists for _, (_, shortlists) in sorted(found.items())]
        return {
            name: Choice.by_score(*rivals.merged([one[name] for one in each], most), eligible=eligible)
            for name in rivals.NAMES
        }

    def _logged(self, facts: SongEmbedded) -> Choice | None:
        """What was decided when the log was recorded."""
        admissions = [
            one for one in self._timeline.logged.get(facts.song_id, ()) if one.decided_ms == facts.published_ms
        ]
        return choice_of(admissions, self._tables.listeners) if admissions else None

    def _plays_of(self, artist_ids: Iterable[str]) -> int:
        """Effective ones so far, each song once."""
        songs = sorted({song for artist in artist_ids for song in self._songs_of.get(artist, ())})
        return int(self._effective[[song for song in songs if song < len(self._effective)]].sum())

    def _untell(self, lane: Deciding, song_id: str) -> None:
        self._fold_crowds(lane, Samples.joined(self._ask_all("taken", lane.number, [song_id])))
        self._ask_all("untell", lane.number, song_id)
        lane.crowds.take_back(song_id)

    def _tell_songs(self) -> None:
        for lane in self._lanes:
            if lane.alters:  # what waits was played when the songs were as they are known
                self._fold_all(lane)
            if lane.new:
                self._ask_all("apply", lane.number, lane.new)
                lane.new, lane.alters = [], False

    def _ask_crowds(self, lane: int, songs: list[str]) -> list[SongCrowds | None]:
        """Of the part that has the song; of a song that nobody has played nobody has crowds."""
        parts, table = self._crew.parts, self._tables.songs
        owners = [table.number(song) % parts for song in songs]
        asked = [(lane, [song for song, owner in zip(songs, owners, strict=True) if owner == n]) for n in range(parts)]
        self._fold_crowds(self._lanes[lane], Samples.joined(self._crew.ask("taken", asked)))
        found = [iter(of_part) for of_part in self._crew.ask("crowds", asked)]
        return [next(found[owner]) for owner in owners]

    # Listeners

    def _follow(self, records: list[Told]) -> None:
        for refused in self._crew.ask("follow", self._shared(LISTENER_SETTINGS, records)):
            self.dead_letters += refused

    def _erase(self, records: list[Told]) -> None:
        forgotten = self._crew.ask("erase", self._shared(LISTENER_ERASURES, records))
        for lane in self._lanes:
            self._fold_all(lane)
        self._ask_all("forget", np.concatenate(forgotten))

    def _shared(self, topic: Topic, records: list[Told]) -> list[tuple[list[Batch[Any]]]]:
        """A batch for each partition, with the part that has it."""
        topics, parts = self._settings.topics, self._crew.parts
        by_partition: dict[int, list[Record]] = {}
        for told in records:
            partition = partition_of(told.record.key or b"", topics.listener_partitions)
            by_partition.setdefault(partition, []).append(told.record)
        batches: list[list[Batch[Any]]] = [[] for _ in range(parts)]
        for partition, some in sorted(by_partition.items()):
            batch, refused = decode_batch(topic, partition, some, self._settings.contracts)
            batches[partition % parts].append(batch)
            self.dead_letters += refused
        return [(of_part,) for of_part in batches]

    def _batch(self, records: list[Told]) -> Batch[Release]:
        """Releases of whatever partition, numbered by their place."""
        numbered = [
            Logged(place, told.record.timestamp, told.record.key, told.record.value)
            for place, told in enumerate(records)
        ]
        batch, refused = decode_batch(SONG_RELEASES, 0, numbered, self._settings.contracts)
        self._refuse(refused, records)
        return batch

    def _refuse(self, letters: Iterable[DeadLetter], records: list[Told]) -> None:
        """Named by where the record really stood."""
        for letter in letters:
            told = records[letter.offset]
            self.dead_letters.append(replace(letter, partition=told.partition, offset=told.record.offset))

    def _ask_all(self, what: str, *arguments: Any) -> list[Any]:
        return self._crew.ask(what, [arguments] * self._crew.parts)


def _of_distinct_songs(records: Sequence[Told]) -> Iterator[list[Told]]:
    """In order; embedded together, what is said of each can be told apart."""
    some: list[Told] = []
    names: set[bytes | None] = set()
    for told in records:
        if told.record.key in names:
            yield some
            some, names = [], set()
        some.append(told)
        names.add(told.record.key)
    yield some


def _rows_by_part(numbers: Numbers, parts: int) -> list[Numbers]:
    """Where what each part has stands: number n is of part n modulo their count."""
    return [np.flatnonzero(numbers % parts == n) for n in range(parts)]


_PARTITION = attrgetter("partition")
