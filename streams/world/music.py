"""What the music of the simulated world means: of every song a score, from the same latents that decide who likes it.

genre        which instruments sound, the beat, the share of drums
mood         the mode and its chords, how loud and how connected the notes are
tempo        the song's own
style        sixteen knobs: brightness, attack, register, swing, density ...; no caption names them
language     the vowels of the voice; a song without words has none
era          how much of the high end a recording lost, and how much it hisses

The key is chance, and so are the melody and the noise: they mean nothing. All of it is invented.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from streams.world.scene import GENRES, MOODS, STYLE
from streams.world.songs import NO_WORDS, Artists, Songs

KEYS = ("C", "C sharp", "D", "E flat", "E", "F", "F sharp", "G", "A flat", "A", "B flat", "B")
MODES: dict[str, tuple[int, ...]] = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "phrygian": (0, 1, 3, 5, 7, 8, 10),
}
_KEYS_SEED = 60


class Manner(NamedTuple):
    """Of a mood."""

    mode: str
    chords: tuple[int, ...]  # one a bar, as steps of the mode
    loudness: float
    sounding: float  # share of its time that a note sounds


class Band(NamedTuple):
    """Of a genre; a bar has sixteen steps."""

    instruments: tuple[str, ...]
    kicks: tuple[int, ...]
    snares: tuple[int, ...]
    hats: int  # in a bar
    drums: float  # loudness


class Knobs(NamedTuple):
    """A song's style, each within -1 and 1."""

    brightness: float
    attack: float
    vibrato: float
    vibrato_speed: float
    register: float
    swing: float
    density: float
    bass: float
    hats: float
    echo_time: float
    snare: float
    echo: float
    detune: float
    voice: float
    decay: float
    syllables: float


MANNERS = {
    "happy": Manner("major", (0, 3, 4, 0), 0.8, 0.6),
    "sad": Manner("minor", (0, 5, 2, 6), 0.5, 1.0),
    "calm": Manner("major", (0, 4, 5, 3), 0.4, 1.1),
    "angry": Manner("phrygian", (0, 1, 0, 6), 1.0, 0.35),
    "romantic": Manner("major", (0, 5, 3, 4), 0.6, 0.95),
    "dark": Manner("phrygian", (0, 6, 1, 0), 0.7, 0.8),
    "party": Manner("dorian", (0, 0, 3, 4), 0.95, 0.45),
    "dreamy": Manner("dorian", (0, 3, 6, 3), 0.5, 1.2),
}
BANDS = {
    "pop": Band(("piano", "saw synth"), (0, 8), (4, 12), 8, 0.6),
    "rock": Band(("distorted guitar", "organ"), (0, 6, 8), (4, 12), 8, 0.8),
    "hip-hop": Band(("square synth", "piano"), (0, 3, 10), (4, 12), 16, 0.9),
    "electronic": Band(("saw synth", "square synth"), (0, 4, 8, 12), (4, 12), 8, 1.0),
    "folk": Band(("guitar", "flute"), (0,), (), 0, 0.15),
    "jazz": Band(("piano", "brass"), (0, 10), (6, 14), 6, 0.35),
    "classical": Band(("strings", "piano"), (), (), 0, 0.0),
    "r-and-b": Band(("organ", "bells"), (0, 7), (4, 12), 8, 0.6),
    "metal": Band(("distorted guitar", "strings"), (0, 2, 4, 6, 8, 10, 12, 14), (4, 12), 16, 1.0),
    "country": Band(("guitar", "strings"), (0, 8), (4, 12), 4, 0.4),
    "latin": Band(("brass", "guitar"), (0, 6, 12), (3, 8, 14), 12, 0.7),
    "ambient": Band(("strings", "bells"), (), (), 0, 0.0),
    "punk": Band(("distorted guitar", "square synth"), (0, 8, 10), (4, 12), 8, 0.9),
    "soundtrack": Band(("strings", "brass"), (0,), (), 0, 0.2),
}


@dataclass(frozen=True)
class Score:
    """One song as it is to be performed."""

    genre: str
    mood: str
    key: int
    tempo: float  # beats a minute
    language: int  # NO_WORDS: nobody sings
    era: int
    knobs: Knobs

    @property
    def band(self) -> Band:
        return BANDS[self.genre]

    @property
    def manner(self) -> Manner:
        return MANNERS[self.mood]

    @property
    def is_sung(self) -> bool:
        return self.language != NO_WORDS


def scores(songs: Songs, artists: Artists, seed: int) -> Iterator[Score]:
    """Of every song, in the order of the rows."""
    keys = np.random.default_rng([seed, _KEYS_SEED]).integers(len(KEYS), size=len(songs))
    knobs = np.tanh(songs.styles * np.sqrt(STYLE))
    for row in range(len(songs)):
        yield Score(
            genre=GENRES[artists.genres[songs.artists[row]]],
            mood=MOODS[songs.moods[row]],
            key=int(keys[row]),
            tempo=float(songs.tempos[row]),
            language=int(songs.languages[row]),
            era=int(songs.eras[row]),
            knobs=Knobs(*knobs[row].tolist()),
        )
