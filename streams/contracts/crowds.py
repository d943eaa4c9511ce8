"""Who listens to a song: the samples that tell, and the crowds they form."""

import msgspec

from streams.contracts.fields import Count, EpochMs, Id


class AudienceSamples(msgspec.Struct, frozen=True, gc=False, tag="samples"):
    """Some plays of the songs of one song partition, as one listener partition saw them.

    Columns of equal length, in the order of `offsets`. A sample is named by (listener_partition, offset):
    whoever folds them keeps the highest offset of each listener partition and drops what comes again.
    """

    listener_partition: Count
    artifact: Id
    offsets: tuple[int, ...]  # of the play in `plays`, increasing
    song_ids: tuple[str, ...]
    listener_keys: bytes  # uint64 each, little endian
    played_ms: bytes  # int64 each
    embeddings: bytes  # float32, (samples, dimension): the listener without this play
    strengths: bytes  # float32 each


class ListenersForgotten(msgspec.Struct, frozen=True, tag="forgotten"):
    """Erased listeners, told to every song partition: their keys leave the samples of all songs."""

    listener_keys: bytes


class SongCrowds(msgspec.Struct, frozen=True, gc=False):
    song_id: Id
    artifact: Id
    samples: Count  # folded so far; a view keeps the record with the most
    listeners: Count  # distinct ones, counted up to the bound of the sample
    centroids: bytes  # float32, (crowds, dimension), unit length
    masses: bytes  # float32 each, at `at_ms`
    at_ms: EpochMs
