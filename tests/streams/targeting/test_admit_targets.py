"""Every candidate becomes one target or one suppression, once, whatever crashes, and no limit is exceeded."""

import json
from collections import Counter, defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.audience.wishes import put_erased, put_settings
from streams.contracts.ids import key_of, target_id_of
from streams.contracts.messages import Batch
from streams.contracts.queries import TargetCandidates
from streams.contracts.targets import Arm, Reason, Suppression, Target
from streams.contracts.topics import (
    DAY_MS,
    HOUR_MS,
    LISTENER_ERASURES,
    LISTENER_SETTINGS,
    PLAYS,
    PUSH_SUPPRESSIONS,
    PUSH_TARGETS,
    TARGET_CANDIDATES,
    TARGET_REACTIONS,
)
from streams.errors import BadSettings
from streams.state.layout import EXPOSURE, named
from streams.state.memory_store import MemoryStore
from streams.targeting.exposure import decoded
from tests.builders.contracts import NOW, batch, chosen, listener_settings, night
from tests.builders.targeting import Crash, Worker, admission, admitting, as_bytes, cut, of

LIMITS = admission()


def worker(limits=LIMITS, heard=frozenset()) -> Worker:
    return Worker(admitting(limits, heard))


def records(*given_: TargetCandidates, first: int = 0, partition: int = 0) -> Batch[TargetCandidates]:
    return batch(TARGET_CANDIDATES, *given_, first=first, partition=partition)


def reasons(messages) -> dict[str, Reason]:
    return {one.listener_id: one.reason for one in of(PUSH_SUPPRESSIONS, messages)}


def told(messages) -> list[tuple[str, str]]:
    return [(one.song_id, one.listener_id) for one in of(PUSH_TARGETS, messages)]


def exposed(by: Worker, listener_id: str) -> list[tuple[int, Arm]]:
    exposure = decoded(by.store.get(named(EXPOSURE, listener_id)))
    return [(key, exposure.push(n).arm) for n, key in enumerate(exposure.song_keys)]


def test_a_candidate_becomes_a_target_that_says_why_and_what_was_known():
    by = worker()
    by.store.commit({PLAYS.name: 50, LISTENER_SETTINGS.name: 30, LISTENER_ERASURES.name: 10})
    slice_ = chosen("ann", scores=(0.75,), ranks=(3,), crowds=(2,), coverage=0.5)

    [message, _] = by.deliver(records(slice_, partition=4))

    assert (message.topic, message.key, message.partition, message.time_ms) == (PUSH_TARGETS, "ann", 4, NOW)
    assert message.value == Target(
        target_id=target_id_of("new", "ann"),
        song_id="new",
        listener_id="ann",
        score=0.75,
        rank=3,
        crowd=2,
        because=slice_.because,
        arm=Arm.TARGET,
        propensity=1.0,
        policy=slice_.policy,
        artifact=slice_.artifact,
        query_id=slice_.query_id,
        decided_ms=NOW,
        not_before_ms=NOW,
        expires_ms=slice_.expires_ms,
        coverage=0.5,
        plays_offset=50,
        settings_offset=30,
        erasures_offset=10,
    )


def test_a_suppression_says_the_same_and_its_reason():
    by = worker(heard=frozenset({("new", "bob")}))
    by.store.commit({PLAYS.name: 90})

    target, suppression, _ = (message.value for message in by.deliver(records(chosen("ann", "bob"))))

    assert isinstance(suppression, Suppression) and suppression.reason is Reason.ALREADY_HEARD
    same = set(Suppression.__struct_fields__) - {"reason", "target_id", "listener_id", "score", "rank"}
    assert {name: getattr(suppression, name) for name in same} == {name: getattr(target, name) for name in same}
    assert suppression.target_id == target_id_of("new", "bob")
    assert target.plays_offset == suppression.plays_offset == 90


