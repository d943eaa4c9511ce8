"""What a process of a replay knows by number: the names of the log as far as it was read, and the keys of its songs."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from streams.audience.rings import Keys
from streams.contracts.ids import keys_of


class NewNames(NamedTuple):
    """Since the last block."""

    listeners: list[str]
    songs: list[str]
    markets: list[str]


@dataclass
class LogNames:
    listeners: list[str] = field(default_factory=list)
    songs: list[str] = field(default_factory=list)
    markets: list[str] = field(default_factory=list)
    song_keys: Keys = field(default_factory=lambda: np.zeros(0, np.uint64))

    def learn(self, new: NewNames) -> None:
        self.listeners += new.listeners
        self.songs += new.songs
        self.markets += new.markets
        if new.songs:
            self.song_keys = np.concatenate([self.song_keys, keys_of(new.songs)])
