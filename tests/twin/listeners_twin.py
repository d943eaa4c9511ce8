"""The batch twin of listeners: rings and embeddings from the whole log at once, in plain Python, by the words of the README.

Shares no code with the stages: what agrees here agrees because both are right.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from streams.contracts.plays import Play
from streams.settings import ListeningSettings

DAY_MS = 86_400_000


@dataclass
class TwinListener:
    strengths: dict[tuple[int, str], float] = field(default_factory=dict)  # (played_ms, song) -> strength

    def ring(self, settings: ListeningSettings) -> list[tuple[int, str, float]]:
        if not self.strengths:
            return []
        newest = max(at for at, _ in self.strengths)
        kept = [
            (at, song, strength)
            for (at, song), strength in self.strengths.items()
            if at >= newest - settings.forget_after_days * DAY_MS
        ]
        return kept

    def embedding(
        self, songs: Mapping[str, npt.NDArray[np.float64]], keys: Mapping[str, int], settings: ListeningSettings
    ) -> npt.NDArray[np.float64] | None:
        ring = sorted(self.ring(settings), key=lambda entry: (entry[0], keys[entry[1]]))[-settings.keep_plays :]
        if not ring:
            return None
        newest = ring[-1][0]
        total = np.zeros(len(next(iter(songs.values()))))
        for at, song, strength in ring:
            if song in songs:
                total += strength * 0.5 ** ((newest - at) / (settings.half_life_days * DAY_MS)) * songs[song]
        length = np.sqrt((total * total).sum())
        return total / length if length > 0 else None

    def has_heard(self, song: str, keys: Mapping[str, int], settings: ListeningSettings) -> bool:
        ring = sorted(self.ring(settings), key=lambda entry: (entry[0], keys[entry[1]]))[-settings.keep_plays :]
        return any(song == heard for _, heard, _ in ring)


def twin_listeners(
    plays: Iterable[Play], erased_ms: Mapping[str, int], settings: ListeningSettings
) -> dict[str, TwinListener]:
    found: dict[str, TwinListener] = defaultdict(TwinListener)
    for play in plays:
        long = play.listened_ms >= 1_000 * settings.effective_s
        most = play.song_ms > 0 and play.listened_ms >= settings.effective_share * play.song_ms
        if not (long or most) or play.played_ms <= erased_ms.get(play.listener_id, 0):
            continue
        strength = settings.strength_played
        if play.song_ms > 0 and play.listened_ms >= settings.completed_share * play.song_ms:
            strength = settings.strength_completed
        if play.liked:
            strength = settings.strength_liked
        ring = found[play.listener_id].strengths
        at = (play.played_ms, play.song_id)
        ring[at] = max(strength, ring.get(at, 0.0))
    return dict(found)
