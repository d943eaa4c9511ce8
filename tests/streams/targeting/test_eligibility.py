"""Every reason, in its order; quiet hours and calendar days where clocks change; caps that nothing exceeds."""

from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streams.contracts.ids import key_of
from streams.contracts.targets import Arm, Reason
from streams.contracts.topics import DAY_MS, HOUR_MS
from streams.errors import BadSettings
from streams.targeting.eligibility import (
    Listener,
    check,
    due_ms,
    end_of_quiet_ms,
    is_erased,
    is_held_out,
    local_day_ms,
    most_in_a_window,
    reason_to_suppress,
    zone,
    zone_of,
)
from streams.targeting.exposure import Exposure, Push, decoded, with_push
from tests.builders.contracts import NOW, listener_settings, night
from tests.builders.targeting import admission

SONG = key_of("new")
ZONES = [
    "UTC",
    "Europe/Rome",
    "America/New_York",
    "America/Sao_Paulo",  # once changed clocks at midnight
    "Africa/Cairo",  # does
    "America/Havana",  # repeats midnight
    "Asia/Kathmandu",  # +05:45
    "Australia/Lord_Howe",  # changes by half an hour
    "Pacific/Apia",  # once left out a day
]


def told(*times_ms: int, arm: Arm = Arm.TARGET, songs: int = 100, limits=None) -> Exposure:
    exposure = Exposure()
    for n, time_ms in enumerate(times_ms):
        exposure = decoded(with_push(exposure, Push(songs + n, time_ms, time_ms, arm), limits or admission()))
    return exposure


def listener(**more) -> Listener:
    facts = {"settings": None, "erased_ms": None, "heard": False, "held_out": False, "exposure": Exposure()}
    return Listener(**(facts | more))


def reason(who: Listener, limits=None, *, at: int = NOW, expires: int = NOW + 3 * DAY_MS) -> Reason | None:
    limits = limits or admission()
    return reason_to_suppress(SONG, who, limits, now_ms=at, due_ms=at, expires_ms=expires)


def moment(zone_name: str, *when: int, fold: int = 0) -> int:
    return int(datetime(*when, fold=fold, tzinfo=ZoneInfo(zone_name)).timestamp() * 1_000)


def test_who_nothing_speaks_against_is_told():
    assert reason(listener()) is None


# From the last reason to the first: each listener has all that follow as well.
EVERYTHING = {
    Reason.EXPIRED: {"held_out": True},
    Reason.UNKNOWN_ZONE: {"settings": listener_settings(time_zone="Mars/Olympus")},
    Reason.ROLLING_CAP: {"exposure": told(NOW - 9 * HOUR_MS, NOW - 8 * HOUR_MS)},
    Reason.COOLING_DOWN: {"exposure": told(NOW - 9 * HOUR_MS, NOW - 1)},
    Reason.ALREADY_HEARD: {"heard": True},
    Reason.ALREADY_PUSHED: {"exposure": told(NOW - 9 * HOUR_MS, NOW - 1, songs=SONG - 1)},
    Reason.NO_CONSENT: {"settings": listener_settings(consent=False, time_zone="Mars/Olympus")},
    Reason.ERASED: {"erased_ms": NOW},
}


def test_reasons_are_asked_in_their_order():
    limits = admission(unknown_zone="suppress", cooldown_h=4.0, rolling_h=24.0, rolling_cap=2)
    facts = {"settings": listener_settings(time_zone="Europe/Rome")}
    found = []
    for more in EVERYTHING.values():
        facts |= more
        found.append(reason(listener(**facts), limits, expires=NOW))

    assert found == list(EVERYTHING)
    order = list(Reason)
    assert [order.index(one) for one in found] == sorted((order.index(one) for one in found), reverse=True)


def test_who_is_kept_aside_is_held_out_only_where_nothing_else_speaks_against_them():
    assert reason(listener(held_out=True)) is Reason.HELD_OUT
    assert reason(listener(held_out=True, heard=True)) is Reason.ALREADY_HEARD


def test_the_day_cap_is_asked_before_the_expiry():
    who = listener(exposure=told(NOW - 5 * HOUR_MS))

    assert reason(who, admission(day_cap=1), expires=NOW) is Reason.DAY_CAP


def test_without_a_word_of_the_listener_the_default_decides_on_consent():
    assert reason(listener(), admission(consent_by_default=False)) is Reason.NO_CONSENT
    assert reason(listener(settings=listener_settings()), admission(consent_by_default=False)) is None


