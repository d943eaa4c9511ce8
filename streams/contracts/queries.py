"""The question put to every listener partition, the answers, and what was decided with them."""

import msgspec

from streams.contracts.fields import Budget, Count, EpochMs, Id, Market, Share


class Neighbour(msgspec.Struct, frozen=True, array_like=True):
    song_id: str
    similarity: float


class AudienceQuery(msgspec.Struct, frozen=True, gc=False, tag="query"):
    """Which listeners fit this release? Decided once by match_songs, logged in song-decisions."""

    query_id: Id
    song_id: Id
    artifact: Id
    policy: Id
    embedding: bytes  # float32, the song
    centroids: bytes  # float32, (crowds, dimension)
    masses: bytes  # float32 each, sum 1
    because: tuple[Neighbour, ...]  # most similar first
    budget: Budget
    decided_ms: EpochMs  # time of the release record
    expires_ms: EpochMs
    released_ms: EpochMs
    markets: tuple[Market, ...] = ()
    song_offsets: tuple[int, ...] = ()  # next offset of each partition of song-embeddings when it was decided
    crowd_offsets: tuple[int, ...] = ()  # the same for song-crowds


class Candidates(msgspec.Struct, frozen=True, gc=False):
    """Columns of equal length, best first, ties by listener id."""

    listener_ids: tuple[str, ...] = ()
    scores: bytes = b""  # float32 each
    crowds: bytes = b""  # uint8 each: the crowd that scored highest

    def __len__(self) -> int:
        return len(self.listener_ids)


class AudienceAnswer(msgspec.Struct, frozen=True, gc=False):
    query_id: Id
    song_id: Id
    artifact: Id
    listener_partition: Count
    listener_partitions: Count
    best: Candidates  # at most the partition's share of the budget and a margin
    held_out: Candidates  # would have been among the best, but are kept aside for comparison
    explored: Candidates  # drawn from the eligible listeners outside `best`
    eligible: Count  # how many listeners could have been reached
    scored: Count  # how many were looked at
    plays_offset: Count  # next offset of plays, listener-settings, listener-erasures in this partition
    settings_offset: Count
    erasures_offset: Count
    song_offsets: tuple[int, ...] = ()  # next offset of each partition of song-embeddings


class TargetsSelected(msgspec.Struct, frozen=True, gc=False, tag="selected"):
    """The decision of select_targets: these answers and no others were merged."""

    query_id: Id
    song_id: Id
    answers: dict[int, int]  # listener partition -> offset in audience-answers
    coverage: Share  # of the listener partitions


class TargetCandidates(msgspec.Struct, frozen=True, gc=False):
    """A slice of a release's chosen listeners, all of one listener partition; columns of equal length."""

    query_id: Id
    song_id: Id
    artifact: Id
    policy: Id
    because: tuple[Neighbour, ...]
    decided_ms: EpochMs
    released_ms: EpochMs
    expires_ms: EpochMs
    coverage: Share
    listener_ids: tuple[str, ...]
    scores: tuple[float, ...]
    ranks: tuple[int, ...]  # 1 is the best of the release; 0 where there is no rank
    crowds: tuple[int, ...]
    arms: tuple[str, ...]  # of streams.contracts.targets.Arm
    propensities: tuple[float, ...]
