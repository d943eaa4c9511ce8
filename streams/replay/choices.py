"""What a driver tells a judge: what every policy and rival chose for a release, and what was played after it.

In the order of the log. Listeners and songs are numbers of the driver's own name tables.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from streams.contracts.queries import Neighbour
from streams.contracts.targets import Arm, Reason, Suppression, Target
from streams.recording.names import Names

Ints: TypeAlias = npt.NDArray[np.integer[Any]]
Floats: TypeAlias = npt.NDArray[np.floating[Any]]
Bools: TypeAlias = npt.NDArray[np.bool_]

ARMS = tuple(Arm)  # a column of arms holds places in it
REASONS: tuple[Reason | None, ...] = (None, *Reason)  # a column of reasons holds places in it; 0: the target was sent
ARM_ROWS = {arm.value: row for row, arm in enumerate(ARMS)}
REASON_ROWS = {reason.value: row for row, reason in enumerate(REASONS) if reason is not None}
BY_SCORE = ARM_ROWS[Arm.TARGET]


@dataclass(frozen=True, eq=False)
class Choice:
    """Whom one policy chose for one release, every arm; columns of equal length, those chosen by score best first."""

    listeners: Ints
    scores: Floats
    arms: Ints  # places in ARMS
    propensities: Floats
    reasons: Ints  # places in REASONS
    eligible: int = 0  # listeners who could have been chosen
    scored: int = 0  # listeners who were looked at
    because: tuple[Neighbour, ...] = ()
    budget: int = 0  # of this policy; 0: that of the release

    def __post_init__(self) -> None:
        sizes = {name: len(getattr(self, name)) for name in _COLUMNS}
        if len(set(sizes.values())) > 1:
            raise ValueError(f"columns of a choice differ in length: {sizes}")

    @classmethod
    def by_score(cls, listeners: Ints, scores: Floats, *, eligible: int = 0) -> "Choice":
        """Of a rival: best first, nobody by chance, nothing held back."""
        rows = len(listeners)
        none = np.zeros(rows, np.int8)
        return cls(listeners, scores, none + BY_SCORE, np.ones(rows), none, eligible, eligible)

    def __len__(self) -> int:
        return len(self.listeners)


@dataclass(frozen=True, eq=False)
class Fixed:
    """A release at the moment when its targets were fixed; nothing in it may be known later than `at_ms`."""

    song: int
    song_id: str
    at_ms: int  # of the decision; plays from here on reveal the truth
    budget: int
    artist_ids: tuple[str, ...]
    artist_plays: int  # effective ones of all its artists before; 0: nobody knows them
    policies: Mapping[str, Choice]
    rivals: Mapping[str, Choice]  # `budget` listeners each; cut to the places of each policy
    logged: Choice | None = None  # what the log says was decided for it, where it does
    title: str = ""


@dataclass(frozen=True, eq=False)
class Heard:
    """Plays as columns of equal length; blocks are in the order of the log, and within them the plays of a listener."""

    listeners: Ints
    songs: Ints
    played_ms: Ints
    is_effective: Bools
    answers_a_push: Bools = field(default_factory=lambda: np.zeros(0, np.bool_))  # names a target; empty: not known

    def __len__(self) -> int:
        return len(self.listeners)


def choice_of(admissions: Sequence[Target | Suppression], listeners: Names, **facts: Any) -> Choice:
    """Targets and suppressions of one release, in whatever order, as a judge wants them."""
    ordered = sorted(admissions, key=lambda one: (ARM_ROWS[one.arm], one.rank, -one.score, one.listener_id))
    return Choice(
        listeners.numbers([one.listener_id for one in ordered]),
        np.array([one.score for one in ordered], np.float64),
        np.array([ARM_ROWS[one.arm] for one in ordered], np.int8),
        np.array([one.propensity for one in ordered], np.float64),
        np.array([REASON_ROWS[one.reason] if isinstance(one, Suppression) else 0 for one in ordered], np.int8),
        **facts,
    )


_COLUMNS = ("listeners", "scores", "arms", "propensities", "reasons")
