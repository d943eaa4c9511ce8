"""The keys of a shard's store: one letter that says what it is, then the name it belongs to.

    song shard                                      listener shard
    D song_id         decided for release           L listener_id    ring of recent plays
    Q query_id        question still open           S listener_id    settings
    A query_id p      answer of partition p         E listener_key   erased, and when
    C song_id         crowds and sample             N song_key       effective plays, counted for sampling
    H p               highest sample folded         X listener_id    exposure: what was pushed
    O song_id         outcome
    R source p        highest reaction folded       W song_id        told of: candidate records done
    V song_id         content embedded, and by which artifact
    G song_id         withdrawn, and when
    B song_id         the same, for releases that are filled in late
                                                    M n              effective plays, not yet merged into N
                                                    T                time of the newest play

`listener_key` and `song_key` are the 64-bit keys of `contracts.ids`, little endian; p is a partition and n a number,
in four bytes each.
The offsets of the shard's topics are kept by the store itself, outside these keys.
"""

EMBEDDED, DECIDED, OPEN_QUERY, ANSWER, CROWDS = b"V", b"D", b"Q", b"A", b"C"
SAMPLES_FOLDED, OUTCOME, REACTIONS_FOLDED, WITHDRAWN, BARRED = b"H", b"O", b"R", b"G", b"B"
LISTENER, SETTINGS, ERASED, SONG_PLAYS, EXPOSURE, WATCHED = b"L", b"S", b"E", b"N", b"X", b"W"
NEWEST_PLAY, RECENT_SONG_PLAYS = b"T", b"M"


def named(kind: bytes, name: str) -> bytes:
    return kind + name.encode()


def keyed(kind: bytes, key: int) -> bytes:
    return kind + key.to_bytes(8, "little")


def of_partition(kind: bytes, partition: int, name: str = "") -> bytes:
    """The partition comes last, so that all partitions of a name stand together."""
    return kind + name.encode() + partition.to_bytes(4, "big")
