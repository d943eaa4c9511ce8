"""A query is decided once: by all answers or at the deadline, and again only to the same bytes."""

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.contracts.messages import Batch
from streams.contracts.queries import AudienceAnswer, AudienceQuery, Neighbour, TargetsSelected
from streams.contracts.topics import AUDIENCE_ANSWERS, SONG_DECISIONS, TARGET_CANDIDATES
from streams.settings import SelectionSettings
from streams.state.layout import ANSWER, OPEN_QUERY, named
from streams.state.memory_store import MemoryStore
from streams.targeting.select_targets import NAMED, SelectTargets
from tests.builders.contracts import answer, batch, candidates, query
from tests.builders.targeting import Crash, Worker, as_bytes, cut, of, random_candidates, with_open

PARTITIONS = 3
LIMITS = SelectionSettings(exploration_share=0.2, answer_within_s=5, candidates_per_message=4)
QUERY = query("new", budget=20)


def an_answer(partition: int, *, seed: int = 0, to=QUERY) -> AudienceAnswer:
    draw = np.random.default_rng([seed, partition])
    return answer(
        to,
        random_candidates(draw, f"best{partition}", 12),
        partition=partition,
        partitions=PARTITIONS,
        held_out=random_candidates(draw, f"held{partition}", 3),
        explored=random_candidates(draw, f"tried{partition}", 6),
        eligible=200,
        plays_offset=100 + partition,
    )


def selecting(limits: SelectionSettings = LIMITS, asked: AudienceQuery = QUERY) -> Worker:
    return Worker(lambda store: SelectTargets(store, limits), with_open(asked, MemoryStore()))


def answers(*given_: AudienceAnswer, first: int = 0) -> Batch[AudienceAnswer]:
    return batch(AUDIENCE_ANSWERS, *given_, first=first)


ALL = answers(*(an_answer(partition) for partition in range(PARTITIONS)))


def listeners_of(messages) -> list[str]:
    return [name for slice_ in of(TARGET_CANDIDATES, messages) for name in slice_.listener_ids]


def test_a_query_is_decided_when_the_last_partition_has_answered():
    worker = selecting()

    assert worker.deliver_all(cut(ALL, 1, 2)[:2]) == []
    messages = worker.deliver(cut(ALL, 2)[1])

    assert messages[0].topic is SONG_DECISIONS
    assert messages[0].value == TargetsSelected(QUERY.query_id, "new", {0: 0, 1: 1, 2: 2}, 1.0)
    assert {message.topic for message in messages[1:]} == {TARGET_CANDIDATES}


def test_candidates_go_to_the_partition_of_their_listeners_in_slices_best_first():
    messages = selecting().deliver(ALL)[1:]

    for message in messages:
        assert message.key == "new" and 1 <= len(message.value.listener_ids) <= 4
        assert all(name.rstrip("0123456789").endswith(f"{message.partition}-") for name in message.value.listener_ids)
    for partition in range(PARTITIONS):
        ranks = [rank for message in messages if message.partition == partition for rank in message.value.ranks if rank]
        assert ranks == sorted(ranks)
    ranks = [rank for message in messages for rank in message.value.ranks if rank]
    assert sorted(ranks) == list(range(1, 17))  # a budget of 20, of which 4 explore
    assert [message.partition for message in messages[:3]] == [0, 1, 2]


def test_a_slice_carries_all_that_admission_needs_to_know_of_the_query():
    slice_ = of(TARGET_CANDIDATES, selecting().deliver(ALL))[0]

    for name in ("query_id", "song_id", "artifact", "policy", "because", "decided_ms", "released_ms", "expires_ms"):
        assert getattr(slice_, name) == getattr(QUERY, name)
    lengths = {len(getattr(slice_, name)) for name in ("scores", "ranks", "crowds", "arms", "propensities")}
    assert lengths == {len(slice_.listener_ids)} and slice_.coverage == 1


def test_a_slice_names_the_nearest_of_many_warm_songs():
    near = tuple(Neighbour(f"warm-{n}", 0.9 - n / 100) for n in range(50))
    asked = msgspec.structs.replace(QUERY, because=near)

    slice_ = of(TARGET_CANDIDATES, selecting(asked=asked).deliver(ALL))[0]

    assert slice_.because == near[:NAMED]


def test_the_first_answer_of_a_partition_counts():
    first, second = an_answer(0), an_answer(0, seed=9)

    twice = selecting().deliver(answers(first, second, an_answer(1), an_answer(2)))
    once = selecting().deliver(answers(first, an_answer(1), an_answer(2)))

    assert listeners_of(twice) == listeners_of(once)
    assert twice[0].value.answers == {0: 0, 1: 2, 2: 3}


def test_answers_to_an_unknown_or_decided_query_leave_nothing_behind():
    worker = selecting()
    worker.deliver(ALL)

    assert worker.deliver(answers(*ALL.values, first=3)) == []
    assert worker.deliver(answers(an_answer(0, to=query("other")), first=6)) == []
    assert list(worker.store.items(ANSWER)) == list(worker.store.items(OPEN_QUERY)) == []


def test_a_withdrawn_song_is_not_selected_and_its_answers_do_not_stay():
    worker = selecting()
    worker.deliver(cut(ALL, 2)[0])
    worker.store.delete(named(OPEN_QUERY, QUERY.query_id))

    assert worker.deliver(cut(ALL, 2)[1]) == []
    assert worker.stage.expire(1) == worker.stage.expire(1_000_000) == []
    assert list(worker.store.items(ANSWER)) == []


