"""The answers of all listener partitions become one choice: who is told of a release.

In the song shard. match_songs leaves the open query under OPEN_QUERY; a withdrawal removes it, and with it the choice.
An answer waits under ANSWER until the query is decided:

    u64 offset in audience-answers, little endian | AudienceAnswer as msgpack
"""

from dataclasses import dataclass, field
from itertools import zip_longest

import msgspec
import numpy as np
from numpy.typing import NDArray

from streams.contracts.dead_letters import DeadLetter
from streams.contracts.messages import Batch, Message
from streams.contracts.queries import AudienceAnswer, AudienceQuery, TargetCandidates, TargetsSelected
from streams.contracts.topics import AUDIENCE_ANSWERS, SONG_DECISIONS, TARGET_CANDIDATES
from streams.settings import SelectionSettings
from streams.state.layout import ANSWER, OPEN_QUERY, named, of_partition
from streams.state.store import Store
from streams.targeting.selection import Chosen, chosen

NAMED = 10  # of the warm songs that led to a target, the nearest first; song-decisions have all of them

_answer = msgspec.msgpack.Decoder(AudienceAnswer)
_query = msgspec.msgpack.Decoder(AudienceQuery)


@dataclass(slots=True)
class _Waiting:
    """A query with at least one answer and no decision."""

    song_id: str
    listener_partitions: int
    offsets: dict[int, int] = field(default_factory=dict)  # listener partition -> of its answer
    since_ms: int | None = None  # when a deadline was first asked for


