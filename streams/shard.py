"""Partition p of one side: its store, its stages, and the order in which a batch passes through them.

Live agents, replay and tests drive the same three steps: `decide`, publish what it says, `commit`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import msgspec

from streams.contracts.codec import Record, decode_batch
from streams.contracts.dead_letters import DeadLetter
from streams.contracts.messages import Message
from streams.contracts.topics import Shard as Side
from streams.contracts.topics import Topic
from streams.settings import ContractSettings
from streams.state.store import Store


@dataclass(frozen=True, slots=True)
class Decided:
    """What a batch leads to; nothing of it is on disk yet."""

    topic: Topic
    next_offset: int
    records: int  # that were not folded before
    messages: list[Message]
    dead_letters: list[DeadLetter]


def unmeasured(stage: str, seconds: float) -> None:
    pass


@dataclass
class Shard:
    side: Side
    partition: int
    store: Store
    stages: Mapping[str, Sequence[Any]]  # topic -> stages of that topic's contract, in order
    decisions: Mapping[str, Sequence[Any]]  # decision topic -> stages that adopt what they once published there
    deciders: Sequence[Any]  # stages with `expire(now_ms)`
    contracts: ContractSettings
    stage_took: Callable[[str, float], None] = field(default=unmeasured)
    audience: Any = None  # of a listener shard: how many listeners, how many bytes

    def __post_init__(self) -> None:
        self._next = self.store.offsets()
        self._adopted_up_to: Mapping[str, int] = {}

    @property
    def name(self) -> str:
        return f"{self.side.value}-{self.partition}"

    def next_offset(self, topic: str) -> int | None:
        """Where reading goes on; None: nothing of the topic was ever folded."""
        return self._next.get(topic)

    def decide(self, topic: Topic, records: Sequence[Record]) -> Decided:
        folded = self._next.get(topic.name, 0)
        fresh = [record for record in records if record.offset >= folded] if records[0].offset < folded else records
        if not fresh:
            return Decided(topic, folded, 0, [], [])
        batch, dead_letters = decode_batch(topic, self.partition, fresh, self.contracts)
        messages: list[Message] = []
        for stage in self.stages[topic.name]:
            started = perf_counter()
            for output in stage.handle(batch):
                (dead_letters if isinstance(output, DeadLetter) else messages).append(output)
            self.stage_took(type(stage).__name__, perf_counter() - started)
        return Decided(topic, batch.next_offset, len(fresh), messages, dead_letters)

    def commit(self, decided: Decided, published: Mapping[str, int] | None = None) -> None:
        """`published`: for each decision topic, the offset after what this batch wrote to the shard's own partition."""
        self._commit({decided.topic.name: decided.next_offset}, published or {})

    def expire(self, now_ms: int) -> list[Message]:
        return [message for stage in self.deciders for message in stage.expire(now_ms)]

    def commit_expired(self, published: Mapping[str, int]) -> None:
        self._commit({}, published)

    def _commit(self, folded: Mapping[str, int], published: Mapping[str, int]) -> None:
        if any(self._next.get(topic, 0) < end for topic, end in self._adopted_up_to.items()):
            published = {}  # decisions that were adopted still wait for their input: after a crash they are read again
        self.store.commit({**folded, **published})
        self._next.update({**folded, **published})

    def adopt(self, topic: str, decision: msgspec.Struct) -> None:
        for stage in self.decisions[topic]:
            stage.adopt(decision)

    def adopts_until(self, ends: Mapping[str, int]) -> None:
        """Whatever was decided before followed from input before these offsets."""
        self._adopted_up_to = ends

    def close(self) -> None:
        self.store.close()
