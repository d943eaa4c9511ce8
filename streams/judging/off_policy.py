"""What another policy would have been worth, from targets that were logged with the chances by which they were chosen.

What is estimated: effective plays for each listener whom the other policy chooses by score, each release deciding with
what had been logged until then. To be chosen is what is valued: a target that caps or consent stop has no play, for
either policy. The lasting hold-out is left out of both.

A logged row tells of the other policy where both chose the listener. It counts 1 / propensity: the best of the logging
policy were certain (1), every other listener who was eligible had the chance slots / pool of being explored. So whom
the other policy chooses had a chance, but for listeners whose partition did not answer in time, or who were not
eligible; `overlap` is the part that had one, measured by what the weights add up to against what they should.

    IPS    sum of weight x play / choices           no bias where the overlap is 1; choices without a chance count as 0
    SNIPS  sum of weight x play / sum of weights    takes choices without a chance to be like the others
    DR     IPS of what a model did not foresee, and the model for every choice; the model: plays by tenth of the
           other policy's ranks, learned from the releases of other folds

Nothing is estimated from a log without exploration, where less than OVERLAP of the choices had a chance, or where the
weights leave the worth of fewer than EFFECTIVE rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from streams.contracts.targets import Arm
from streams.judging.judge import Estimate
from streams.judging.measures import is_among
from streams.judging.significance import Resampled
from streams.replay.choices import ARM_ROWS, BY_SCORE, Bools, Choice, Floats, Ints

OVERLAP, EFFECTIVE = 0.8, 1_000
FOLDS, TENTHS = 5, 10
_PRIOR_ROWS = 10  # so many rows of the overall rate are added to what the model has seen of a tenth
_TOO_MUCH = 1.05  # weights that certainly add up to more than this are no inverse chances


@dataclass(frozen=True, eq=False)
class Told:
    """One release: how many the other policy chooses, and of these the listeners whom the log told."""

    choices: int
    ranks: Ints  # among those choices, 0 is the best
    propensities: Floats  # with which the log chose them
    played: Bools  # after being told
    explores: bool  # the log chose somebody here by chance, whether or not the other policy would

    @classmethod
    def of(cls, logged: Choice, listeners: Ints, audience: Ints) -> "Told":
        """`listeners` are the other policy's choices, best first; `audience`, sorted, are those who played."""
        is_told = logged.arms != ARM_ROWS[Arm.HOLD_OUT]
        order = np.argsort(listeners, kind="stable")
        who = logged.listeners[is_told]
        both = is_among(who, listeners[order])
        ranks = order[np.searchsorted(listeners[order], who[both])]
        played = is_among(who[both], audience) & (logged.reasons[is_told][both] == 0)
        propensities = logged.propensities[is_told]
        explores = bool((propensities < 1).any())
        return cls(len(listeners), ranks, propensities[both].astype(np.float64), played, explores)


@dataclass(frozen=True)
class Support:
    """How much the log can say about the other policy."""

    releases: int
    choices: int  # of the other policy
    rows: int  # choices that the log told
    explored: int  # of these, told by chance
    overlap: float
    effective: float  # sample size: (sum of weights)^2 / sum of squared weights
    largest_weight: float

    @classmethod
    def of(cls, releases: Sequence[Told]) -> "Support":
        weights = _joined([1 / one.propensities for one in releases])
        choices, total = sum(one.choices for one in releases), float(weights.sum())
        return cls(
            releases=len(releases),
            choices=choices,
            rows=len(weights),
            explored=int((weights > 1).sum()),
            overlap=min(1.0, total / choices) if choices else 0.0,
            effective=total**2 / float((weights**2).sum()) if len(weights) else 0.0,
            largest_weight=float(weights.max(initial=0.0)),
        )


@dataclass(frozen=True)
class Value:
    """Effective plays for each choice."""

    ips: Estimate
    snips: Estimate
    dr: Estimate


@dataclass(frozen=True)
class OffPolicy:
    """A value, or why there is none."""

    support: Support
    value: Value | None
    refused: tuple[str, ...] = ()


