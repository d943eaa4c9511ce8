"""A worker that was not heard for a session does not speak any more."""

import pytest

from streams.agents import lease as module
from streams.agents.lease import Lease
from streams.errors import LostOwnership


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(module, "now_s", lambda: now[0])
    return now


def test_a_lease_holds_until_its_time_has_passed_since_the_last_answered_heartbeat(clock):
    lease = Lease(5)
    clock[0] = 104.9
    lease.check()
    assert lease.holds()
    clock[0] = 105.0

    assert not lease.holds()
    with pytest.raises(LostOwnership, match=r"no heartbeat was answered for 5\.0 s"):
        lease.check()


def test_an_answer_counts_from_when_its_heartbeat_was_sent(clock):
    lease = Lease(5)
    clock[0] = 104.0
    lease.renew(asked_s=101.0)
    clock[0] = 106.0

    with pytest.raises(LostOwnership):
        lease.check()


def test_an_answer_that_was_on_its_way_through_a_pause_renews_nothing(clock):
    lease = Lease(5)
    lease.renew(asked_s=103.0)
    clock[0] = 130.0
    lease.renew(asked_s=102.0)  # sent before the pause, read after it

    with pytest.raises(LostOwnership):
        lease.check()
