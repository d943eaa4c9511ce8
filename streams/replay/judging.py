"""From what was chosen and who played to what was found: every figure of a replay. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from math import isnan, nan
from typing import Any

import numpy as np

from streams.contracts.targets import Arm, Reason
from streams.replay.choices import ARM_ROWS, ARMS, BY_SCORE, REASON_ROWS, REASONS, Bools, Choice, Fixed, Floats, Ints
from streams.replay.findings import (
    SCHEMA,
    ArmFound,
    Artists,
    Beside,
    Bin,
    Caps,
    Catalogue,
    ChosenFor,
    Compared,
    Findings,
    Funnel,
    Group,
    LiftOverHoldOut,
    Listeners,
    PolicyFound,
    Quality,
    ReleaseFound,
    Reliability,
    Running,
    Truth,
    Window,
)
from streams.replay.judge import Estimate
from streams.replay.measures import Ranked, autocorrelation, effective_number, gini, is_among, tenths, wilson
from streams.replay.off_policy import OffPolicy, Told, off_policy, on_log
from streams.replay.significance import McNemar, Resampled, chance_of, holm
from streams.targeting.outcomes import lift_of

HOUR_MS = 3_600_000
WINDOWS, SHOWN, NEIGHBOURS_SHOWN = 20, 5, 5
FEW_RELEASES = 30
SURE = 0.05
NOTICED = 1.959963984540054 + 0.8416212335729143  # standard errors: found at 5 %, 8 times in 10
CAPS = (Reason.COOLING_DOWN, Reason.ROLLING_CAP, Reason.DAY_CAP)
EXPLORED, HELD_OUT = ARM_ROWS[Arm.EXPLORATION], ARM_ROWS[Arm.HOLD_OUT]


@dataclass(frozen=True, eq=False)
class Revealed:
    """Who played one release within the horizon; listeners in order, each once."""

    effective: Ints
    played: Ints  # effective or not
    delays_ms: Ints  # of the first effective play of each in `effective`
    answers: Ints  # 1: that play names a target, 0: it names none, -1: the log does not say


@dataclass(frozen=True, eq=False)
class Past:
    """A release whose horizon is over."""

    fixed: Fixed
    revealed: Revealed


@dataclass(frozen=True, eq=False)
class Followed:
    """One choice for one release, with what came of it."""

    past: Past
    choice: Choice

    @cached_property
    def is_effective(self) -> Bools:
        return is_among(self.choice.listeners, self.past.revealed.effective)

    @cached_property
    def by_score(self) -> Bools:
        of_arm: Bools = self.choice.arms == BY_SCORE
        return of_arm

    @cached_property
    def is_told(self) -> Bools:
        told: Bools = (self.choice.reasons == 0) & (self.choice.arms != HELD_OUT)
        return told

    @cached_property
    def places(self) -> int:
        """The budget without what was left to chance."""
        budget = self.choice.budget or self.past.fixed.budget
        return max(budget - int((self.choice.arms == EXPLORED).sum()), 0)

    @cached_property
    def ranked(self) -> Ranked:
        return Ranked.of(self.is_effective[self.by_score], self.places, len(self.past.revealed.effective))

    @cached_property
    def rivals(self) -> dict[str, Ranked]:
        revealed = self.past.revealed
        return {
            name: Ranked.of(
                is_among(rival.listeners[: self.places], revealed.effective), self.places, len(revealed.effective)
            )
            for name, rival in self.past.fixed.rivals.items()
        }

    @cached_property
    def chosen(self) -> int:
        return int((self.choice.arms != HELD_OUT).sum())

    @cached_property
    def effective_plays(self) -> int:
        return int((self.is_told & self.is_effective).sum())

    @cached_property
    def suppressed(self) -> Ints:
        return np.bincount(self.choice.reasons, minlength=len(REASONS))

    @cached_property
    def listeners_by_score(self) -> Ints:
        return self.choice.listeners[self.by_score]


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
    judged = {name: _policy(every, popularity, resampled, seed, listeners) for name, every in policies.items()}
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
        compared=_compared(policies, resampled, seed),
        logged=on_log(logged, Resampled(len(logged), seed)) if logged else None,
        per_release=tuple(
            _release(one, int(popularity[n]), {name: every[n] for name, every in policies.items()})
            for n, one in enumerate(past)
        ),
        notes=tuple(_notes(len(past), still_open, truth, judged)),
    )


# One policy


def _policy(
    every: Sequence[Followed], popularity: Ints, resampled: Resampled, seed: int, listeners: int
) -> PolicyFound:
    precision = _column(every, lambda one: one.ranked.precision)
    rivals = {name: _rival(every, name, precision, resampled, seed) for name in every[0].rivals}
    arms = {arm.value: _arm(every, row) for row, arm in enumerate(ARMS)}
    chosen, suppressed = sum(one.chosen for one in every), np.sum([one.suppressed for one in every], axis=0)
    capped = sum(int(suppressed[REASON_ROWS[reason]]) for reason in CAPS)
    best_first = np.argsort(-np.nan_to_num(precision, nan=-1.0), kind="stable")
    best_first = best_first[~np.isnan(precision[best_first])]
    return PolicyFound(
        quality=_quality([one.ranked for one in every], resampled),
        effective_plays=sum(one.effective_plays for one in every),
        effective_plays_per_release=resampled.mean(_column(every, lambda one: one.effective_plays)),
        rivals=rivals,
        funnel=_funnel(every),
        arms=arms,
        lift_over_hold_out=_over_hold_out(arms[Arm.TARGET], arms[Arm.HOLD_OUT]),
        suppressed=_by_reason(suppressed),
        caps=Caps(capped, capped / chosen if chosen else None),
        listeners=_listeners(every, listeners),
        catalogue=_catalogue(every),
        artists=_artists(every),
        groups=_groups(every, popularity, resampled),
        by_score=_bins(
            every, lambda one: one.choice.scores.astype(np.float64), lambda one: one.choice.arms != HELD_OUT
        ),
        by_rank=_bins(every, _rank_shares, lambda one: one.by_score),
        windows=_windows(every, seed),
        reliability=Reliability(_running(precision, seed), autocorrelation(precision)),
        best=tuple(every[n].past.fixed.song_id for n in best_first[:SHOWN]),
        worst=tuple(every[n].past.fixed.song_id for n in best_first[::-1][:SHOWN]),
        off_policy=_off_policy(every, seed),
    )


def _quality(ranked: Sequence[Ranked], resampled: Resampled, counts: Bools | None = None) -> Quality:
    def mean(values: Sequence[float]) -> Estimate | None:
        every = np.array(values, np.float64)
        return resampled.mean(every if counts is None else np.where(counts, every, nan))

    return Quality(
        releases=len(ranked) if counts is None else int(counts.sum()),
        precision=mean([one.precision for one in ranked]),
        recall=mean([one.recall for one in ranked]),
        ndcg=mean([one.ndcg for one in ranked]),
    )


def _rival(every: Sequence[Followed], name: str, precision: Floats, resampled: Resampled, seed: int) -> Beside:
    theirs = _column(every, lambda one: one.rivals[name].precision)
    return Beside(
        rival=_quality([one.rivals[name] for one in every], resampled),
        lift=resampled.ratio(precision, theirs),
        difference=resampled.mean(precision - theirs),
        p=chance_of(precision - theirs, seed),
        noticed_from=_noticed_from(precision - theirs),
    )


def _arm(every: Sequence[Followed], row: int) -> ArmFound:
    """Reached: nothing spoke against them; of the hold-out, nothing else."""
    held_out = REASON_ROWS[Reason.HELD_OUT]
    chosen = reached = plays = 0
    for one in every:
        of_arm = one.choice.arms == row
        is_reached = of_arm & (one.choice.reasons == (held_out if row == HELD_OUT else 0))
        chosen, reached = chosen + int(of_arm.sum()), reached + int(is_reached.sum())
        plays += int((is_reached & one.is_effective).sum())
    low, high = wilson(plays, reached)
    return ArmFound(chosen, reached, plays, plays / reached if reached else None, low, high)


def _over_hold_out(told: ArmFound, held_out: ArmFound) -> LiftOverHoldOut | None:
    lift = lift_of(
        plays=told.effective_plays,
        reached=told.reached,
        held_out_plays=held_out.effective_plays,
        held_out=held_out.reached,
    )
    return LiftOverHoldOut(*lift) if lift else None


def _funnel(every: Sequence[Followed]) -> Funnel:
    return Funnel(
        scored=sum(one.choice.scored for one in every),
        eligible=sum(one.choice.eligible for one in every),
        chosen=sum(one.chosen for one in every),
        sent=sum(int(one.is_told.sum()) for one in every),
        played=sum(
            int((one.is_told & is_among(one.choice.listeners, one.past.revealed.played)).sum()) for one in every
        ),
        effective=sum(one.effective_plays for one in every),
    )


def _listeners(every: Sequence[Followed], of: int) -> Listeners:
    told = [one.choice.listeners[one.is_told].astype(np.int64) for one in every]
    artists = [_artist(one) for one in every]
    numbers = {artist: n for n, artist in enumerate(dict.fromkeys(artists))}
    who = np.concatenate(told)
    by = np.repeat([numbers[artist] for artist in artists], [len(some) for some in told])
    targets = np.unique(who, return_counts=True)[1]
    distinct = len(np.unique(who * len(numbers) + by))
    return Listeners(
        told=len(targets),
        of=of,
        share=min(1.0, len(targets) / of) if of else None,
        most_targets=int(targets.max(initial=0)),
        gini=gini(targets),
        artists=distinct / len(targets) if len(targets) else None,
    )


def _catalogue(every: Sequence[Followed]) -> Catalogue:
    told = sum(bool(one.is_told.any()) for one in every)
    return Catalogue(len(every), told, sum(one.effective_plays > 0 for one in every), told / len(every))


def _artists(every: Sequence[Followed]) -> Artists:
    numbers = {artist: n for n, artist in enumerate(dict.fromkeys(_artist(one) for one in every))}
    of = np.array([numbers[_artist(one)] for one in every])
    targets = np.bincount(of, [int(one.is_told.sum()) for one in every], len(numbers))
    plays = np.bincount(of, [one.effective_plays for one in every], len(numbers))
    return Artists(
        released=len(numbers),
        effective_number_released=effective_number(np.bincount(of)),
        effective_number_of_targets=effective_number(targets),
        effective_number_of_plays=effective_number(plays),
    )


def _artist(one: Followed) -> str:
    """The first-named one; a song without any is its own."""
    fixed = one.past.fixed
    return fixed.artist_ids[0] if fixed.artist_ids else fixed.song_id


def _groups(every: Sequence[Followed], popularity: Ints, resampled: Resampled) -> tuple[Group, ...]:
    known = np.array([one.past.fixed.artist_plays > 0 for one in every])
    kinds = [("popularity", str(tenth), popularity == tenth) for tenth in np.unique(popularity).tolist()]
    kinds += [("artist", name, of) for name, of in (("known", known), ("new", ~known)) if of.any()]
    return tuple(
        Group(
            by,
            name,
            _quality([one.ranked for one in every], resampled, of),
            {rival: _quality([one.rivals[rival] for one in every], resampled, of) for rival in every[0].rivals},
        )
        for by, name, of in kinds
    )


def _bins(
    every: Sequence[Followed], values_of: Callable[[Followed], Floats], rows_of: Callable[[Followed], Bools]
) -> tuple[Bin, ...]:
    """Tenths of all choices by a value."""
    values = np.concatenate([values_of(one)[rows_of(one)] for one in every])
    hits = np.concatenate([one.is_effective[rows_of(one)] for one in every])
    tenth = tenths(values)
    bins = []
    for n in np.unique(tenth):
        of = tenth == n
        low, high = wilson(int(hits[of].sum()), int(of.sum()))
        bins.append(Bin(int(of.sum()), float(values[of].mean()), float(hits[of].mean()), low, high))
    return tuple(bins)


def _rank_shares(one: Followed) -> Floats:
    """Of each row by score its place in the list, between 0 (best) and 1; of other rows nothing is asked."""
    shares = np.zeros(len(one.choice))
    count = int(one.by_score.sum())
    shares[one.by_score] = (np.arange(count) + 0.5) / max(count, 1)
    return shares


def _windows(every: Sequence[Followed], seed: int) -> tuple[Window, ...]:
    windows = []
    for part in np.array_split(np.arange(len(every)), min(WINDOWS, len(every))):
        some = [every[n] for n in part]
        resampled = Resampled(len(some), seed)
        windows.append(
            Window(
                releases=len(some),
                from_ms=some[0].past.fixed.at_ms,
                to_ms=some[-1].past.fixed.at_ms,
                precision=resampled.mean(_column(some, lambda one: one.ranked.precision)),
                rivals={
                    name: resampled.mean(np.array([one.rivals[name].precision for one in some]))
                    for name in some[0].rivals
                },
            )
        )
    return tuple(windows)


def _running(precision: Floats, seed: int) -> tuple[Running, ...]:
    after = np.unique(np.linspace(1, len(precision), min(WINDOWS, len(precision))).round().astype(int))
    return tuple(Running(int(n), Resampled(int(n), seed).mean(precision[:n])) for n in after)


def _off_policy(every: Sequence[Followed], seed: int) -> OffPolicy | None:
    told = [
        Told.of(one.past.fixed.logged, one.listeners_by_score, one.past.revealed.effective)
        for one in every
        if one.past.fixed.logged is not None
    ]
    return off_policy(told, seed) if told else None


# Two policies


def _compared(policies: Mapping[str, Sequence[Followed]], resampled: Resampled, seed: int) -> tuple[Compared, ...]:
    pairs = list(combinations(policies, 2))
    differences = {
        (a, b): _column(policies[a], lambda one: one.ranked.precision)
        - _column(policies[b], lambda one: one.ranked.precision)
        for a, b in pairs
    }
    chances = {pair: chance_of(difference, seed) for pair, difference in differences.items()}
    adjusted = holm(chances)
    return tuple(
        _pair(a, b, policies[a], policies[b], differences[a, b], resampled, chances[a, b], adjusted[a, b])
        for a, b in pairs
    )


def _pair(
    first: str,
    second: str,
    ours: Sequence[Followed],
    theirs: Sequence[Followed],
    precision: Floats,
    resampled: Resampled,
    p: float,
    p_of_several: float,
) -> Compared:
    def difference(value_of: Callable[[Followed], float]) -> Estimate | None:
        return resampled.mean(_column(ours, value_of) - _column(theirs, value_of))

    both = either = only_first = only_second = 0
    for one, other in zip(ours, theirs, strict=True):
        a, b = np.sort(one.listeners_by_score), np.sort(other.listeners_by_score)
        shared = int(is_among(a, b).sum())
        both, either = both + shared, either + len(a) + len(b) - shared
        in_a, in_b = is_among(one.past.revealed.effective, a), is_among(one.past.revealed.effective, b)
        only_first, only_second = only_first + int((in_a & ~in_b).sum()), only_second + int((in_b & ~in_a).sum())
    found = resampled.mean(precision)
    better = None
    if found is not None and p_of_several < SURE and found.mean:
        better = first if found.mean > 0 else second
    return Compared(
        first=first,
        second=second,
        precision=found,
        recall=difference(lambda one: one.ranked.recall),
        ndcg=difference(lambda one: one.ranked.ndcg),
        effective_plays=difference(lambda one: one.effective_plays),
        same_choices=both / either if either else None,
        p=p,
        p_of_several=p_of_several,
        noticed_from=_noticed_from(precision),
        mcnemar=McNemar.of(only_first, only_second),
        better=better,
    )


def _noticed_from(differences: Floats) -> float | None:
    told = differences[~np.isnan(differences)]
    return NOTICED * float(told.std(ddof=1)) / len(told) ** 0.5 if len(told) > 1 else None


# The log itself


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
        suppressed=_by_reason(one.suppressed),
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
        if (found := one.reliability.autocorrelation) is not None and abs(found) > 0.3:
            notes.append(
                f"{name}: precision follows that of the release before ({found:.2f}); intervals are too narrow."
            )
    return notes


def _column(every: Sequence[Followed], value_of: Callable[[Followed], float]) -> Floats:
    return np.array([value_of(one) for one in every], np.float64)


def _by_reason(counts: Ints) -> dict[str, int]:
    return {reason.value: int(counts[row]) for row, reason in enumerate(REASONS) if reason is not None and counts[row]}


def _number(value: float) -> float | None:
    return None if isnan(value) else value
