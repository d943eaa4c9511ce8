"""The judge of a replay: keeps what was fixed at each release, gathers who played it later, and adds the two up.

First the test, then the truth: what a policy chose is taken as it stands at the release, and a play counts for it from
then on until the horizon ends. A release whose horizon is not over when the log ends is not judged at all.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from streams.errors import NothingToJudge
from streams.judging.findings import Findings
from streams.judging.followed import Past, Revealed
from streams.judging.verdict import found
from streams.replay.choices import ARM_ROWS, ARMS, BY_SCORE, REASON_ROWS, REASONS, Bools, Choice, Fixed, Heard, Ints
from streams.replay.growing import longer

__all__ = ["ARMS", "ARM_ROWS", "BY_SCORE", "REASONS", "REASON_ROWS", "Choice", "Fixed", "Heard", "Judge"]

_UNWATCHED = -1
_ROWS_AT_ONCE = 1 << 20  # so many new plays are kept before those of one listener and release become one


class Judge:
    """Told by a driver in the order of the log. Costs 14 bytes for each choice and 25 for each listener who played."""

    def __init__(self, horizon_ms: int, seed: int = 0) -> None:
        if horizon_ms <= 0:
            raise ValueError(f"the horizon is {horizon_ms} ms, wanted more than 0")
        self._horizon_ms, self._seed = horizon_ms, seed
        self._fixed: list[Fixed] = []
        self._repeated = 0
        self._release_of_song: Ints = np.full(1024, _UNWATCHED, np.int32)
        self._from_ms: Ints = np.zeros(1024, np.int64)
        self._plays, self._news, self._new_rows = _Plays.none(), list[_Plays](), 0

    def fixed(self, release: Fixed) -> None:
        if self._fixed:
            self._check(release)
        self._release_of_song = longer(self._release_of_song, release.song + 1, _UNWATCHED)
        if self._release_of_song[release.song] != _UNWATCHED:
            self._repeated += 1
            return
        number = len(self._fixed)
        self._from_ms = longer(self._from_ms, number + 1)
        self._release_of_song[release.song], self._from_ms[number] = number, release.at_ms
        self._fixed.append(_kept(release))

    def plays(self, block: Heard) -> None:
        known = np.minimum(block.songs, len(self._release_of_song) - 1)
        releases = np.where(known == block.songs, self._release_of_song[known], _UNWATCHED)
        rows = np.flatnonzero(releases != _UNWATCHED)
        delays = block.played_ms[rows] - self._from_ms[releases[rows]]
        in_time = (delays >= 0) & (delays < self._horizon_ms)
        rows = rows[in_time]
        if not len(rows):
            return
        answers = block.answers_a_push[rows].astype(np.int8) if len(block.answers_a_push) else np.full(len(rows), -1)
        self._news.append(
            _Plays(
                releases[rows].astype(np.int64) << 32 | block.listeners[rows].astype(np.int64),
                delays[in_time],
                block.is_effective[rows],
                answers.astype(np.int8),
            )
        )
        self._new_rows += len(rows)
        if self._new_rows > max(_ROWS_AT_ONCE, len(self._plays)):
            self._gather()

    def verdict(self, until_ms: int, listeners: int, run: Mapping[str, Any] | None = None) -> Findings:
        """Of the log up to `until_ms`, the time of its last record. May be asked again as the log goes on.

        `listeners`: how many there are; `run`: what the driver wants to be told in the report.
        """
        self._gather()
        starts = np.searchsorted(self._plays.pairs, np.arange(len(self._fixed) + 1, dtype=np.int64) << 32)
        past = [
            Past(fixed, self._plays.revealed(int(starts[n]), int(starts[n + 1])))
            for n, fixed in enumerate(self._fixed)
            if fixed.at_ms + self._horizon_ms <= until_ms
        ]
        if not self._fixed:
            raise NothingToJudge(
                "no release was decided: record song-releases, each when it was published, and the plays around them"
            )
        if not past:
            raise NothingToJudge(
                f"{len(self._fixed)} releases were decided and none of them {self._horizon_ms / 3_600_000:g} h before "
                "the log ends; shorten the horizon or replay a longer log"
            )
        return found(
            past,
            horizon_ms=self._horizon_ms,
            until_ms=until_ms,
            seed=self._seed,
            still_open=len(self._fixed) - len(past),
            repeated=self._repeated,
            listeners=listeners,
            run=dict(run or {}),
        )

    def _check(self, release: Fixed) -> None:
        last = self._fixed[-1]
        if release.at_ms < last.at_ms:
            raise ValueError(
                f"{release.song_id} was fixed at {release.at_ms}, after {last.song_id} at {last.at_ms}: "
                "releases are wanted in the order of time"
            )
        for what in ("policies", "rivals"):
            if list(getattr(release, what)) != list(getattr(last, what)):
                raise ValueError(f"{release.song_id} has other {what} than {last.song_id}")

    def _gather(self) -> None:
        """Of each release and listener one play: the first effective one, or the first."""
        if self._news:
            self._plays = _Plays.joined([self._plays, *self._news]).first_of_each()
            self._news, self._new_rows = [], 0


class _Plays:
    """Columns; `pairs` are release << 32 | listener."""

    def __init__(self, pairs: Ints, delays_ms: Ints, is_effective: Bools, answers: Ints) -> None:
        self.pairs, self.delays_ms, self.is_effective, self.answers = pairs, delays_ms, is_effective, answers

    @classmethod
    def none(cls) -> "_Plays":
        return cls(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.bool_), np.zeros(0, np.int8))

    @classmethod
    def joined(cls, parts: "list[_Plays]") -> "_Plays":
        return cls(*(np.concatenate(columns) for columns in zip(*(part.columns() for part in parts), strict=True)))

    def columns(self) -> tuple[Ints, Ints, Bools, Ints]:
        return self.pairs, self.delays_ms, self.is_effective, self.answers

    def first_of_each(self) -> "_Plays":
        order = np.lexsort((self.delays_ms, ~self.is_effective, self.pairs))
        pairs = self.pairs[order]
        first = order[np.append(True, pairs[1:] != pairs[:-1])] if len(order) else order
        return _Plays(self.pairs[first], self.delays_ms[first], self.is_effective[first], self.answers[first])

    def __len__(self) -> int:
        return len(self.pairs)

    def revealed(self, start: int, end: int) -> Revealed:
        """By listener, as the pairs are in order."""
        listeners = self.pairs[start:end] & 0xFFFF_FFFF
        effective = self.is_effective[start:end]
        return Revealed(
            effective=listeners[effective],
            played=listeners,
            delays_ms=self.delays_ms[start:end][effective],
            answers=self.answers[start:end][effective],
        )


def _kept(release: Fixed) -> Fixed:
    """Own columns, small: nothing that a driver does later changes what was fixed."""
    return Fixed(
        song=release.song,
        song_id=release.song_id,
        at_ms=release.at_ms,
        budget=release.budget,
        artist_ids=tuple(release.artist_ids),
        artist_plays=release.artist_plays,
        policies={name: _own(choice) for name, choice in release.policies.items()},
        rivals={name: _own(choice) for name, choice in release.rivals.items()},
        logged=_own(release.logged) if release.logged is not None else None,
        title=release.title,
    )


def _own(choice: Choice) -> Choice:
    if len(np.unique(choice.listeners)) != len(choice):
        raise ValueError(f"{len(choice) - len(np.unique(choice.listeners))} listeners were chosen twice")
    return Choice(
        listeners=choice.listeners.astype(np.uint32),
        scores=choice.scores.astype(np.float32),
        arms=choice.arms.astype(np.int8),
        propensities=choice.propensities.astype(np.float32),
        reasons=choice.reasons.astype(np.int8),
        eligible=choice.eligible,
        scored=choice.scored,
        because=choice.because,
        budget=choice.budget,
    )
