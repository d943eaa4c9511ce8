"""How familiar a listener is with what lies near a song: its neighbours that were played, the nearest counting most.

    share_n = exp(similarity_n / TEMPERATURE) / sum over neighbours
    score(u) = WEIGHT log(1 + sum of share_n over plays of neighbours by u / ENOUGH)

It is added to what a rule of CAT says (streams/audience/cat.py), live and in evaluation. All of it is ours: audiences
say where a listener lies, and this what the listener has played. Together they choose better than audiences alone, on
simulated worlds and on real playlists.
"""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.floating]

WEIGHT = 0.05  # beside cosines; [scoring] familiarity is the live one
TEMPERATURE = 0.05
ENOUGH = 0.01  # a share from which on more of it says less


def shares_of(similarities: Floats, temperature: float = TEMPERATURE) -> Floats:
    """(..., neighbours), the sum of each row 1; there is at least one neighbour."""
    weights = np.exp((similarities - similarities.max(axis=-1, keepdims=True)) / temperature)
    shares: Floats = weights / weights.sum(axis=-1, keepdims=True)
    return shares


def familiarity(played: Floats, weight: float = WEIGHT) -> npt.NDArray[np.float32]:
    """Of sums of shares; 0 for who has played no neighbour."""
    score: npt.NDArray[np.float32] = np.float32(weight) * np.log1p(played / np.float32(ENOUGH), dtype=np.float32)
    return score