def test_who_was_erased_is_told_again_only_after_a_later_consent():
    assert is_erased(None, NOW)
    assert is_erased(listener_settings(at=NOW), NOW)
    assert is_erased(listener_settings(at=NOW + 1, consent=False), NOW)
    assert not is_erased(listener_settings(at=NOW + 1), NOW)
    assert not is_erased(None, None)


def test_the_hold_out_is_a_lasting_share_of_all_listeners():
    """20,000 draws at 5 %: a standard deviation is 31."""
    names = [f"l{n}" for n in range(20_000)]

    def held_out(limits):
        return {name for name in names if is_held_out(name, limits)}

    first = held_out(admission(hold_out_share=0.05))

    assert abs(len(first) - 1_000) < 125
    assert first < held_out(admission(hold_out_share=0.1))
    assert len(first & held_out(admission(hold_out_share=0.05, hold_out_salt="other"))) < 100


@pytest.mark.parametrize(("share", "held_out"), [(0.0, False), (1.0, True)])
def test_nobody_or_everybody_is_held_out_at_the_ends_of_the_share(share, held_out):
    limits = admission(hold_out_share=share)

    assert {is_held_out(f"l{n}", limits) for n in range(100)} == {held_out}


def test_cooling_down_ends_with_the_last_moment_of_the_cool_down():
    limits = admission(cooldown_h=4.0)

    assert reason(listener(exposure=told(NOW - 4 * HOUR_MS + 1)), limits) is Reason.COOLING_DOWN
    assert reason(listener(exposure=told(NOW - 4 * HOUR_MS)), limits) is None


def test_a_push_that_is_put_off_cools_down_what_would_come_too_close_to_it():
    limits = admission(cooldown_h=4.0)

    assert reason(listener(exposure=told(NOW + 3 * HOUR_MS)), limits) is Reason.COOLING_DOWN
    assert reason(listener(exposure=told(NOW + 4 * HOUR_MS)), limits) is None


def test_a_cap_of_none_tells_nobody():
    assert reason(listener(), admission(rolling_cap=0)) is Reason.ROLLING_CAP
    assert reason(listener(), admission(day_cap=0)) is Reason.DAY_CAP


def test_a_memory_full_of_pushes_that_still_count_takes_no_other():
    limits = admission(keep_pushes=2, rolling_cap=2, day_cap=2, rolling_h=24.0)
    announced = told(NOW + 5 * DAY_MS, NOW + 9 * DAY_MS, limits=limits)

    assert reason(listener(exposure=announced), limits) is Reason.ROLLING_CAP
    assert reason(listener(exposure=announced), admission(keep_pushes=3)) is None


def test_the_day_is_that_of_the_listener():
    at = moment("Asia/Tokyo", 2024, 5, 2, 0, 30)
    before = told(moment("Asia/Tokyo", 2024, 5, 1, 23, 30))
    limits = admission(day_cap=1)

    in_tokyo = reason(
        listener(exposure=before, settings=listener_settings(time_zone="Asia/Tokyo")), limits, at=at, expires=at + 1
    )
    in_utc = reason(
        listener(exposure=before, settings=listener_settings(time_zone="UTC")), limits, at=at, expires=at + 1
    )

    assert (in_tokyo, in_utc) == (None, Reason.DAY_CAP)


@pytest.mark.parametrize(
    "name", ["Mars/Olympus", "../etc/passwd", "/etc/localtime", "America", "", "\0", "x" * 256, "é"]
)
def test_a_zone_that_is_none_is_unknown(name):
    assert zone(name) is None


def test_an_unknown_zone_is_guessed_or_the_listener_is_not_told_as_settings_want():
    somewhere, nowhere = listener_settings(time_zone="Mars/Olympus"), listener_settings()
    for who in (somewhere, nowhere, None):
        assert zone_of(who, admission(unknown_zone="Asia/Tokyo")) is ZoneInfo("Asia/Tokyo")
        assert zone_of(who, admission(unknown_zone="suppress")) is None
    assert reason(listener(settings=somewhere), admission(unknown_zone="suppress")) is Reason.UNKNOWN_ZONE


def test_a_push_in_the_night_waits_for_the_morning():
    limits = admission(quiet_from_minute=22 * 60, quiet_to_minute=8 * 60)
    rome = listener_settings(time_zone="Europe/Rome")

    morning = moment("Europe/Rome", 2024, 5, 2, 8, 0)
    assert due_ms(moment("Europe/Rome", 2024, 5, 1, 22, 0), rome, limits) == morning
    assert due_ms(moment("Europe/Rome", 2024, 5, 2, 3, 0), rome, limits) == morning
    assert due_ms(morning, rome, limits) == morning
    assert due_ms(morning - 1, rome, limits) == morning
    noon = moment("Europe/Rome", 2024, 5, 2, 12, 0)
    assert due_ms(noon, rome, limits) == noon


