"""Every figure of one policy over all judged releases. Pure."""

from collections.abc import Callable, Sequence
from math import nan

import numpy as np

from streams.contracts.targets import Arm, Reason
from streams.judging.findings import (
    ArmFound,
    Artists,
    Beside,
    Bin,
    Caps,
    Catalogue,
    Funnel,
    Group,
    LiftOverHoldOut,
    Listeners,
    PolicyFound,
    Quality,
    Reliability,
    Running,
    Window,
)
from streams.judging.followed import HELD_OUT, Followed, by_reason, column
from streams.judging.judge import Estimate
from streams.judging.measures import Ranked, autocorrelation, effective_number, gini, is_among, tenths, wilson
from streams.judging.off_policy import OffPolicy, Told, off_policy
from streams.judging.significance import Resampled, chance_of, noticed_from
from streams.replay.choices import ARMS, REASON_ROWS, Bools, Floats, Ints
from streams.targeting.outcomes import lift_of

WINDOWS, RELEASES_PER_WINDOW, SHOWN = 20, 5, 5
CAPS = (Reason.COOLING_DOWN, Reason.ROLLING_CAP, Reason.DAY_CAP)


def policy_found(
    every: Sequence[Followed], popularity: Ints, resampled: Resampled, seed: int, listeners: int
) -> PolicyFound:
    precision = column(every, lambda one: one.ranked.precision)
    rivals = {name: _rival(every, name, precision, resampled, seed) for name in every[0].rivals}
    arms = {arm.value: _arm(every, row) for row, arm in enumerate(ARMS)}
    chosen, suppressed = sum(one.chosen for one in every), np.sum([one.suppressed for one in every], axis=0)
    capped = sum(int(suppressed[REASON_ROWS[reason]]) for reason in CAPS)
    best_first = np.argsort(-np.nan_to_num(precision, nan=-1.0), kind="stable")
    best_first = best_first[~np.isnan(precision[best_first])]
    return PolicyFound(
        quality=_quality([one.ranked for one in every], resampled),
        effective_plays=sum(one.effective_plays for one in every),
        effective_plays_per_release=resampled.mean(column(every, lambda one: one.effective_plays)),
        rivals=rivals,
        funnel=_funnel(every),
        arms=arms,
        lift_over_hold_out=_over_hold_out(arms[Arm.TARGET], arms[Arm.HOLD_OUT]),
        suppressed=by_reason(suppressed),
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
    theirs = column(every, lambda one: one.rivals[name].precision)
    return Beside(
        rival=_quality([one.rivals[name] for one in every], resampled),
        lift=resampled.ratio(precision, theirs),
        difference=resampled.mean(precision - theirs),
        p=chance_of(precision - theirs, seed),
        noticed_from=noticed_from(precision - theirs),
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
    for part in np.array_split(np.arange(len(every)), min(WINDOWS, -(-len(every) // RELEASES_PER_WINDOW))):
        some = [every[n] for n in part]
        resampled = Resampled(len(some), seed)
        windows.append(
            Window(
                releases=len(some),
                from_ms=some[0].past.fixed.at_ms,
                to_ms=some[-1].past.fixed.at_ms,
                precision=resampled.mean(column(some, lambda one: one.ranked.precision)),
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
