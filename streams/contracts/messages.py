"""What a stage takes and gives: a batch of one topic partition in, messages out. Nothing here knows Kafka."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import msgspec

from streams.contracts.dead_letters import DeadLetter
from streams.contracts.topics import Topic

C_co = TypeVar("C_co", covariant=True)
C_contra = TypeVar("C_contra", contravariant=True)


@dataclass(frozen=True, slots=True)
class Batch(Generic[C_co]):
    """Consecutive records of one topic partition that could be read; columns of equal length.

    `values[i]` is None where the record had no value (a withdrawal, a tombstone); its name is then `keys[i]`.
    """

    topic: str
    partition: int
    next_offset: int  # where reading goes on; records that could not be read are skipped but counted here
    offsets: Sequence[int]
    times_ms: Sequence[int]  # when each record was published
    keys: Sequence[bytes | None]
    values: Sequence[C_co | None]
    raw: Sequence[bytes | None]

    def __len__(self) -> int:
        return len(self.offsets)

    def dead_letter(self, n: int, reason: str) -> DeadLetter:
        """Record n can be read but not used."""
        return DeadLetter(
            self.topic, self.partition, self.offsets[n], self.times_ms[n], self.keys[n], self.raw[n], reason
        )


class Message(msgspec.Struct, frozen=True, gc=False):
    """A fact to publish. The partition follows from the key unless it is given."""

    topic: Topic
    key: str
    value: msgspec.Struct | None  # None: a tombstone
    time_ms: int
    partition: int | None = None


class Stage(Protocol[C_contra]):
    """One verb on one topic partition: load, rule, save, messages.

    It puts what changed into its store, which the driver commits with the batch's offset after the messages are
    acknowledged; it never publishes and never reads a clock.
    """

    def handle(self, batch: Batch[C_contra]) -> list[Message | DeadLetter]: ...


class Adopting(Protocol):
    """A stage whose outputs depend on more than its own input and state: what it once published, stands."""

    def adopt(self, decision: msgspec.Struct) -> None: ...