def test_a_candidate_record_is_counted_by_arm():
    slice_ = chosen("ann", "bob", "cat", "dan", arms=("target", "exploration", "hold-out", "target"))
    by = worker(heard=frozenset({("new", "dan")}))

    message = by.deliver(records(slice_, first=7, partition=4))[-1]

    assert (message.topic, message.key, message.partition) == (TARGET_REACTIONS, "new", None)
    counted = message.value
    assert (counted.source, counted.listener_partition, counted.offset) == ("target-candidates", 4, 7)
    assert counted.reached == {"target": 1, "exploration": 1, "hold-out": 1} and counted.decided_ms == NOW


def test_consent_zone_and_quiet_hours_are_the_listeners():
    by = worker()
    put_settings(by.store, listener_settings("ann", consent=False))
    put_settings(by.store, listener_settings("bob", time_zone="Asia/Tokyo", quiet_hours=night(0, 8 * 60)))

    messages = by.deliver(records(chosen("ann", "bob")))  # 22:13 UTC, 07:13 in Tokyo

    assert reasons(messages) == {"ann": Reason.NO_CONSENT}
    assert of(PUSH_TARGETS, messages)[0].not_before_ms == NOW - NOW % HOUR_MS + HOUR_MS


def test_a_song_that_is_announced_is_not_pushed_before_its_release():
    friday = NOW + 3 * DAY_MS

    [target] = of(
        PUSH_TARGETS, worker().deliver(records(chosen("ann", released_ms=friday, expires_ms=friday + DAY_MS)))
    )

    assert target.not_before_ms == friday


def test_what_would_come_after_its_expiry_is_not_sent():
    by = worker(admission(quiet_from_minute=22 * 60, quiet_to_minute=8 * 60))

    messages = by.deliver(records(chosen("ann", expires_ms=NOW + 9 * HOUR_MS), chosen("bob", expires_ms=NOW + DAY_MS)))

    assert reasons(messages) == {"ann": Reason.EXPIRED} and told(messages) == [("new", "bob")]


def test_an_erased_listener_is_not_told_and_nothing_is_remembered_until_they_consent_anew():
    by = worker()
    put_erased(by.store, "ann", NOW)
    first = by.deliver(records(chosen("ann")))
    put_settings(by.store, listener_settings("ann", at=NOW + 1))
    second = by.deliver(records(chosen("ann", song="later"), first=1))

    assert reasons(first) == {"ann": Reason.ERASED} and told(second) == [("later", "ann")]
    assert exposed(by, "ann") == [(key_of("later"), Arm.TARGET)]


def test_the_same_song_never_reaches_a_listener_twice():
    by = worker()
    again = chosen("ann", "bob", query_id="another", at=NOW + DAY_MS)

    messages = by.deliver_all([records(chosen("ann")), records(again, first=1)])

    assert told(messages) == [("new", "ann"), ("new", "bob")]
    assert reasons(messages) == {"ann": Reason.ALREADY_PUSHED}


def test_caps_count_pushes_of_all_songs():
    by = worker(admission(day_cap=2))
    songs = [chosen("ann", song=f"s{n}", at=NOW + n * 60_000) for n in range(3)]

    messages = by.deliver(records(*songs))

    assert told(messages) == [("s0", "ann"), ("s1", "ann")] and reasons(messages) == {"ann": Reason.DAY_CAP}


def test_pushes_that_the_night_puts_off_count_on_the_day_on_which_they_are_due():
    by = worker(admission(day_cap=1, quiet_from_minute=22 * 60, quiet_to_minute=8 * 60))
    at_night, next_noon = chosen("ann", song="s1"), chosen("ann", song="s2", at=NOW + 14 * HOUR_MS)

    messages = by.deliver(records(at_night, next_noon))

    assert told(messages) == [("s1", "ann")] and reasons(messages) == {"ann": Reason.DAY_CAP}


def test_the_hold_out_is_suppressed_and_remembered_so_that_its_plays_can_be_compared():
    by = worker()

    messages = by.deliver(records(chosen("ann", arms=("hold-out",))))

    assert reasons(messages) == {"ann": Reason.HELD_OUT}
    assert exposed(by, "ann") == [(key_of("new"), Arm.HOLD_OUT)]


