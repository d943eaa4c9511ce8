"""The judge: what counts as truth, what is compared, and that the future changes nothing that is over."""

import json

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.contracts.queries import Neighbour
from streams.errors import NothingToJudge
from streams.judging.findings import Findings
from streams.judging.prequential import Choice, Fixed, Heard, Judge
from streams.judging.report import written
from streams.replay.choices import ARM_ROWS, REASON_ROWS
from streams.world.world import World, WorldSettings

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def choice(*listeners: int, reasons: dict[int, str] | None = None, arms: dict[int, str] | None = None) -> Choice:
    return Choice(
        np.array(listeners, np.int64),
        np.linspace(1, 0, len(listeners)),
        np.array([ARM_ROWS[(arms or {}).get(one, "target")] for one in listeners], np.int8),
        np.ones(len(listeners)),
        np.array([REASON_ROWS[reasons[one]] if one in (reasons or {}) else 0 for one in listeners], np.int8),
        eligible=10,
        scored=12,
        because=(Neighbour("near", 0.5),),
    )


def fixed(
    song: int, at_ms: int, budget: int = 4, *, policies=None, rival=(0, 1, 2, 3), plays_of_artist: int = 0
) -> Fixed:
    return Fixed(
        song, f"s{song}", at_ms, budget, (f"a{song % 2}",), plays_of_artist,
        policies or {"p": choice(1, 2, 3, 4)}, {"random": Choice.by_score(np.array(rival), np.zeros(len(rival)))},
    )  # fmt: skip


def heard(*plays: tuple[int, int, int], effective: bool = True) -> Heard:
    """(listener, song, played_ms)"""
    listeners, songs, played_ms = (np.array(column) for column in zip(*plays, strict=True))
    return Heard(listeners, songs, played_ms, np.full(len(plays), effective))


def only(found: Findings):
    return found.per_release[0].policies["p"]


def test_precision_recall_and_ndcg_of_one_release():
    judge = Judge(DAY_MS)
    judge.fixed(fixed(7, 0))
    judge.plays(heard((1, 7, 5), (3, 7, 6), (9, 7, 7), (3, 7, 8), (2, 8, 9)))
    one = only(judge.verdict(DAY_MS, 10))
    assert (one.precision, one.recall, one.rivals["random"]) == (0.5, pytest.approx(2 / 3), 0.5)
    assert one.ndcg == pytest.approx((1 + 1 / 2) / (1 + 1 / np.log2(3) + 1 / 2))


def test_a_play_counts_from_the_release_until_the_horizon_ends_and_not_a_moment_longer():
    judge = Judge(100)
    judge.fixed(fixed(0, 1_000))
    judge.plays(heard((1, 0, 999), (2, 0, 1_000), (3, 0, 1_099), (4, 0, 1_100)))
    assert only(judge.verdict(1_100, 10)).effective_plays == 2


def test_a_play_that_is_not_effective_is_seen_in_the_funnel_alone():
    judge = Judge(DAY_MS)
    judge.fixed(fixed(0, 0))
    judge.plays(heard((1, 0, 5), (2, 0, 5), effective=False))
    judge.plays(heard((2, 0, 9)))
    funnel = judge.verdict(DAY_MS, 10).policies["p"].funnel
    assert (funnel.scored, funnel.eligible, funnel.chosen, funnel.sent, funnel.played, funnel.effective) == (
        12, 10, 4, 4, 2, 1,
    )  # fmt: skip


def test_what_a_cap_took_away_is_judged_as_a_choice_and_not_as_a_target():
    judge = Judge(DAY_MS)
    arms = {3: "exploration", 4: "hold-out"}
    policy = choice(1, 2, 3, 4, reasons={2: "rolling-cap", 4: "held-out"}, arms=arms)
    judge.fixed(fixed(0, 0, budget=3, policies={"p": policy}))
    judge.plays(heard((2, 0, 1), (3, 0, 1), (4, 0, 1)))
    found = judge.verdict(DAY_MS, 10).policies["p"]
    assert found.quality.precision.mean == 0.5  # two places by score, and one of them played
    assert found.effective_plays == 1
    assert found.suppressed == {"rolling-cap": 1, "held-out": 1}
    assert (found.caps.hit, found.caps.share) == (1, pytest.approx(1 / 3))
    reached = {arm: (one.reached, one.effective_plays) for arm, one in found.arms.items()}
    assert reached == {"target": (1, 0), "exploration": (1, 1), "hold-out": (1, 1)}
    assert found.listeners.told == 2


def test_a_release_whose_horizon_is_not_over_is_open_and_one_that_comes_again_is_repeated():
    judge = Judge(DAY_MS)
    for song, at_ms in ((0, 0), (0, 5), (1, HOUR_MS)):
        judge.fixed(fixed(song, at_ms))
    found = judge.verdict(DAY_MS, 10)
    assert (found.releases, found.open, found.repeated) == (1, 1, 1)
    with pytest.raises(NothingToJudge, match="shorten the horizon"):
        judge.verdict(DAY_MS - 1, 10)


def test_releases_out_of_order_and_listeners_chosen_twice_are_refused():
    judge = Judge(DAY_MS)
    judge.fixed(fixed(0, 50))
    with pytest.raises(ValueError, match="in the order of time"):
        judge.fixed(fixed(1, 49))
    with pytest.raises(ValueError, match="1 listeners were chosen twice"):
        judge.fixed(fixed(1, 60, policies={"p": choice(1, 2, 2)}))


