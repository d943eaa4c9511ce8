import pytest

from streams.demo.timing import Timing, percentiles


def released(*candidates: str, acknowledged_s: float = 10.0) -> Timing:
    timing = Timing()
    timing.announced("n1", "Paper Boats")
    timing.acknowledged("n1", acknowledged_s)
    timing.chosen("n1", candidates)
    return timing


def test_the_first_target_is_measured_from_the_acknowledgement_of_the_release():
    timing = released("ann", "bob", acknowledged_s=10.0)
    timing.targeted("n1", "ann", 10.25)
    timing.targeted("n1", "bob", 10.75)
    assert timing.first_target_ms() == [250.0]


def test_the_last_target_is_known_only_when_every_candidate_is_decided():
    timing = released("ann", "bob")
    timing.targeted("n1", "ann", 10.25)
    assert timing.last_target_ms() == [] and not timing.all_decided
    timing.suppressed("n1", "bob", "cooling-down", 10.5)
    assert timing.last_target_ms() == [500.0] and timing.all_decided


def test_a_suppression_is_the_last_word_about_a_listener_and_never_the_first_target():
    timing = released("ann")
    timing.suppressed("n1", "ann", "held-out", 10.1)
    assert timing.first_target_ms() == []
    assert timing.last_target_ms() == [pytest.approx(100.0)]
    assert timing.reasons == {"held-out": 1}


def test_candidates_that_are_seen_after_their_targets_count_as_well():
    timing = released()
    timing.targeted("n1", "ann", 10.5)
    assert not timing.all_decided
    timing.chosen("n1", ["ann"])
    assert timing.last_target_ms() == [500.0]


def test_a_second_copy_is_no_news_and_changes_no_time():
    timing = released("ann", "bob")
    assert timing.targeted("n1", "ann", 10.25)
    assert timing.suppressed("n1", "bob", "held-out", 10.5)
    assert not timing.targeted("n1", "ann", 99.0)
    assert not timing.suppressed("n1", "bob", "held-out", 99.0)
    assert timing.last_target_ms() == [500.0] and timing.reasons == {"held-out": 1}


def test_a_target_that_is_seen_before_the_acknowledgement_took_no_time():
    timing = Timing()
    timing.announced("n1", "Paper Boats")
    timing.chosen("n1", ["ann"])
    timing.targeted("n1", "ann", 10.0)
    timing.acknowledged("n1", 10.001)
    assert timing.first_target_ms() == [0.0]


def test_what_is_said_of_other_songs_is_left_out():
    timing = released("ann")
    assert not timing.targeted("old", "ann", 11.0)
    assert not timing.suppressed("old", "ann", "expired", 11.0)
    timing.chosen("old", ["ann"])
    timing.queried("old", 50, 5)
    assert [one.song_id for one in timing.releases] == ["n1"]


def test_percentiles_of_nothing_are_none():
    assert percentiles([]) == {"p50": None, "p99": None}
    assert percentiles([100.0, 200.0, 300.0]) == {"p50": 200.0, "p99": 298.0}
