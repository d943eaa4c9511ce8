"""Plays and likes of those who were told, and of those who were not, are counted once and come to one outcome."""

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from streams.audience.wishes import put_settings
from streams.contracts.messages import Batch, Message
from streams.contracts.plays import Play
from streams.contracts.targets import TargetReactions
from streams.contracts.topics import DAY_MS, HOUR_MS, PLAYS, RELEASE_OUTCOMES, TARGET_CANDIDATES, TARGET_REACTIONS
from streams.state.layout import EXPOSURE, WATCHED, named
from streams.state.memory_store import MemoryStore
from streams.targeting.measure_outcomes import MeasureOutcomes, NoticeReactions
from streams.targeting.watched_releases import WatchedReleases
from tests.builders.contracts import NOW, batch, chosen, listener_settings, night, play, plays, settings
from tests.builders.targeting import Crash, Worker, admission, admitting, as_bytes, cut, of

SETTINGS = settings(outcomes={"window_h": 24.0})


def noticing(store: MemoryStore) -> NoticeReactions:
    return NoticeReactions(store, WatchedReleases(store, SETTINGS.outcomes), SETTINGS.listening, SETTINGS.outcomes)


def told(*slices, wishes=(), limits=None) -> MemoryStore:
    """A store after these were admitted."""
    by = Worker(admitting(limits or admission()))
    for one in wishes:
        put_settings(by.store, one)
    by.deliver(batch(TARGET_CANDIDATES, *slices))
    return by.store


def counted(messages: list[Message]) -> list[tuple[int, dict[str, int], dict[str, int]]]:
    return [(one.offset, one.effective_plays, one.likes) for one in of(TARGET_REACTIONS, messages)]


ANN = told(chosen("ann", "bob", arms=("target", "hold-out")))


def after(store: MemoryStore, *heard: Play) -> list[tuple[int, dict[str, int], dict[str, int]]]:
    return counted(Worker(noticing, _copy(store)).deliver(plays(*heard)))


def _copy(store: MemoryStore) -> MemoryStore:
    copy = MemoryStore()
    for kind in (EXPOSURE, WATCHED):
        for key, value in store.items(kind):
            copy.put(key, value)
    copy.commit({})
    return copy


def test_a_play_of_a_target_is_a_reaction_and_says_where_it_was_seen():
    by = Worker(noticing, _copy(ANN))

    [message] = by.deliver(plays(play("new", by="ann", at=NOW + 5), first=40, partition=3))

    assert (message.topic, message.key, message.partition, message.time_ms) == (TARGET_REACTIONS, "new", None, NOW + 5)
    assert message.value == TargetReactions("new", "plays", 3, 40, NOW, {}, {"target": 1}, {})


def test_only_the_first_effective_play_and_the_first_like_of_a_listener_count():
    found = after(
        ANN,
        play("new", by="ann", at=NOW + 1, listened_s=2),
        play("new", by="ann", at=NOW + 2, listened_s=2, liked=True),
        play("new", by="ann", at=NOW + 3),
        play("new", by="ann", at=NOW + 4, liked=True),
        play("new", by="bob", at=NOW + 5, liked=True),
    )

    assert found == [(1, {}, {"target": 1}), (2, {"target": 1}, {}), (4, {"hold-out": 1}, {"hold-out": 1})]


def test_plays_of_other_songs_and_of_other_listeners_do_not_count():
    assert after(ANN, play("old", by="ann", at=NOW + 1), play("new", by="zoe", at=NOW + 1)) == []


@pytest.mark.parametrize(("at", "counts"), [(-1, False), (0, True), (24 * HOUR_MS - 1, True), (24 * HOUR_MS, False)])
def test_plays_count_from_the_decision_to_the_end_of_the_window(at, counts):
    assert bool(after(ANN, play("new", by="ann", at=NOW + at))) == counts


def test_the_window_of_a_push_that_was_put_off_ends_later():
    asleep = listener_settings("ann", time_zone="UTC", quiet_hours=night(22 * 60, 22 * 60 - 1))
    store = told(chosen("ann"), wishes=[asleep])

    assert after(store, play("new", by="ann", at=NOW + 40 * HOUR_MS))
    assert not after(store, play("new", by="ann", at=NOW + 48 * HOUR_MS))


def test_who_was_refused_is_not_compared():
    store = told(chosen("ann", song="s1"), chosen("ann", song="s2"), limits=admission(day_cap=1))

    assert after(store, play("s2", by="ann", at=NOW + 1)) == []
    assert after(store, play("s1", by="ann", at=NOW + 1)) == [(0, {"target": 1}, {})]


def test_what_admission_adds_is_noticed_at_once_by_the_stage_beside_it():
    store = MemoryStore()
    watched = WatchedReleases(store, SETTINGS.outcomes)
    notice = NoticeReactions(store, watched, SETTINGS.listening, SETTINGS.outcomes)
    admit = admitting(admission())(store)
    admit.watched = watched

    admit.handle(batch(TARGET_CANDIDATES, chosen("ann")))

    assert counted(notice.handle(plays(play("new", by="ann", at=NOW + 1)))) == [(0, {"target": 1}, {})]


