"""From what was chosen and who played to what was found: the report of a replay, but for its pictures. Pure."""

from collections.abc import Mapping, Sequence
from math import isnan
from typing import Any

import numpy as np

from streams.judging.findings import SCHEMA, ChosenFor, Findings, PolicyFound, ReleaseFound, Truth
from streams.judging.followed import Followed, Past, by_reason
from streams.judging.measures import tenths
from streams.judging.off_policy import on_log
from streams.judging.one_policy import policy_found
from streams.judging.significance import Resampled
from streams.judging.two_policies import compared

HOUR_MS = 3_600_000
NEIGHBOURS_SHOWN = 5
FEW_RELEASES = 30


def found(
    past: Sequence[Past],
    *,
    horizon_ms: int,
    until_ms: int,
    seed: int,
    still_open: int,
    repeated: int,
    listeners: int,
    run: Mapping[str, Any],
) -> Findings:
    resampled = Resampled(len(past), seed)
    popularity = tenths(np.array([len(one.revealed.effective) for one in past])) + 1
    policies = {name: [Followed(one, one.fixed.policies[name]) for one in past] for name in past[0].fixed.policies}
    judged = {name: policy_found(every, popularity, resampled, seed, listeners) for name, every in policies.items()}
    logged = [(one.fixed.logged, one.revealed.effective) for one in past if one.fixed.logged is not None]
    truth = _truth(past, horizon_ms)
    return Findings(
        schema=SCHEMA,
        run=dict(run),
        horizon_ms=horizon_ms,
        until_ms=until_ms,
        seed=seed,
        releases=len(past),
        open=still_open,
        repeated=repeated,
        truth=truth,
        policies=judged,
        compared=compared(policies, resampled, seed),
        logged=on_log(logged, Resampled(len(logged), seed)) if logged else None,
        per_release=tuple(
            _release(one, int(popularity[n]), {name: every[n] for name, every in policies.items()})
            for n, one in enumerate(past)
        ),
        notes=tuple(_notes(len(past), still_open, truth, judged)),
    )


def _truth(past: Sequence[Past], horizon_ms: int) -> Truth:
    delays = np.concatenate([one.revealed.delays_ms for one in past])
    answers = np.concatenate([one.revealed.answers for one in past])
    says = answers[answers >= 0]
    quantiles = np.quantile(delays, [0.5, 0.9, 0.99]) / HOUR_MS if len(delays) else []
    return Truth(
        effective_plays=len(delays),
        releases_without_plays=sum(not len(one.revealed.effective) for one in past),
        delay_h=dict(zip(("p50", "p90", "p99"), map(float, quantiles), strict=False)),
        in_the_last_tenth=float((delays >= 0.9 * horizon_ms).mean()) if len(delays) else None,
        answering_a_push=float(says.mean()) if len(says) else None,
    )


def _release(one: Past, popularity: int, policies: Mapping[str, Followed]) -> ReleaseFound:
    fixed = one.fixed
    return ReleaseFound(
        song_id=fixed.song_id,
        title=fixed.title,
        at_ms=fixed.at_ms,
        artist_ids=fixed.artist_ids,
        artist_plays=fixed.artist_plays,
        played_by=len(one.revealed.effective),
        popularity=popularity,
        policies={name: _chosen_for(followed) for name, followed in policies.items()},
    )


def _chosen_for(one: Followed) -> ChosenFor:
    return ChosenFor(
        places=one.places,
        chosen=one.chosen,
        sent=int(one.is_told.sum()),
        effective_plays=one.effective_plays,
        precision=_number(one.ranked.precision),
        recall=_number(one.ranked.recall),
        ndcg=_number(one.ranked.ndcg),
        rivals={name: _number(rival.precision) for name, rival in one.rivals.items()},
        suppressed=by_reason(one.suppressed),
        because=one.choice.because[:NEIGHBOURS_SHOWN],
    )


def _notes(releases: int, still_open: int, truth: Truth, policies: Mapping[str, PolicyFound]) -> list[str]:
    notes = []
    if releases < FEW_RELEASES:
        notes.append(f"{releases} releases are few: intervals over so few releases are a little too narrow.")
    if still_open:
        notes.append(f"{still_open} releases are left out, because the log ends before their horizon does.")
    if truth.releases_without_plays:
        notes.append(
            f"{truth.releases_without_plays} releases were not played by anybody: they count for precision with 0, "
            "and not at all for recall and NDCG."
        )
    if truth.answering_a_push:
        notes.append(
            f"{truth.answering_a_push:.0%} of effective plays answer a push of the recorded system. Its own "
            "choices had that help, others had not: against the recorded policy only off-policy values are fair."
        )
    else:
        notes.append(
            "No play is known to answer a push: a listener who would have played the song had they been told, and "
            "was not told, counts as missed. Differences between policies say more than the values themselves."
        )
    if truth.in_the_last_tenth is not None and truth.in_the_last_tenth > 0.05:
        notes.append(
            f"{truth.in_the_last_tenth:.0%} of the effective plays came in the last tenth of the horizon: "
            "a longer one would find more."
        )
    for name, one in policies.items():
        for rival, beside in one.rivals.items():
            if beside.lift is not None and beside.lift.low <= 1:
                said = "chose better than" if beside.lift.high < 1 else "cannot be told from"
                who, whom = (rival, name) if beside.lift.high < 1 else (name, rival)
                notes.append(f"{who} {said} {whom}: precision of {name} over that of {rival} is {beside.lift}.")
        if (found := one.reliability.autocorrelation) is not None and abs(found) > 0.3:
            notes.append(
                f"{name}: precision follows that of the release before ({found:.2f}); intervals are too narrow."
            )
    return notes


def _number(value: float) -> float | None:
    return None if isnan(value) else value
