"""Who is chosen for a release: the best of all answers, a share of the budget left to chance, and the hold-out. Pure.

Propensity is the chance with which selection gives a listener their arm, the lasting hold-out taken as it is: 1 for the
best and for the hold-out, which follow from the scores, and slots / pool for exploration. The pool is everybody who was
eligible and is not among the best of the release, and all of them have that one chance: those with the lowest draws are
explored. An answer holds the lowest draws outside its own best; for those of its best that got no place they are drawn
here, from the same names.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from streams.contracts.ids import keys_of, seed_of, unit_draws
from streams.contracts.queries import AudienceAnswer, Candidates
from streams.contracts.targets import Arm


@dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    """Columns of equal length: the targets best first, then exploration, then the hold-out."""

    listener_ids: NDArray[np.object_]
    partitions: NDArray[np.int64]
    scores: NDArray[np.float32]
    crowds: NDArray[np.uint8]
    ranks: NDArray[np.int64]  # 1 is the best target; 0 in the other arms
    arms: NDArray[np.object_]
    propensities: NDArray[np.float64]

    def of_partitions(self) -> dict[int, NDArray[np.int64]]:
        """The rows of each partition, in order."""
        rows = np.argsort(self.partitions, kind="stable")
        partitions, starts = np.unique(self.partitions[rows], return_index=True)
        return dict(zip(partitions.tolist(), np.split(rows, starts[1:]), strict=True)) if len(rows) else {}


@dataclass(frozen=True, slots=True, eq=False)
class _Columns:
    ids: NDArray[np.object_]
    partitions: NDArray[np.int64]
    scores: NDArray[np.float32]
    crowds: NDArray[np.uint8]

    def __getitem__(self, rows: NDArray[np.int64]) -> "_Columns":
        return _Columns(self.ids[rows], self.partitions[rows], self.scores[rows], self.crowds[rows])


def chosen(query_id: str, budget: int, exploration_share: float, answers: Mapping[int, AudienceAnswer]) -> Chosen:
    """At most `budget` listeners; slots that exploration cannot fill go to the best. The hold-out is not counted."""
    by_partition = [answers[partition] for partition in sorted(answers)]
    best = _merged(by_partition, [answer.best for answer in by_partition])
    outside = _merged(by_partition, [answer.explored for answer in by_partition])
    draws = _draws(query_id, outside.ids)
    known_up_to = _known_up_to(draws, outside.partitions, by_partition)
    slots = int(budget * exploration_share)
    while True:
        most = budget - slots
        best_rows = best_first(best.scores, best.ids, most)
        spare = best[np.setdiff1d(np.arange(len(best.ids)), best_rows)] if slots else best[best_rows[:0]]
        lowest = np.concatenate([_draws(query_id, spare.ids), draws])
        if (drawn := int((lowest <= known_up_to).sum())) >= slots:
            break
        slots = drawn
    explored = _joined(spare, outside)[np.argsort(lowest, kind="stable")[:slots]]
    explored = explored[best_first(explored.scores, explored.ids, slots)]
    pool = sum(answer.eligible for answer in by_partition) - len(best_rows)
    held_out = _merged(by_partition, [answer.held_out for answer in by_partition])
    held_out_rows = best_first(held_out.scores, held_out.ids, len(held_out.ids))
    held_out_rows = held_out_rows[held_out.scores[held_out_rows] >= _threshold(best.scores[best_rows], most)]
    arms = [best[best_rows], explored, held_out[held_out_rows]]
    sizes = [len(arm.ids) for arm in arms]
    return Chosen(
        np.concatenate([arm.ids for arm in arms]),
        np.concatenate([arm.partitions for arm in arms]),
        np.concatenate([arm.scores for arm in arms]),
        np.concatenate([arm.crowds for arm in arms]),
        np.concatenate([np.arange(1, sizes[0] + 1), np.zeros(sizes[1] + sizes[2], np.int64)]),
        np.repeat(np.array([Arm.TARGET.value, Arm.EXPLORATION.value, Arm.HOLD_OUT.value], object), sizes),
        np.concatenate([np.ones(sizes[0]), np.full(sizes[1], slots / max(pool, 1)), np.ones(sizes[2])]),
    )


def best_first(scores: NDArray[np.float32], ids: NDArray[np.object_], most: int) -> NDArray[np.int64]:
    """The rows of the `most` highest scores, ties by id. Sorts what is wanted and its ties, not everything."""
    if most <= 0:
        return np.zeros(0, np.int64)
    rows = np.arange(len(scores))
    if most < len(scores):
        rows = np.flatnonzero(scores >= np.partition(scores, len(scores) - most)[len(scores) - most])
    rows = rows[np.argsort(-scores[rows], kind="stable")]
    ordered = scores[rows]
    same = ordered[1:] == ordered[:-1]
    tied = np.flatnonzero(np.append(same, False) | np.append(False, same))  # whole runs of equal scores
    rows[tied] = sorted(rows[tied].tolist(), key=lambda row: (-scores[row], ids[row]))
    return rows[:most]


def _threshold(best_scores: NDArray[np.float32], most: int) -> float:
    """The score from which a listener is chosen; where not all slots are filled, every score is enough."""
    if most == 0:
        return float("inf")
    return float(best_scores[-1]) if len(best_scores) == most else float("-inf")


def _draws(query_id: str, ids: NDArray[np.object_]) -> NDArray[np.float64]:
    """As the listener's own partition draws."""
    return unit_draws(seed_of("explored", query_id), keys_of(ids.tolist()))


def _known_up_to(draws: NDArray[np.float64], partitions: NDArray[np.int64], answers: Sequence[AudienceAnswer]) -> float:
    """All draws up to here are known: a partition has told its lowest ones, and none but those."""
    highest = 1.0
    for answer in answers:
        if len(answer.explored) < answer.eligible - len(answer.best):
            told = draws[partitions == answer.listener_partition]
            highest = min(highest, float(told.max(initial=-1.0)))
    return highest


def _joined(one: _Columns, other: _Columns) -> _Columns:
    return _Columns(
        np.concatenate([one.ids, other.ids]),
        np.concatenate([one.partitions, other.partitions]),
        np.concatenate([one.scores, other.scores]),
        np.concatenate([one.crowds, other.crowds]),
    )


def _merged(answers: Sequence[AudienceAnswer], columns: Sequence[Candidates]) -> _Columns:
    sizes = [len(column) for column in columns]
    ids = np.empty(sum(sizes), object)
    ids[:] = list(chain.from_iterable(column.listener_ids for column in columns))
    return _Columns(
        ids,
        np.repeat([answer.listener_partition for answer in answers], sizes).astype(np.int64),
        np.frombuffer(b"".join(column.scores for column in columns), "<f4").astype(np.float32),
        np.frombuffer(b"".join(column.crowds for column in columns), np.uint8),
    )