HEARD = plays(*(play("new", by=name, at=NOW + n, liked=n % 3 == 0) for n, name in enumerate(["ann", "bob", "ann"] * 3)))


@pytest.mark.parametrize("crash", Crash)
@pytest.mark.parametrize("at", range(3))
def test_a_crash_may_repeat_a_reaction_but_neither_loses_nor_changes_one(at, crash):
    by = Worker(noticing, _copy(ANN))
    for n, one in enumerate(cut(HEARD, 1, 4)):
        by.deliver(one, crash if n == at else None)

    assert list(dict.fromkeys(as_bytes(by.published))) == as_bytes(Worker(noticing, _copy(ANN)).deliver(HEARD))


def test_a_release_is_watched_until_nothing_can_come_of_it_any_more():
    watch_for = 24 * HOUR_MS + 7 * DAY_MS  # the window, and for as long as answers are kept
    expires = NOW + 3 * DAY_MS
    for late, kept in ((0, True), (1, False)):
        store = told(
            chosen("ann"), chosen("bob", song="later", at=expires + watch_for + late, expires_ms=NOW + 99 * DAY_MS)
        )
        watched = WatchedReleases(store, SETTINGS.outcomes)
        watched.done(chosen("cat", song="last", at=expires + watch_for + late))

        assert ("new" in watched.songs) == kept == (store.get(named(WATCHED, "new")) is not None)
        assert "later" in watched.songs


def reactions(song: str, lp: int, offset: int, *, source: str = PLAYS.name, at: int = NOW, **more) -> TargetReactions:
    return TargetReactions(song, source, lp, offset, at, **more)


def outcomes(*given_: TargetReactions, first: int = 0) -> Batch[TargetReactions]:
    return batch(TARGET_REACTIONS, *given_, first=first)


def test_an_outcome_is_the_sum_over_partitions_with_its_lift():
    by = Worker(MeasureOutcomes)

    messages = by.deliver(
        outcomes(
            reactions("new", 0, 5, source="target-candidates", reached={"target": 60, "hold-out": 20}),
            reactions("new", 1, 5, source="target-candidates", reached={"target": 40, "exploration": 9}),
            reactions("new", 0, 6, effective_plays={"target": 10}, likes={"target": 2}),
            reactions("new", 1, 3, effective_plays={"hold-out": 1}, at=NOW + 7),
        )
    )

    assert {(message.topic, message.key) for message in messages} == {(RELEASE_OUTCOMES, "new")}
    total = messages[-1].value
    assert total.reached == {"target": 100, "exploration": 9, "hold-out": 20}
    assert (total.effective_plays, total.likes) == ({"target": 10, "hold-out": 1}, {"target": 2})
    assert (total.lift, total.at_ms, total.decided_ms) == (2.0, NOW + 7, NOW + 7)
    assert messages[0].value.lift is None


def test_songs_and_sources_are_counted_apart():
    messages = Worker(MeasureOutcomes).deliver(
        outcomes(
            reactions("a", 0, 9, source="target-candidates", reached={"target": 1}),
            reactions("b", 0, 2, likes={"target": 1}),
            reactions("a", 1, 1, likes={"target": 1}),
        )
    )

    assert [(one.song_id, one.reached, one.likes) for one in of(RELEASE_OUTCOMES, messages)] == [
        ("a", {"target": 1}, {}),
        ("b", {}, {"target": 1}),
        ("a", {"target": 1}, {"target": 1}),
    ]


def test_what_a_listener_partition_publishes_again_counts_once():
    first = [reactions("new", 0, n, likes={"target": 1}) for n in (3, 4, 9)]
    by = Worker(MeasureOutcomes)

    once, again = by.deliver(outcomes(*first)), by.deliver(outcomes(*first, first=3))

    assert len(once) == 3 and again == []


LOG = outcomes(
    *(
        reactions(f"s{n % 3}", n % 2, n, at=NOW + n, effective_plays={"target": 1}, reached={"hold-out": 2})
        for n in (0, 1, 2, 1, 3, 4, 3, 5, 6)
    )
)


@given(st.lists(st.integers(1, 8)))
@examples(max_examples=25)
def test_what_is_published_does_not_depend_on_where_batches_are_cut(ends):
    assert as_bytes(Worker(MeasureOutcomes).deliver_all(cut(LOG, *ends))) == as_bytes(
        Worker(MeasureOutcomes).deliver(LOG)
    )


@pytest.mark.parametrize("crash", Crash)
@pytest.mark.parametrize("at", range(3))
def test_a_crash_may_repeat_an_outcome_but_the_sum_is_the_same(at, crash):
    by = Worker(MeasureOutcomes)
    for n, one in enumerate(cut(LOG, 3, 6)):
        by.deliver(one, crash if n == at else None)

    assert list(dict.fromkeys(as_bytes(by.published))) == as_bytes(Worker(MeasureOutcomes).deliver(LOG))
