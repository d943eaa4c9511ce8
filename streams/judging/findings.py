"""What a replay found, field by field: the contract of report.json.

Names and meanings are stable: within one `schema` fields are only added. Where there is nothing to divide by, a value
is null; a measure that has an interval is an object of mean, low and high (95 %, bootstrap over releases).
"""

from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import Meta

from streams.contracts.queries import Neighbour
from streams.judging.judge import Estimate
from streams.judging.off_policy import OffPolicy
from streams.judging.significance import McNemar

SCHEMA = "bcl.replay.report/1"

Share: TypeAlias = Annotated[float, Meta(ge=0, le=1)]


class Quality(msgspec.Struct, frozen=True):
    """Choices by score against those who played; each release counts the same."""

    releases: int
    precision: Annotated[Estimate | None, Meta(description="effective plays for each place of the budget")]
    recall: Annotated[Estimate | None, Meta(description="of all who played, those chosen; releases that were played")]
    ndcg: Annotated[Estimate | None, Meta(description="as recall, with the first places weighing most")]


class Beside(msgspec.Struct, frozen=True):
    """A policy beside a rival that chose as many of the same listeners for the same releases."""

    rival: Quality
    lift: Annotated[Estimate | None, Meta(description="precision of the policy over that of the rival; 1: the same")]
    difference: Annotated[Estimate | None, Meta(description="in precision, release by release")]
    p: Annotated[Share, Meta(description="sign flips of the differences over releases, two-sided")]
    noticed_from: Annotated[
        float | None, Meta(description="a difference in precision that so many releases would show 8 times in 10")
    ]


class Funnel(msgspec.Struct, frozen=True):
    """From all who were looked at to those who played; sums over releases, each listener once for each of them."""

    scored: int
    eligible: int
    chosen: Annotated[int, Meta(description="by score or for exploration; the hold-out is not counted")]
    sent: Annotated[int, Meta(description="after caps, consent, quiet hours and the like")]
    played: Annotated[int, Meta(description="of those sent, who played the song at all within the horizon")]
    effective: Annotated[int, Meta(description="and of these, long enough to count")]


class ArmFound(msgspec.Struct, frozen=True):
    """One arm: who was reached (of the hold-out: who would have been), and how many of them played."""

    chosen: int
    reached: int
    effective_plays: int
    rate: Annotated[Share | None, Meta(description="effective plays for each listener reached")]
    low: Share
    high: Share


class LiftOverHoldOut(msgspec.Struct, frozen=True):
    """How much more often those who were told played than those who were kept aside (interval of Katz)."""

    ratio: float
    low: float
    high: float


class Caps(msgspec.Struct, frozen=True):
    """Choices that a cap took away: cooling-down, rolling-cap, day-cap."""

    hit: int
    share: Annotated[Share | None, Meta(description="of all chosen")]


class Listeners(msgspec.Struct, frozen=True):
    """Who was told at all."""

    told: int
    of: int
    share: Share | None
    most_targets: Annotated[int, Meta(description="of one listener")]
    gini: Annotated[Share, Meta(description="of targets over those told; 0: all have as many")]
    artists: Annotated[float | None, Meta(description="distinct artists for each listener told, on average")]


class Catalogue(msgspec.Struct, frozen=True):
    """Which releases reached anybody."""

    releases: int
    told: Annotated[int, Meta(description="of which at least one target was sent")]
    played: Annotated[int, Meta(description="and at least one of those told played it")]
    share: Share | None


class Artists(msgspec.Struct, frozen=True):
    """How targets and the plays after them spread over (first-named) artists; exp of the entropy."""

    released: int
    effective_number_released: float
    effective_number_of_targets: float
    effective_number_of_plays: float


class Group(msgspec.Struct, frozen=True):
    """Releases of one kind. by popularity: deciles of those who played, 1 the least; by artist: known or new."""

    by: str
    name: str
    policy: Quality
    rivals: dict[str, Quality]


class Bin(msgspec.Struct, frozen=True):
    """A tenth of all choices, lowest scores or best ranks first, and how many of it played (interval of Wilson)."""

    choices: int
    at: Annotated[float, Meta(description="mean score; or mean rank as a share of the places")]
    rate: Share
    low: Share
    high: Share


class Window(msgspec.Struct, frozen=True):
    """Consecutive releases."""

    releases: int
    from_ms: int
    to_ms: int
    precision: Estimate | None
    rivals: dict[str, Estimate | None]


class Running(msgspec.Struct, frozen=True):
    """The estimate as it stood after so many releases."""

    releases: int
    precision: Estimate | None