def test_what_was_fixed_is_not_changed_by_what_a_driver_does_to_its_columns_later():
    judge, listeners = Judge(DAY_MS), np.array([1, 2])
    policy = choice(1, 2)
    object.__setattr__(policy, "listeners", listeners)
    judge.fixed(fixed(0, 0, budget=2, policies={"p": policy}))
    judge.plays(heard((1, 0, 1)))
    listeners[:] = [8, 9]
    assert only(judge.verdict(DAY_MS, 10)).precision == 0.5


PLAYS = st.lists(
    st.tuples(st.integers(0, 9), st.integers(0, 5), st.integers(0, 1_000), st.booleans()), min_size=1, max_size=60
)


def judged(plays, until_ms: int, size: int = 1_000) -> Findings:
    """Releases at 0, 100 ... 500; each told before the plays that follow it, in blocks of some size."""
    judge = Judge(200)
    for song in range(6):
        if song * 100 <= until_ms:
            judge.fixed(fixed(song, song * 100))
    known = [one for one in sorted(plays, key=lambda one: one[2]) if one[2] <= until_ms]
    for start in range(0, len(known), size):
        listeners, songs, played_ms, effective = (
            np.array(each) for each in zip(*known[start : start + size], strict=True)
        )
        judge.plays(Heard(listeners, songs, played_ms, effective))
    return judge.verdict(until_ms, 10)


@settings(max_examples=30, deadline=None)
@given(PLAYS, st.integers(200, 800))
def test_the_log_going_on_changes_nothing_of_a_release_that_is_over(plays, until_ms):
    cut, whole = judged(plays, until_ms), judged(plays, 1_000)
    without_rank = [msgspec.structs.replace(one, popularity=0) for one in whole.per_release[: cut.releases]]
    assert [msgspec.structs.replace(one, popularity=0) for one in cut.per_release] == without_rank


@settings(max_examples=20, deadline=None)
@given(PLAYS, st.integers(1, 7))
def test_how_plays_are_cut_into_blocks_changes_nothing(plays, size):
    assert judged(plays, 1_000, size) == judged(plays, 1_000)


@pytest.fixture(scope="module")
def compared() -> Findings:
    """Four policies on the small world: two that are the same, one a little worse, and one whose crowds are random."""
    world = World(WorldSettings(listeners=800, songs=300, new_songs=30))
    rng, everyone, judge = np.random.default_rng(3), world.listeners(), Judge(DAY_MS)
    for n, row in enumerate(world.new_rows(30)):
        truth = world.truth_of(int(row), everyone)
        good = np.log(truth.probabilities) + rng.normal(size=800)
        rough, broken, random = good + rng.normal(size=800), rng.random(800), rng.random(800)
        first = {name: np.argsort(-of)[:60] for name, of in (("good", good), ("rough", rough), ("broken", broken))}
        policies = {name: Choice.by_score(of, -np.arange(60.0)) for name, of in first.items()}
        rival = Choice.by_score(np.argsort(-random)[:60], np.zeros(60))
        judge.fixed(
            Fixed(
                n, f"s{n}", n * HOUR_MS, 60, (f"a{n}",), n % 2, policies | {"twin": policies["good"]}, {"random": rival}
            )
        )
        who = np.flatnonzero(truth.would_like)
        judge.plays(Heard(who, np.full(len(who), n), n * HOUR_MS + rng.integers(0, DAY_MS, len(who)), who >= 0))
    return judge.verdict(3 * DAY_MS, 800)


def pair(found: Findings, first: str, second: str):
    return next(one for one in found.compared if {one.first, one.second} == {first, second})


def test_two_equal_policies_differ_in_nothing(compared):
    same = pair(compared, "good", "twin")
    assert (same.p, same.mcnemar.p, same.better, same.same_choices) == (1, 1, None, 1)
    assert (same.precision.low, same.precision.high) == (0, 0)


def test_random_crowds_are_found_worse(compared):
    worse = pair(compared, "good", "broken")
    assert worse.better == "good"
    assert worse.p_of_several < 0.01 and worse.mcnemar.p < 0.01
    assert worse.precision.low > 0


def test_a_policy_that_chooses_is_lifted_over_chance_and_a_broken_one_is_not(compared):
    good, broken = (compared.policies[name].rivals["random"] for name in ("good", "broken"))
    assert good.lift.low > 1 and good.p < 0.01
    assert broken.lift.low < 1 < broken.lift.high


def test_every_release_is_in_one_group_of_each_kind(compared):
    groups = compared.policies["good"].groups
    for by in ("popularity", "artist"):
        assert sum(one.policy.releases for one in groups if one.by == by) == compared.releases == 30


def test_the_report_for_machines_says_all_that_its_schema_says(compared):
    import jsonschema

    said = json.loads(msgspec.json.encode(compared))
    jsonschema.validate(said, msgspec.json.schema(Findings))
    assert msgspec.convert(said, Findings) == compared


def test_the_page_needs_nothing_but_itself_and_is_the_same_when_it_is_written_again(compared, tmp_path):
    machines, people = written(compared, tmp_path)
    page = people.read_text("utf-8")
    assert "http://" not in page and "https://" not in page and "<script" not in page
    assert page.count("data:image/svg+xml;base64,") == 2 + 3 * len(compared.policies)
    assert all(note in page for note in compared.notes)
    assert msgspec.json.decode(machines.read_bytes(), type=Findings).releases == compared.releases
    assert written(compared, tmp_path / "again")[1].read_text("utf-8") == page