def test_the_listeners_own_quiet_hours_come_before_those_of_the_settings():
    limits = admission(quiet_from_minute=22 * 60, quiet_to_minute=8 * 60)
    siesta = listener_settings(time_zone="Europe/Rome", quiet_hours=night(13 * 60, 15 * 60))
    at = moment("Europe/Rome", 2024, 5, 2, 13, 30)

    assert due_ms(at, siesta, limits) == moment("Europe/Rome", 2024, 5, 2, 15, 0)
    midnight = moment("Europe/Rome", 2024, 5, 2, 0, 0)
    assert due_ms(midnight, siesta, limits) == midnight


def test_equal_quiet_hours_are_none():
    rome = listener_settings(time_zone="Europe/Rome", quiet_hours=night(480, 480))

    assert due_ms(NOW, rome, admission()) == NOW


def test_quiet_hours_end_an_hour_earlier_or_later_where_clocks_change_at_night():
    # Europe/Rome: 2024-03-31 has 23 hours, 2024-10-27 has 25.
    rome = ZoneInfo("Europe/Rome")
    for day, hours in (((2024, 3, 30), 9), ((2024, 10, 26), 11), ((2024, 5, 1), 10)):
        evening = moment("Europe/Rome", *day, 22, 0)
        assert end_of_quiet_ms(evening, rome, 22 * 60, 8 * 60) - evening == hours * HOUR_MS


def test_an_end_that_clocks_skip_is_as_long_after_the_change_as_it_would_have_been():
    rome = ZoneInfo("Europe/Rome")
    at = moment("Europe/Rome", 2024, 3, 31, 1, 0)

    assert end_of_quiet_ms(at, rome, 0, 150) == moment("Europe/Rome", 2024, 3, 31, 3, 30)  # 02:30 is not on the clock


def test_an_end_that_clocks_show_twice_is_the_first_that_is_still_to_come():
    rome = ZoneInfo("Europe/Rome")
    first, second = (moment("Europe/Rome", 2024, 10, 27, 2, 30, fold=fold) for fold in (0, 1))

    assert second - first == HOUR_MS
    assert end_of_quiet_ms(first - 1, rome, 0, 150) == first
    assert end_of_quiet_ms(first + 45 * 60_000, rome, 0, 150) == second  # 02:15 again


def is_quiet(at_ms: int, here: ZoneInfo, from_minute: int, to_minute: int) -> bool:
    local = datetime.fromtimestamp(at_ms / 1_000, here)
    minute = local.hour * 60 + local.minute
    if from_minute <= to_minute:
        return from_minute <= minute < to_minute
    return not to_minute <= minute < from_minute