def test_who_is_held_out_counts_only_where_a_push_would_have_been_sent():
    by = worker(admission(day_cap=1))
    songs = [chosen("ann", song=f"s{n}", arms=("hold-out",)) for n in range(2)]

    messages = by.deliver(records(*songs))

    assert [one.reason for one in of(PUSH_SUPPRESSIONS, messages)] == [Reason.HELD_OUT, Reason.DAY_CAP]
    assert [one.reached for one in of(TARGET_REACTIONS, messages)] == [{"hold-out": 1}, {}]
    assert exposed(by, "ann") == [(key_of("s0"), Arm.HOLD_OUT)]


def test_a_selection_that_was_published_twice_is_admitted_once():
    by = worker(heard=frozenset({("new", "bob")}))
    slices = chosen("ann", "bob"), chosen("cat")

    once = by.deliver(records(*slices))
    twice = by.deliver(records(*slices, first=2))
    by.restart()

    assert len(once) == 5 and twice == by.deliver(records(*slices, first=4)) == []


def test_a_selection_that_was_published_twice_is_not_judged_anew_where_settings_have_changed():
    by = worker()
    put_settings(by.store, listener_settings("ann", consent=False))
    by.deliver(records(chosen("ann")))
    put_settings(by.store, listener_settings("ann", at=NOW + 1))

    assert by.deliver(records(chosen("ann"), first=1)) == []


def test_a_song_that_comes_back_is_decided_anew_but_not_pushed_twice():
    by = worker()

    messages = by.deliver(records(chosen("ann"), chosen("ann", at=NOW + DAY_MS)))

    assert told(messages) == [("new", "ann")] and reasons(messages) == {"ann": Reason.ALREADY_PUSHED}


def test_settings_that_cannot_hold_the_caps_stop_the_worker_at_start():
    with pytest.raises(BadSettings):
        admitting(admission(keep_pushes=1))(MemoryStore())


# Crashes and adoption

NAMES = [f"l{n}" for n in range(6)]
TIGHT = admission(
    cooldown_h=2.0, rolling_cap=3, rolling_h=24.0, day_cap=2, quiet_from_minute=1_380, quiet_to_minute=300
)


def stream(*, songs: int = 5) -> Batch[TargetCandidates]:
    """Songs that come faster than the cool-down allows, to listeners of all arms."""
    arms = ("target", "target", "exploration", "hold-out", "target", "target")
    slices = []
    for n in range(songs):
        at, song = NOW + n * 90 * 60_000, f"s{n % 4}"
        for half in (slice(0, 3), slice(3, 6)):
            slices.append(chosen(*NAMES[half], song=song, at=at, arms=arms[half], query_id=f"q{n}"))
    return records(*slices)


def with_wishes(by: Worker) -> Worker:
    put_settings(by.store, listener_settings("l1", time_zone="Asia/Tokyo"))
    put_settings(by.store, listener_settings("l4", consent=False))
    put_erased(by.store, "l5", NOW)
    by.store.commit({LISTENER_SETTINGS.name: 2, LISTENER_ERASURES.name: 1})
    return by


HEARD = frozenset({("s1", "l2"), ("s3", "l0")})
EXPECTED = as_bytes(with_wishes(worker(TIGHT, HEARD)).deliver(stream()))


@given(st.lists(st.integers(1, 9)))
@settings(max_examples=25)
def test_what_is_published_does_not_depend_on_where_batches_are_cut(ends):
    assert as_bytes(with_wishes(worker(TIGHT, HEARD)).deliver_all(cut(stream(), *ends))) == EXPECTED


