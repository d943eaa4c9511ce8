"""A shard skips what it has folded, and keeps adopted decisions until their input has come."""

from collections.abc import Sequence
from typing import Any

import msgspec

from streams.contracts.messages import Batch, Message
from streams.contracts.topics import PLAYS, PUSH_TARGETS
from streams.contracts.topics import Shard as Side
from streams.shard import Shard
from streams.state.memory_store import MemoryStore
from tests.builders.contracts import logged, play, settings, target


class Noting:
    """A stage that says whom it was told of, and what it was to adopt."""

    def __init__(self) -> None:
        self.adopted: list[msgspec.Struct] = []

    def handle(self, batch: Batch[Any]) -> list[Message]:
        return [
            Message(PUSH_TARGETS, one.listener_id, target(one.listener_id), 1, 0)
            for one in batch.values
            if one is not None
        ]

    def adopt(self, decision: msgspec.Struct) -> None:
        self.adopted.append(decision)


def shard(store: MemoryStore, stage: Noting) -> Shard:
    return Shard(
        Side.LISTENER,
        0,
        store,
        stages={PLAYS.name: [stage]},
        decisions={PUSH_TARGETS.name: [stage]},
        deciders=[],
        contracts=settings().contracts,
    )


def records(*listeners: str, first: int = 0) -> Sequence[Any]:
    return [logged(PLAYS, play(by=who), key=who, offset=first + n) for n, who in enumerate(listeners)]


def test_what_was_folded_is_skipped_when_it_is_delivered_again():
    store = MemoryStore()
    one = shard(store, Noting())
    one.commit(one.decide(PLAYS, records("ann", "bob")))

    again = shard(store, Noting()).decide(PLAYS, records("ann", "bob", "cat"))

    assert [message.key for message in again.messages] == ["cat"]
    assert again.records == 1 and again.next_offset == 3


def test_a_batch_that_was_folded_whole_moves_nothing_back():
    store = MemoryStore()
    one = shard(store, Noting())
    one.commit(one.decide(PLAYS, records("ann", "bob")))

    again = one.decide(PLAYS, records("ann"))
    one.commit(again)

    assert again.messages == [] and one.next_offset(PLAYS.name) == 2


def test_a_record_that_cannot_be_read_becomes_a_dead_letter_and_is_passed():
    one = shard(MemoryStore(), Noting())
    broken = [*records("ann"), logged(PLAYS, None, key="bob", offset=1)]

    decided = one.decide(PLAYS, broken)

    assert [letter.offset for letter in decided.dead_letters] == [1]
    assert [message.key for message in decided.messages] == ["ann"] and decided.next_offset == 2


def test_the_offset_of_a_decision_topic_is_kept_with_the_state():
    store = MemoryStore()
    one = shard(store, Noting())
    one.commit(one.decide(PLAYS, records("ann")), {PUSH_TARGETS.name: 7})

    assert shard(store, Noting()).next_offset(PUSH_TARGETS.name) == 7


def test_decisions_are_read_again_after_a_crash_until_the_input_they_followed_from_is_folded():
    store = MemoryStore()
    one = shard(store, Noting())
    one.adopts_until({PLAYS.name: 2})

    one.commit(one.decide(PLAYS, records("ann")), {PUSH_TARGETS.name: 7})  # bob's decision is adopted and still waits
    assert one.next_offset(PUSH_TARGETS.name) is None
    one.commit(one.decide(PLAYS, records("bob", first=1)), {PUSH_TARGETS.name: 8})
    one.commit(one.decide(PLAYS, records("cat", first=2)), {PUSH_TARGETS.name: 9})

    assert store.offsets() == {PLAYS.name: 3, PUSH_TARGETS.name: 9}


def test_a_published_decision_is_handed_to_the_stages_of_its_topic():
    stage = Noting()
    decision = target("ann")

    shard(MemoryStore(), stage).adopt(PUSH_TARGETS.name, decision)

    assert stage.adopted == [decision]
