"""Names that follow from what they name: the same cause gives the same id on every worker and in every replay."""

from hashlib import blake2b

import numpy as np


def key_of(name: str) -> int:
    """A song or a listener as 64 bits. Among 10 million names two meet with a chance of 3 in a million."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little")


def keys_of(names: list[str] | tuple[str, ...]) -> "np.ndarray[tuple[int], np.dtype[np.uint64]]":
    return np.array([key_of(name) for name in names], dtype=np.uint64)


def query_id_of(song_id: str, artifact: str, content: str, policy: str) -> str:
    return _digest("query", song_id, artifact, content, policy)


def target_id_of(song_id: str, listener_id: str) -> str:
    return _digest("target", song_id, listener_id)


def unit_draw(*names: str) -> float:
    """A number in [0, 1) that looks random and never changes: hold-out, exploration, sampling."""
    return int.from_bytes(blake2b("\x1f".join(names).encode(), digest_size=8).digest(), "little") / 2**64


def seed_of(*names: str) -> int:
    """A 32-bit seed that follows from the names."""
    return int.from_bytes(blake2b("\x1f".join(names).encode(), digest_size=4).digest(), "little")


def _digest(*names: str) -> str:
    return blake2b("\x1f".join(names).encode(), digest_size=16).hexdigest()
