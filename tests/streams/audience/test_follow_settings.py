"""Settings: the newest counts, a no is always heard."""

import pytest
from hypothesis import given
from hypothesis import settings as trial
from hypothesis import strategies as st

from streams.audience.wishes import settings_of
from streams.contracts.dead_letters import DeadLetter
from tests.builders.contracts import NOW, erasure, listener_settings, night, play, settings
from tests.builders.listening import ListenerShard, catalogue


def shard(**admission):
    return ListenerShard(catalogue(3, 4), settings(admission=admission))


def may_be_told(one, name="ann"):
    slot = one.audience.slot_of(name)
    return None if slot is None else bool(one.audience.matrix.consents[slot])


def test_settings_are_kept_as_they_were_told():
    one, told = shard(), listener_settings(time_zone="Europe/Rome", quiet_hours=night())
    assert one.want(told) == []
    assert settings_of(one.store, "ann") == told
    assert settings_of(one.store, "bob") is None


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=1, max_size=6))
@trial(max_examples=30)
def test_the_newest_counts_and_of_equally_new_ones_the_last(told):
    one = shard()
    one.hear(play())
    for at, consent in told:
        one.want(listener_settings(consent=consent, at=NOW + at))
    newest = max(at for at, _ in told)
    assert may_be_told(one) is next(consent for at, consent in reversed(told) if at == newest)


@pytest.mark.parametrize("by_default", [True, False])
def test_settings_that_are_withdrawn_leave_the_default(by_default):
    one = shard(consent_by_default=by_default)
    one.hear(play())
    assert may_be_told(one) is by_default
    one.want(listener_settings(consent=not by_default))
    assert may_be_told(one) is not by_default
    one.want("ann")
    assert may_be_told(one) is by_default and settings_of(one.store, "ann") is None


@pytest.mark.parametrize("zone", ["Middle/Earth", "../etc/passwd", "/etc/localtime", "America", "x" * 200])
def test_an_unknown_zone_is_a_dead_letter(zone):
    one = shard()
    [letter] = one.want(listener_settings("bob"), listener_settings(time_zone=zone))[:1]
    assert isinstance(letter, DeadLetter) and letter.offset == 1 and letter.key == b"ann"
    assert letter.reason.startswith(f"time_zone is {zone!r}")
    assert settings_of(one.store, "ann") is None and settings_of(one.store, "bob") is not None


def test_a_no_is_heard_even_with_an_unknown_zone():
    one = shard()
    one.hear(play())
    assert len(one.want(listener_settings(consent=False, time_zone="Middle/Earth"))) == 1
    assert may_be_told(one) is False
    assert settings_of(one.store, "ann") == listener_settings(consent=False)


def test_after_an_erasure_only_a_later_yes_counts():
    one = shard()
    one.hear(play())
    one.forget(erasure(at=NOW + 10))
    one.want(listener_settings(at=NOW + 10), listener_settings(consent=True, at=NOW + 3))
    assert settings_of(one.store, "ann") is None  # what was said before is not kept again
    one.hear(play(at=NOW + 20))
    assert may_be_told(one) is False
    one.want(listener_settings(consent=False, at=NOW + 21))
    assert may_be_told(one) is False
    one.want(listener_settings(consent=True, at=NOW + 22))
    assert may_be_told(one) is True
    one.commit()
    one.restart()
    assert may_be_told(one) is True
    one.want("ann")
    assert may_be_told(one) is False