@given(
    st.lists(st.integers(1, 9)),
    st.lists(st.tuples(st.integers(0, 9), st.sampled_from(Crash)), max_size=4),
    st.booleans(),
)
@settings(max_examples=60)
def test_a_crash_may_repeat_a_message_but_neither_loses_nor_changes_one(ends, crashes, settings_change):
    """Also where settings change between the crash and the second delivery: what is published stands."""
    by = with_wishes(worker(TIGHT, HEARD))
    for n, part in enumerate(cut(stream(), *ends)):
        for _, crash in [one for one in crashes if one[0] == n and one[1] is not Crash.AFTER_COMMIT]:
            messages = by.stage.handle(part)
            by.published += messages[
                : {Crash.HALF_PUBLISHED: len(messages) // 2, Crash.BEFORE_PUBLISHING: 0}.get(crash)
            ]
            by.restart()
            if settings_change and crash is Crash.BEFORE_COMMIT:
                put_settings(by.store, listener_settings("l4", at=NOW + 1))
                put_settings(by.store, listener_settings("l0", consent=False))
                by.store.commit({LISTENER_SETTINGS.name: 4})
        by.deliver(part)

    if not settings_change:
        assert list(dict.fromkeys(as_bytes(by.published))) == EXPECTED
    copies = defaultdict(set)
    for message, encoded in zip(by.published, as_bytes(by.published), strict=True):
        if message.topic is not TARGET_REACTIONS:
            copies[message.value.query_id, message.value.target_id].add(encoded)
    assert len(copies) == 30 and all(len(its) == 1 for its in copies.values())
    pushed = Counter(
        (json.loads(value)["song_id"], key)
        for its in copies.values()
        for topic, _, key, value in its
        if topic == PUSH_TARGETS.name
    )
    assert set(pushed.values()) == {1}


def test_exposure_after_a_crash_is_the_one_without():
    crashed, whole = with_wishes(worker(TIGHT, HEARD)), with_wishes(worker(TIGHT, HEARD))
    for part in cut(stream(), 2, 3, 7):
        crashed.deliver(part, Crash.BEFORE_COMMIT)
    whole.deliver(stream())

    assert list(crashed.store.items(EXPOSURE)) == list(whole.store.items(EXPOSURE))


@pytest.mark.parametrize("arm", ["target", "hold-out"])
def test_an_adopted_decision_keeps_the_time_that_it_said(arm):
    by, slice_ = worker(), chosen("ann", arms=(arm,))
    first = by.stage.handle(records(slice_))
    by.published += first
    by.restart()
    put_settings(by.store, listener_settings("ann", consent=False, time_zone="Asia/Tokyo", quiet_hours=night(0, 1_000)))

    assert as_bytes(by.deliver(records(slice_))) == as_bytes(first)
    assert decoded(by.store.get(named(EXPOSURE, "ann"))).due_ms == (NOW,)


def test_what_was_sent_before_an_erasure_is_not_sent_again_after_it():
    by = worker()
    by.published += by.stage.handle(records(chosen("ann", "bob")))
    by.restart()
    put_erased(by.store, "ann", NOW + 1)

    messages = by.deliver(records(chosen("ann", "bob")))

    assert told(messages) == [("new", "bob")] and reasons(messages) == {}
    assert messages[-1].value.reached == {"target": 2}
    assert exposed(by, "ann") == []


def test_a_target_that_is_already_out_counts_against_one_that_was_not_published_in_time():
    limits = admission(day_cap=1)
    by = worker(limits)
    put_settings(by.store, listener_settings("ann", consent=False))
    by.store.commit({})
    songs = records(chosen("ann", song="s1"), chosen("ann", song="s2", at=NOW + 1))
    # Of the first delivery only the target of s2 was acknowledged; its judge did not know of the refusal.
    elsewhere = worker(limits).stage.handle(records(chosen("ann", song="s2", at=NOW + 1)))
    by.published += elsewhere
    by.restart()
    put_settings(by.store, listener_settings("ann", at=NOW + 2))

    messages = by.deliver(songs)

    assert told(messages) == [("s2", "ann")] and reasons(messages) == {"ann": Reason.DAY_CAP}


def test_nothing_is_kept_of_adopted_decisions_that_are_carried_out():
    by = with_wishes(worker(TIGHT, HEARD))
    by.published += by.stage.handle(stream())
    by.restart()
    by.deliver(stream())

    assert by.stage._adopted == {} and by.stage._ahead == {}
