"""Names that follow from what they name: the same cause gives the same id on every worker and in every replay."""

from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray


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


def unit_draws(seed: int, *keys: NDArray[np.uint64]) -> NDArray[np.float64]:
    """`unit_draw` for whole arrays: one number in [0, 1) for each place of the key columns (splitmix64)."""
    mixed = np.full(len(keys[0]), seed, dtype=np.uint64)
    for key in keys:
        mixed = (mixed ^ key) + np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed ^= mixed >> np.uint64(31)
    return (mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53  # as many bits as a double holds: never 1


def seed_of(*names: str) -> int:
    """A 32-bit seed that follows from the names."""
    return int.from_bytes(blake2b("\x1f".join(names).encode(), digest_size=4).digest(), "little")


def _digest(*names: str) -> str:
    return blake2b("\x1f".join(names).encode(), digest_size=16).hexdigest()
