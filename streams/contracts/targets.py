"""Whom to tell of a release, whom not and why, and what came of it."""

from enum import StrEnum

import msgspec

from streams.contracts.fields import Count, EpochMs, Id, Share
from streams.contracts.queries import Neighbour


class Arm(StrEnum):
    TARGET = "target"
    EXPLORATION = "exploration"
    HOLD_OUT = "hold-out"


class Reason(StrEnum):
    """Why a listener is not reached, in the order in which the reasons are asked."""

    ERASED = "erased"
    NO_CONSENT = "no-consent"
    ALREADY_PUSHED = "already-pushed"
    ALREADY_HEARD = "already-heard"
    COOLING_DOWN = "cooling-down"
    ROLLING_CAP = "rolling-cap"
    DAY_CAP = "day-cap"
    UNKNOWN_ZONE = "unknown-zone"
    EXPIRED = "expired"
    HELD_OUT = "held-out"  # nothing else speaks against them: what the targets are compared with


class Target(msgspec.Struct, frozen=True, gc=False):
    target_id: Id  # a hash of song and listener: the same song never reaches a listener twice
    song_id: Id
    listener_id: Id
    score: float
    rank: Count
    crowd: Count
    because: tuple[Neighbour, ...]
    arm: Arm
    propensity: Share
    policy: Id
    artifact: Id
    query_id: Id
    decided_ms: EpochMs
    not_before_ms: EpochMs
    expires_ms: EpochMs
    coverage: Share
    plays_offset: Count  # what was known at admission: next offsets of plays, listener-settings
    settings_offset: Count  # and listener-erasures in the listener's partition
    erasures_offset: Count


class Suppression(msgspec.Struct, frozen=True, gc=False):
    """A target that is not sent, and why."""

    reason: Reason
    target_id: Id
    song_id: Id
    listener_id: Id
    score: float
    rank: Count
    crowd: Count
    because: tuple[Neighbour, ...]
    arm: Arm
    propensity: Share
    policy: Id
    artifact: Id
    query_id: Id
    decided_ms: EpochMs
    not_before_ms: EpochMs  # when it would have been due
    expires_ms: EpochMs
    coverage: Share
    plays_offset: Count
    settings_offset: Count
    erasures_offset: Count


class TargetReactions(msgspec.Struct, frozen=True, gc=False):
    """What one record of a listener partition adds to the outcome of a song; counts are added up.

    Named by (source, listener_partition, offset), as samples are: higher offsets count once.
    """

    song_id: Id
    source: str  # the topic whose record this follows from: target-candidates or plays
    listener_partition: Count
    offset: Count
    decided_ms: EpochMs
    reached: dict[str, int] = {}  # arm -> listeners
    effective_plays: dict[str, int] = {}
    likes: dict[str, int] = {}


class Outcome(msgspec.Struct, frozen=True, gc=False):
    song_id: Id
    at_ms: EpochMs  # the newest fact that is counted
    decided_ms: EpochMs
    reached: dict[str, int]  # by arm
    effective_plays: dict[str, int]
    likes: dict[str, int]
    lift: float | None  # effective plays per listener, targets over hold-out; None: no hold-out play yet
    lift_low: float | None  # 95 % interval
    lift_high: float | None