@dataclass
class SelectTargets:
    """Decides a query when every partition has answered, or at the deadline with the answers that are there.

    The first answer of a partition counts. The decision names its answers and is the first message: what is published
    again follows it, not what has arrived since.
    """

    store: Store
    settings: SelectionSettings

    def __post_init__(self) -> None:
        self._waiting: dict[str, _Waiting] = {}
        self._adopted: dict[str, TargetsSelected] = {}
        for _, raw in self.store.items(ANSWER):
            self._count(_answer.decode(raw[8:]), int.from_bytes(raw[:8], "little"))

    def adopt(self, decision: msgspec.Struct) -> None:
        if isinstance(decision, TargetsSelected) and not self._is_carried_out(decision):
            self._adopted[decision.query_id] = decision

    def handle(self, batch: Batch[AudienceAnswer]) -> list[Message | DeadLetter]:
        messages: list[Message | DeadLetter] = []
        for offset, answer in zip(batch.offsets, batch.values, strict=True):
            if answer is not None:
                self._keep(answer, offset)
                messages += self._decided(answer.query_id)
        return messages

    def expire(self, now_ms: int) -> list[Message]:
        """What the deadline decides. A query without any answer goes on waiting: a worker that is down answers late.

        The deadline runs from the first call that finds an answer, so it starts anew where the shard is taken over.
        """
        messages: list[Message] = []
        for query_id, waiting in list(self._waiting.items()):
            if waiting.since_ms is None:
                waiting.since_ms = now_ms
            is_late = now_ms - waiting.since_ms >= self.settings.answer_within_s * 1_000
            messages += self._decided(query_id, is_late=is_late)
            if query_id not in self._adopted and not self._is_open(query_id):
                self._forget(query_id)
        return messages

    def _keep(self, answer: AudienceAnswer, offset: int) -> None:
        query_id, partition = answer.query_id, answer.listener_partition
        if adopted := self._adopted.get(query_id):
            counts = adopted.answers.get(partition) == offset
        else:
            waiting = self._waiting.get(query_id)
            counts = self._is_open(query_id) and (waiting is None or partition not in waiting.offsets)
        if counts:
            raw = offset.to_bytes(8, "little") + msgspec.msgpack.encode(answer)
            self.store.put(of_partition(ANSWER, partition, query_id), raw)
            self._count(answer, offset)

    def _count(self, answer: AudienceAnswer, offset: int) -> None:
        waiting = self._waiting.setdefault(answer.query_id, _Waiting(answer.song_id, answer.listener_partitions))
        waiting.offsets[answer.listener_partition] = offset

    def _decided(self, query_id: str, *, is_late: bool = False) -> list[Message]:
        """The decision and what follows from it, once it can be taken; nothing before."""
        waiting = self._waiting.get(query_id)
        raw = self.store.get(named(OPEN_QUERY, query_id))
        if waiting is None or raw is None:  # where a decision is adopted, match_songs is about to open its query again
            return []
        if adopted := self._adopted.get(query_id):
            decision = adopted
            if not adopted.answers.items() <= waiting.offsets.items():
                return []
        else:
            coverage = len(waiting.offsets) / waiting.listener_partitions
            if coverage < 1 and not is_late:
                return []
            decision = TargetsSelected(query_id, waiting.song_id, dict(sorted(waiting.offsets.items())), coverage)
        query = _query.decode(raw)
        answers = {partition: self._answer(query_id, partition) for partition in decision.answers}
        self._forget(query_id)
        self.store.delete(named(OPEN_QUERY, query_id))
        return [
            Message(SONG_DECISIONS, query.song_id, decision, query.decided_ms),
            *self._candidates(query, decision, answers),
        ]

    def _candidates(
        self, query: AudienceQuery, decision: TargetsSelected, answers: dict[int, AudienceAnswer]
    ) -> list[Message]:
        """The best of every partition first, so that no partition waits for another's tail."""
        who = chosen(query.query_id, query.budget, self.settings.exploration_share, answers)
        size = self.settings.candidates_per_message
        slices = [
            [
                Message(
                    TARGET_CANDIDATES,
                    query.song_id,
                    _slice(query, decision, who, rows[start : start + size]),
                    query.decided_ms,
                    partition,
                )
                for start in range(0, len(rows), size)
            ]
            for partition, rows in who.of_partitions().items()
        ]
        return [message for nth in zip_longest(*slices) for message in nth if message is not None]

    def _is_carried_out(self, decision: TargetsSelected) -> bool:
        """One of its answers was read, and waits no longer. The query may be open again: a song can come back."""
        read = self.store.offsets().get(AUDIENCE_ANSWERS.name, 0)
        waiting = self._waiting.get(decision.query_id)
        offsets = waiting.offsets if waiting is not None else {}
        return any(offset < read and offsets.get(p) != offset for p, offset in decision.answers.items())

    def _answer(self, query_id: str, partition: int) -> AudienceAnswer:
        raw = self.store.get(of_partition(ANSWER, partition, query_id))
        assert raw is not None, f"answer of partition {partition} to {query_id} is counted, but not in the store"
        return _answer.decode(raw[8:])

    def _is_open(self, query_id: str) -> bool:
        return self.store.get(named(OPEN_QUERY, query_id)) is not None

    def _forget(self, query_id: str) -> None:
        if waiting := self._waiting.pop(query_id, None):
            for partition in waiting.offsets:
                self.store.delete(of_partition(ANSWER, partition, query_id))
        self._adopted.pop(query_id, None)


def _slice(query: AudienceQuery, decision: TargetsSelected, who: Chosen, rows: NDArray[np.int64]) -> TargetCandidates:
    return TargetCandidates(
        query_id=query.query_id,
        song_id=query.song_id,
        artifact=query.artifact,
        policy=query.policy,
        because=query.because[:NAMED],
        decided_ms=query.decided_ms,
        released_ms=query.released_ms,
        expires_ms=query.expires_ms,
        coverage=decision.coverage,
        listener_ids=tuple(who.listener_ids[rows].tolist()),
        scores=tuple(who.scores[rows].tolist()),
        ranks=tuple(who.ranks[rows].tolist()),
        crowds=tuple(who.crowds[rows].tolist()),
        arms=tuple(who.arms[rows].tolist()),
        propensities=tuple(who.propensities[rows].tolist()),
    )