@given(
    st.sampled_from(ZONES),
    st.datetimes(datetime(2010, 1, 1), datetime(2030, 1, 1)),
    st.integers(0, 1_439),
    st.integers(0, 1_439),
)
@example("America/New_York", datetime(2024, 3, 10, 6, 30), 165, 150)  # the only minutes that are not quiet are skipped
@example("America/New_York", datetime(2024, 3, 10, 6, 30), 200, 160)
@example("America/New_York", datetime(2024, 3, 10, 6, 30), 200, 130)
@settings(max_examples=300)
def test_quiet_hours_end_at_the_first_moment_that_is_not_quiet(name, when, from_minute, to_minute):
    here = ZoneInfo(name)
    at_ms = int((when - datetime(1970, 1, 1)) / timedelta(milliseconds=1))

    end = end_of_quiet_ms(at_ms, here, from_minute, to_minute)

    assert end >= at_ms and not is_quiet(end, here, from_minute, to_minute)
    if not is_quiet(at_ms, here, from_minute, to_minute):
        assert end == at_ms
        return
    minutes = range(at_ms - at_ms % 60_000 + 60_000, end, 60_000)
    early = next((one for one in minutes if not is_quiet(one, here, from_minute, to_minute)), None)
    if early is not None:  # only where clocks skip the end of that day's quiet hours
        day = datetime.fromtimestamp(early / 1_000, here).date()
        wall = datetime.combine(day, time(to_minute // 60, to_minute % 60), here)
        assert wall.astimezone(UTC).astimezone(here).time() != wall.time()


@given(st.sampled_from(ZONES), st.integers(1_262_304_000, 1_893_456_000), st.integers(0, 26 * 3_600))
@settings(max_examples=300)
def test_a_local_day_holds_the_moments_of_its_date_and_no_others(name, at_s, later_s):
    here = ZoneInfo(name)
    start, end = local_day_ms(at_s * 1_000, here)
    other_ms = (at_s + later_s) * 1_000

    same = datetime.fromtimestamp(at_s, here).date() == datetime.fromtimestamp(at_s + later_s, here).date()

    assert start <= at_s * 1_000 < end
    assert (start <= other_ms < end) == same


@pytest.mark.parametrize(
    ("name", "day", "hours"),
    [
        ("Europe/Rome", (2024, 3, 31), 23),
        ("Europe/Rome", (2024, 10, 27), 25),
        ("America/Sao_Paulo", (2018, 11, 4), 23),  # begins at 01:00
        ("America/Sao_Paulo", (2018, 2, 17), 25),  # ends with 23:00 twice
        ("Africa/Cairo", (2024, 4, 26), 23),
        ("Australia/Lord_Howe", (2024, 4, 7), 24.5),
        ("Pacific/Apia", (2011, 12, 29), 24),  # the 31st follows
    ],
)
def test_a_day_is_as_long_as_clocks_say(name, day, hours):
    start, end = local_day_ms(moment(name, *day, 12), ZoneInfo(name))

    assert (end - start) / HOUR_MS == hours


@given(st.lists(st.integers(0, 60), max_size=12), st.integers(0, 60), st.integers(0, 30))
def test_the_fullest_window_equals_a_count_over_all_windows(times, at, window):
    windows = [
        range(start, start + window) for start in range(at - window, at + 1) if at in range(start, start + window)
    ]
    slow = max((sum(one in span for one in times) for span in windows), default=0)

    assert most_in_a_window(sorted(times), at, window) == slow + 1


@st.composite
def limits_of_a_listener(draw):
    return admission(
        cooldown_h=draw(st.sampled_from([0.0, 1.0, 4.0])),
        rolling_h=draw(st.sampled_from([6.0, 24.0, 72.0])),
        rolling_cap=draw(st.integers(0, 4)),
        day_cap=draw(st.integers(0, 3)),
        keep_pushes=draw(st.integers(4, 12)),
        quiet_from_minute=draw(st.integers(0, 1_439)),
        quiet_to_minute=draw(st.integers(0, 1_439)),
    )


@given(
    limits_of_a_listener(),
    st.sampled_from(ZONES),
    st.lists(
        st.tuples(st.integers(0, 12 * 24), st.sampled_from([0, 0, 0, 30, 24 * 5]), st.integers(0, 5)),
        min_size=1,
        max_size=60,
    ),
    st.integers(0, 6),
)
@settings(max_examples=200)
def test_no_cap_is_ever_exceeded(limits, name, offers, disorder_h):
    """Hours of decision, up to `disorder_h` out of order, some with a release that is announced early."""
    here = ZoneInfo(name)
    who = listener_settings(time_zone=name)
    exposure, sent = Exposure(), []
    for n, (hour, ahead_h, late_h) in enumerate(sorted(offers, key=lambda offer: offer[0])):
        decided = NOW + (hour - min(late_h, disorder_h)) * HOUR_MS
        due = due_ms(decided + ahead_h * HOUR_MS, who, limits)
        known = listener(settings=who, exposure=exposure)
        refused = reason_to_suppress(n, known, limits, now_ms=decided, due_ms=due, expires_ms=due + 1)
        if refused is None:
            sent.append(due)
            exposure = decoded(with_push(exposure, Push(n, decided, due, Arm.TARGET), limits))

    sent.sort()
    assert all(later - one >= limits.cooldown_h * HOUR_MS for one, later in pairwise(sent))
    for start in sent:
        assert sum(start <= one < start + limits.rolling_h * HOUR_MS for one in sent) <= limits.rolling_cap
    days = [datetime.fromtimestamp(one / 1_000, here).date() for one in sent]
    assert all(days.count(day) <= limits.day_cap for day in days)
    assert not any(is_quiet(one, here, limits.quiet_from_minute, limits.quiet_to_minute) for one in sent)
    assert len(exposure.due_ms) <= limits.keep_pushes


@pytest.mark.parametrize(
    ("key", "value"),
    [("unknown_zone", "Mars/Olympus"), ("keep_pushes", 49), ("keep_pushes_days", 1.0), ("rolling_h", 24.0 * 91)],
)
def test_settings_that_would_forget_a_cap_before_it_ends_are_refused(key, value):
    with pytest.raises(BadSettings, match=r"\[admission\]"):
        check(admission(**{key: value}))
    check(admission())