def test_at_the_deadline_the_answers_that_are_there_decide():
    worker = selecting()
    worker.deliver(cut(ALL, 2)[0])

    assert worker.stage.expire(1_000) == worker.stage.expire(5_999) == []
    messages = worker.stage.expire(6_000)

    assert messages[0].value == TargetsSelected(QUERY.query_id, "new", {0: 0, 1: 1}, 2 / 3)
    assert {slice_.coverage for slice_ in of(TARGET_CANDIDATES, messages)} == {2 / 3}
    assert worker.stage.expire(60_000) == []
    assert worker.deliver(cut(ALL, 2)[1]) == []


def test_a_query_without_any_answer_waits_for_ever():
    worker = selecting()

    assert [worker.stage.expire(now) for now in (0, 10**9, 10**12)] == [[], [], []]
    assert listeners_of(worker.deliver(ALL))


def test_queries_are_decided_each_by_its_own_answers():
    other = query("other", budget=5)
    worker = selecting()
    with_open(other, worker.store)

    mixed = [an_answer(p, to=to) for p in range(PARTITIONS) for to in (QUERY, other)]
    decided = of(SONG_DECISIONS, worker.deliver(answers(*mixed)))

    assert [(one.song_id, one.answers) for one in decided] == [
        ("new", {0: 0, 1: 2, 2: 4}),
        ("other", {0: 1, 1: 3, 2: 5}),
    ]


@given(st.lists(st.integers(1, 5)), st.permutations(range(PARTITIONS)), st.booleans())
@settings(max_examples=30)
def test_what_is_published_does_not_depend_on_where_batches_are_cut(ends, order, repeated):
    whole = answers(*(an_answer(p) for p in order), *(an_answer(p, seed=5) for p in order if repeated))

    assert as_bytes(selecting().deliver_all(cut(whole, *ends))) == as_bytes(selecting().deliver(whole))


@pytest.mark.parametrize("crash", Crash)
@pytest.mark.parametrize("at", range(PARTITIONS))
def test_a_crash_may_repeat_a_message_but_neither_loses_nor_changes_one(at, crash):
    worker = selecting()
    for n, one in enumerate(cut(ALL, 1, 2)):
        worker.deliver(one, crash if n == at else None)

    assert list(dict.fromkeys(as_bytes(worker.published))) == as_bytes(selecting().deliver(ALL))


@pytest.mark.parametrize("published", range(8))
def test_a_decision_at_the_deadline_stands_whatever_answers_come_after_a_crash(published):
    worker = selecting()
    worker.deliver(cut(ALL, 2)[0])
    worker.stage.expire(0)
    messages = worker.stage.expire(5_000)
    worker.published += messages[:published]

    worker.restart()
    again = worker.deliver(answers(an_answer(2, seed=4), first=2)) + worker.stage.expire(0) + worker.stage.expire(5_000)

    if published:  # the decision is known
        assert as_bytes(again) == as_bytes(messages)
    else:
        assert again[0].value.answers == {0: 0, 1: 1, 2: 2}


def test_after_an_old_checkpoint_the_adopted_decision_waits_for_its_query_and_its_answers():
    whole = selecting().deliver(answers(*ALL.values, an_answer(1, seed=7)))
    worker = Worker(lambda store: SelectTargets(store, LIMITS), published=list(whole))
    worker.restart()

    assert worker.deliver(ALL) == []  # match_songs has not opened the query again
    with_open(QUERY, worker.store)
    again = worker.deliver(answers(an_answer(0, seed=8), first=3))

    assert as_bytes(again) == as_bytes(whole)
    assert list(worker.store.items(ANSWER)) == []


def test_an_adopted_decision_that_is_carried_out_does_not_bind_a_song_that_comes_back():
    worker = selecting()
    worker.deliver(ALL)
    worker.restart()
    with_open(QUERY, worker.store)

    again = worker.deliver(answers(*(an_answer(p, seed=3) for p in range(PARTITIONS)), first=3))

    assert again[0].value.answers == {0: 3, 1: 4, 2: 5}


def test_the_deadline_starts_anew_where_a_shard_is_taken_over():
    worker = selecting()
    worker.deliver(cut(ALL, 1)[0])
    worker.stage.expire(1_000)
    worker.restart()

    assert worker.stage.expire(100_000) == worker.stage.expire(104_999) == []
    assert worker.stage.expire(105_000)[0].value.answers == {0: 0}


def test_a_query_id_that_begins_like_another_one_has_answers_of_its_own():
    short, long = query("a", query_id="q"), query("b", query_id="q\0\0\0\0")
    worker = Worker(lambda store: SelectTargets(store, LIMITS))
    with_open(long, with_open(short, worker.store))
    worker.deliver(answers(*(an_answer(p, to=to) for p in range(2) for to in (short, long))))
    worker.restart()

    decided = of(SONG_DECISIONS, worker.deliver(answers(an_answer(2, to=short), an_answer(2, to=long), first=4)))

    assert [one.answers for one in decided] == [{0: 0, 1: 2, 2: 4}, {0: 1, 1: 3, 2: 5}]


def test_one_listener_is_enough_for_a_release():
    worker = selecting()

    messages = worker.deliver(
        answers(
            *(answer(QUERY, candidates(ann=0.5) if p else candidates(), partition=p, partitions=3) for p in (0, 1)),
            answer(QUERY, candidates(), partition=2, partitions=3),
        )
    )

    assert [(message.partition, message.value.listener_ids) for message in messages[1:]] == [(1, ("ann",))]