class Reliability(msgspec.Struct, frozen=True):
    """How far the estimate can be trusted."""

    running: tuple[Running, ...]
    autocorrelation: Annotated[
        float | None, Meta(description="of precision, release to release; far from 0 intervals are too narrow")
    ]


class PolicyFound(msgspec.Struct, frozen=True):
    """One policy over all judged releases."""

    quality: Quality
    effective_plays: Annotated[int, Meta(description="of listeners to whom a target was sent")]
    effective_plays_per_release: Estimate | None
    rivals: dict[str, Beside]
    funnel: Funnel
    arms: dict[str, ArmFound]
    lift_over_hold_out: LiftOverHoldOut | None
    suppressed: Annotated[dict[str, int], Meta(description="by reason; the hold-out under its own")]
    caps: Caps
    listeners: Listeners
    catalogue: Catalogue
    artists: Artists
    groups: tuple[Group, ...]
    by_score: tuple[Bin, ...]
    by_rank: tuple[Bin, ...]
    windows: tuple[Window, ...]
    reliability: Reliability
    best: Annotated[tuple[str, ...], Meta(description="song ids of the releases with the highest precision")]
    worst: tuple[str, ...]
    off_policy: Annotated[OffPolicy | None, Meta(description="null: the log tells no targets")]


class Compared(msgspec.Struct, frozen=True):
    """Two policies over the same releases; differences are first - second."""

    first: str
    second: str
    precision: Estimate | None
    recall: Estimate | None
    ndcg: Estimate | None
    effective_plays: Estimate | None
    same_choices: Annotated[Share | None, Meta(description="listeners chosen by both, of those chosen by either")]
    p: Annotated[Share, Meta(description="of the difference in precision: sign flips over releases, two-sided")]
    p_of_several: Annotated[Share, Meta(description="p, allowing for all pairs that are compared (Holm)")]
    noticed_from: Annotated[
        float | None, Meta(description="a difference in precision that so many releases would show 8 times in 10")
    ]
    mcnemar: Annotated[McNemar, Meta(description="over plays as if they were independent: too sure, the usual figure")]
    better: Annotated[str | None, Meta(description="the one whose precision is higher, if p_of_several < .05")]


class Truth(msgspec.Struct, frozen=True):
    """What the plays after the releases revealed."""

    effective_plays: Annotated[int, Meta(description="distinct pairs of release and listener")]
    releases_without_plays: int
    delay_h: Annotated[dict[str, float], Meta(description="from the release to the play: p50, p90, p99")]
    in_the_last_tenth: Annotated[
        Share | None, Meta(description="of these, in the last tenth of the horizon; near .1 the horizon is too short")
    ]
    answering_a_push: Annotated[Share | None, Meta(description="plays that name a target; null: the log does not say")]


class ChosenFor(msgspec.Struct, frozen=True):
    """One policy for one release."""

    places: int
    chosen: int
    sent: int
    effective_plays: int
    precision: float | None
    recall: float | None
    ndcg: float | None
    rivals: Annotated[dict[str, float | None], Meta(description="their precision at the same number of places")]
    suppressed: dict[str, int]
    because: Annotated[tuple[Neighbour, ...], Meta(description="the most similar songs, and how similar")]


class ReleaseFound(msgspec.Struct, frozen=True):
    """One release, in the order of the log."""

    song_id: str
    title: str
    at_ms: int
    artist_ids: tuple[str, ...]
    artist_plays: int
    played_by: Annotated[int, Meta(description="distinct listeners within the horizon, told or not")]
    popularity: Annotated[int, Meta(description="decile of played_by among the judged releases, 1 to 10")]
    policies: dict[str, ChosenFor]


class Findings(msgspec.Struct, frozen=True):
    """report.json."""

    schema: str
    run: Annotated[dict[str, Any], Meta(description="what the driver says of the run: source, settings, speed")]
    horizon_ms: Annotated[int, Meta(description="plays in [at_ms, at_ms + horizon_ms) are the truth of a release")]
    until_ms: Annotated[int, Meta(description="time of the last record")]
    seed: int
    releases: Annotated[int, Meta(description="judged: their horizon lies within the log")]
    open: Annotated[int, Meta(description="releases whose horizon ends after the log; in no figure")]
    repeated: Annotated[int, Meta(description="further decisions about a song that is judged already; in no figure")]
    truth: Truth
    policies: dict[str, PolicyFound]
    compared: tuple[Compared, ...]
    logged: Annotated[Estimate | None, Meta(description="effective plays for each choice by score in the log itself")]
    per_release: tuple[ReleaseFound, ...]
    notes: Annotated[tuple[str, ...], Meta(description="what to bear in mind with this very log")]