def on_log(logged: Sequence[tuple[Choice, Ints]], resampled: Resampled) -> Estimate | None:
    """What the logging policy's own choices by score were worth: no weights, what was seen."""
    chosen, played = [], []
    for choice, audience in logged:
        by_score = choice.arms == BY_SCORE
        chosen.append(float(by_score.sum()))
        played.append(float((is_among(choice.listeners, audience) & by_score & (choice.reasons == 0)).sum()))
    return resampled.ratio(np.array(played), np.array(chosen))


def off_policy(releases: Sequence[Told], seed: int = 0) -> OffPolicy:
    support = Support.of(releases)
    for n, one in enumerate(releases):
        if not ((one.propensities > 0) & (one.propensities <= 1)).all():
            raise ValueError(f"release {n} was logged with propensities outside (0, 1]; `bcl record` the targets anew")
    refused = _refused(support, any(one.explores for one in releases))
    if refused:
        return OffPolicy(support, None, tuple(refused))
    resampled = Resampled(len(releases), seed)
    choices = np.array([one.choices for one in releases], np.float64)
    weights = np.array([(1 / one.propensities).sum() for one in releases])
    plays = np.array([(one.played / one.propensities).sum() for one in releases])
    total = resampled.ratio(weights, choices)
    ips, snips = resampled.ratio(plays, choices), resampled.ratio(plays, weights)
    dr = resampled.ratio(_doubly_robust(releases), choices)
    assert total and ips and snips and dr, "there is overlap, so there are choices and weights"
    if total.low > _TOO_MUCH:
        return OffPolicy(
            support,
            None,
            (
                f"the weights add up to {total.mean:.2f} [{total.low:.2f}, {total.high:.2f}] for each choice, wanted "
                f"at most 1: the propensities of this log are not the chances with which it chose",
            ),
        )
    return OffPolicy(support, Value(ips, snips, dr))


def _refused(support: Support, explores: bool) -> list[str]:
    reasons = []
    if not explores:
        reasons.append(
            "the log has no exploration: every target in it was certain, so nothing is known of other choices; "
            "record one with selection.exploration_share above 0"
        )
    if support.overlap < OVERLAP:
        reasons.append(
            f"overlap is {support.overlap:.2f}, wanted at least {OVERLAP}: only so large a part of this policy's "
            "choices could have been told in the log; explore more, or compare a policy that is nearer"
        )
    if support.effective < EFFECTIVE:
        reasons.append(
            f"the effective sample size is {support.effective:,.0f}, wanted at least {EFFECTIVE:,}: "
            f"{support.rows:,} rows with weights up to {support.largest_weight:,.0f}; record for longer or explore more"
        )
    return reasons


def _doubly_robust(releases: Sequence[Told]) -> Floats:
    """For each release the plays that the model foresees for all choices, and what it missed where the log can tell."""
    fold = np.arange(len(releases)) % FOLDS
    release = np.repeat(np.arange(len(releases)), [len(one.ranks) for one in releases])
    tenth = _joined([one.ranks * TENTHS // max(one.choices, 1) for one in releases]).astype(np.int64)
    weights = _joined([1 / one.propensities for one in releases])
    plays = _joined([one.played for one in releases])
    cell = fold[release] * TENTHS + tenth
    seen = np.bincount(cell, weights, FOLDS * TENTHS).reshape(FOLDS, TENTHS)
    found = np.bincount(cell, weights * plays, FOLDS * TENTHS).reshape(FOLDS, TENTHS)
    seen, found = seen.sum(axis=0) - seen, found.sum(axis=0) - found  # of all other folds
    overall = found.sum(axis=1, keepdims=True) / np.maximum(seen.sum(axis=1, keepdims=True), 1e-12)
    prior = _PRIOR_ROWS * float(weights.mean())
    rate = (found + prior * overall) / (seen + prior)  # (FOLDS, TENTHS)
    sizes = np.array([np.bincount(np.arange(k) * TENTHS // max(k, 1), minlength=TENTHS) for k in _choices(releases)])
    foreseen = (sizes * rate[fold]).sum(axis=1)
    missed = np.bincount(release, weights * (plays - rate[fold[release], tenth]), len(releases))
    worth: Floats = foreseen + missed
    return worth


def _choices(releases: Sequence[Told]) -> list[int]:
    return [one.choices for one in releases]


def _joined(columns: Sequence[Ints | Floats | Bools]) -> Floats:
    return np.concatenate([np.asarray(column, np.float64) for column in columns]) if columns else np.zeros(0)
