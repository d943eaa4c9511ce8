"""report.json is what its schema says, before and after it is written; the page and the terminal say the same."""

import json

import jsonschema
import msgspec
import numpy as np
import pytest

from streams.judging.findings import Findings
from streams.judging.prequential import Judge
from streams.judging.report import SCHEMA_FILE, plain, schema, text, written
from streams.replay.choices import ARM_ROWS, REASON_ROWS, Choice, Fixed, Heard

DAY_MS = 86_400_000
LISTENERS, RELEASES, BUDGET = 400, 12, 40


def admitted(listeners: np.ndarray) -> Choice:
    """The last ones are explored, every fifth is suppressed."""
    arms = np.where(np.arange(BUDGET) < BUDGET - 10, ARM_ROWS["target"], ARM_ROWS["exploration"])
    chances = np.where(arms == ARM_ROWS["exploration"], 10 / (LISTENERS - 30), 1.0)
    reasons = np.where(np.arange(BUDGET) % 5 == 0, REASON_ROWS["day-cap"], 0)
    return Choice(listeners, np.linspace(1, 0, BUDGET), arms, chances, reasons, eligible=390, scored=LISTENERS)


@pytest.fixture(scope="module")
def found() -> Findings:
    judge, rng = Judge(DAY_MS), np.random.default_rng(5)
    for n in range(RELEASES):
        likes = rng.random(LISTENERS) < 0.15
        guess = np.argsort(-(likes + rng.normal(size=LISTENERS)))[:BUDGET]
        choice, other = admitted(guess), admitted(rng.permutation(LISTENERS)[:BUDGET])
        rival = Choice.by_score(rng.permutation(LISTENERS)[:BUDGET], np.zeros(BUDGET))
        artists = (f"a{n % 4}",) if n else ()
        policies = {"a<b>": choice, "other": other}
        judge.fixed(
            Fixed(n, f"s{n}", n, BUDGET, artists, n % 3, policies, {"random": rival}, logged=choice, title="<i>")
        )
        who = np.flatnonzero(likes)
        judge.plays(Heard(who, np.full(len(who), n), n + rng.integers(0, DAY_MS, len(who)), who >= 0, who % 2 == 0))
    return judge.verdict(2 * DAY_MS, LISTENERS, {"damaged_lines": 2, "damaged": ["one", "two"]})


def test_the_schema_file_is_that_of_the_findings():
    """If not, and fields were only added: write `streams.judging.report.schema()` to SCHEMA_FILE."""
    assert SCHEMA_FILE.read_bytes() == schema()


def test_what_is_written_is_what_the_schema_says(found, tmp_path):
    said = json.loads(written(found, tmp_path)[0].read_bytes())
    validator = jsonschema.Draft202012Validator(json.loads(SCHEMA_FILE.read_bytes()))
    validator.validate(said)
    assert said == plain(found)
    for name in ("releases", "policies", "truth", "run"):
        assert list(validator.iter_errors({key: value for key, value in said.items() if key != name}))
    said["policies"]["other"]["quality"]["releases"] = "many"
    assert list(validator.iter_errors(said))


def test_figures_add_up(found):
    for policy in found.policies.values():
        funnel, arms = policy.funnel, policy.arms
        assert funnel.chosen == BUDGET * RELEASES == sum(arm.chosen for arm in arms.values())
        assert funnel.chosen - funnel.sent == policy.caps.hit == policy.suppressed["day-cap"]
        assert funnel.effective == policy.effective_plays == sum(arm.effective_plays for arm in arms.values())
        assert sum(one.choices for one in policy.by_rank) == (BUDGET - 10) * RELEASES
        assert sum(one.releases for one in policy.windows) == RELEASES
    assert found.truth.effective_plays == sum(one.played_by for one in found.per_release)
    assert sum(one.policies["other"].effective_plays for one in found.per_release) == (
        found.policies["other"].effective_plays
    )


def test_the_terminal_and_the_page_name_policies_and_figures_and_no_markup_of_others(found, tmp_path):
    shown, page = text(found), written(found, tmp_path)[1].read_text("utf-8")
    quality = found.policies["a<b>"].quality
    for figure in (quality.precision, quality.recall, quality.ndcg):
        assert str(figure) in shown and str(figure) in page
    assert "a<b>" in shown and "a&lt;b&gt;" in page and "a<b>" not in page and "<i>" not in page
    assert "one; two" in page and all(note in shown for note in found.notes)
    assert "off-policy" in shown and "caps hit" in shown


def test_what_a_reader_gets_back_is_what_was_found_but_for_digits(found, tmp_path):
    again = msgspec.json.decode(written(found, tmp_path)[0].read_bytes(), type=Findings)
    assert again.compared[0].precision.mean == pytest.approx(found.compared[0].precision.mean, rel=1e-5)
    assert again.per_release[3].song_id == "s3" and again.notes == found.notes
