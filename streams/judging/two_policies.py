"""Two policies over the same releases: their differences, and what chance could have done. Pure."""

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations

import numpy as np

from streams.judging.findings import Compared
from streams.judging.followed import Followed, column
from streams.judging.judge import Estimate
from streams.judging.measures import is_among
from streams.judging.significance import McNemar, Resampled, chance_of, holm, noticed_from
from streams.replay.choices import Floats

SURE = 0.05


def compared(policies: Mapping[str, Sequence[Followed]], resampled: Resampled, seed: int) -> tuple[Compared, ...]:
    pairs = list(combinations(policies, 2))
    differences = {
        (a, b): column(policies[a], lambda one: one.ranked.precision)
        - column(policies[b], lambda one: one.ranked.precision)
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
        return resampled.mean(column(ours, value_of) - column(theirs, value_of))

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
        noticed_from=noticed_from(precision),
        mcnemar=McNemar.of(only_first, only_second),
        better=better,
    )
