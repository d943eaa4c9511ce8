"""A score as a few seconds of mono sound: the same for a seed, thousands of clips in minutes of one core.

chords, bass, melody ─┐  each note: one period of its instrument in a table, read at the note's pitch
voice ────────────────┼─► sum ─► echo ─► the high end that the era lost ─► loudness ─► hiss
kick, snare, hats ────┘
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from streams.world.music import MODES, Knobs, Score
from streams.world.scene import ERAS

Samples = npt.NDArray[np.float32]

RATE = 16_000
STEPS = 16  # of a bar
_PERIOD = 1_024  # samples of a table
_HIGHEST_HARMONIC = 0.47 * RATE  # Hz; above, it would fold back
_LONGEST_S = 2.5
_A2 = 110.0
# the highest Hz that recordings of an era kept
_KEPT = (3_200.0, 4_200.0, 5_200.0, 6_400.0, 7_200.0, 7_900.0)
# the two formants, in Hz, of each language's voice
_FORMANTS = (
    (500, 1500), (350, 2300), (700, 1200), (600, 1000), (400, 1900), (300, 1700), (450, 2100), (800, 1400),
)  # fmt: skip


class Instrument(NamedTuple):
    harmonics: tuple[float, ...]  # loudness, from the fundamental on
    attack_s: float
    decay_s: float
    is_distorted: bool = False


class Note(NamedTuple):
    at_s: float
    pitch: float
    lasts_s: float
    loudness: float


INSTRUMENTS = {
    "piano": Instrument((1, 0.6, 0.35, 0.2, 0.12, 0.08), 0.005, 0.6),
    "guitar": Instrument((1, 0.7, 0.5, 0.2, 0.3, 0.1), 0.004, 0.35),
    "distorted guitar": Instrument((1, 0.9, 0.8, 0.7, 0.6, 0.55), 0.004, 0.9, is_distorted=True),
    "strings": Instrument((1, 0.7, 0.6, 0.4, 0.3, 0.25), 0.12, 2.0),
    "organ": Instrument((1, 0.9, 0.1, 0.7, 0.05, 0.4), 0.02, 3.0),
    "saw synth": Instrument((1, 0.5, 0.33, 0.25, 0.2, 0.17), 0.01, 0.8),
    "square synth": Instrument((1, 0, 0.33, 0, 0.2, 0), 0.01, 0.5),
    "flute": Instrument((1, 0.25, 0.08, 0.03), 0.06, 1.5),
    "brass": Instrument((0.8, 1, 0.8, 0.6, 0.4, 0.2), 0.04, 0.7),
    "bells": Instrument((1, 0, 0.6, 0, 0.4, 0.3), 0.002, 1.2),
}


def performed(score: Score, seconds: float, rng: np.random.Generator) -> Samples:
    """At RATE, within -1 and 1; `rng` draws the melody and the noise."""
    length, knobs = round(seconds * RATE), score.knobs
    step_s = 60 / score.tempo / 4
    sound = np.zeros(length, dtype=np.float32)
    players = [_Player(INSTRUMENTS[name], knobs) for name in score.band.instruments]
    for n, note in enumerate(_notes(score, seconds, step_s, rng)):
        _add(sound, note.at_s, players[n % len(players)].sound(note))
    if score.is_sung:
        sound += _voice(score, length, step_s, rng)
    _drum(sound, score, seconds, step_s, rng)
    echo = round((0.08 + 0.12 * (1 + knobs.echo_time)) * RATE)
    if echo < length:
        sound[echo:] += (0.2 + 0.2 * knobs.echo) * sound[:-echo]
    return _recorded(sound, score.era, rng)


def _notes(score: Score, seconds: float, step_s: float, rng: np.random.Generator) -> Iterator[Note]:
    """Chords and bass by the bar, and a melody of chance."""
    knobs, manner, mode = score.knobs, score.manner, MODES[score.manner.mode]
    root = _A2 * 2 ** (score.key / 12 + round(knobs.register * 0.8))

    def pitch(degree: int) -> float:
        octave, place = divmod(degree, len(mode))
        return float(root * 2 ** (octave + mode[place] / 12))

    steps = int(np.ceil(seconds / step_s))
    for first in range(0, steps, STEPS):
        chord = manner.chords[first // STEPS % len(manner.chords)]
        for third in (0, 2, 4):
            lasts_s = STEPS * step_s * min(1.0, manner.sounding)
            yield Note(first * step_s, pitch(chord + third), lasts_s, 0.22 * manner.loudness)
        for at in (first, first + STEPS // 2):
            yield Note(at * step_s, pitch(chord) / 2, 6 * step_s, 0.5 * (1 + 0.6 * knobs.bass) * manner.loudness)
    every = 4 if knobs.density < -0.3 else 2 if knobs.density < 0.4 else 1
    for at in range(0, steps, every):
        if rng.random() < 0.75:
            chord = manner.chords[at // STEPS % len(manner.chords)]
            degree = chord + len(mode) + int(rng.integers(len(mode)))
            yield Note(at * step_s, pitch(degree), every * step_s * manner.sounding * 2, 0.4 * manner.loudness)


class _Player:
    """An instrument in the manner of a song."""

    def __init__(self, instrument: Instrument, knobs: Knobs) -> None:
        self._instrument, self._knobs = instrument, knobs
        numbers = np.arange(1, len(instrument.harmonics) + 1)
        self._harmonics = np.array(instrument.harmonics) * numbers ** (0.55 * knobs.brightness)
        self._attack_s = instrument.attack_s * 4**knobs.attack
        self._decay_s = instrument.decay_s * 2**knobs.decay

    def sound(self, note: Note) -> Samples:
        knobs = self._knobs
        count = round(min(note.lasts_s + 0.05, _LONGEST_S) * RATE)
        time = np.arange(count, dtype=np.float32) / np.float32(RATE)
        depth = 0.0003 * (1 + knobs.vibrato)
        cycles = note.pitch * (time + depth * np.sin((2 * np.pi * (5 + 2 * knobs.vibrato_speed)) * time))
        table = _period(self._harmonics[: max(1, int(_HIGHEST_HARMONIC / note.pitch))])
        sound = _read(table, cycles) + _read(table, cycles * np.float32(1 + 0.004 * (1 + knobs.detune)))
        if self._instrument.is_distorted:
            sound = np.tanh(2 * sound)
        rise = 1 - np.exp(time * np.float32(-1 / self._attack_s))
        fall = np.exp(time * np.float32(-1 / self._decay_s)) * np.clip((time[-1] - time) / 0.05, 0, 1)
        heard: Samples = sound * rise * fall * np.float32(note.loudness / 4)
        return heard


def _voice(score: Score, length: int, step_s: float, rng: np.random.Generator) -> Samples:
    """A buzz of which the formants of the language are left; a syllable every few steps."""
    lasts = round(step_s * (3 if score.knobs.syllables < 0 else 2) * RATE)
    time = np.arange(lasts, dtype=np.float32) / np.float32(RATE)
    swell = np.sqrt(np.sin(np.linspace(0, np.pi, lasts, dtype=np.float32)).clip(0))
    swell *= np.float32(0.35 + 0.1 * score.knobs.voice)
    mode, sound = MODES[score.manner.mode], np.zeros(length, dtype=np.float32)
    for at in range(0, length, lasts):
        pitch = 1.5 * _A2 * 2 ** ((score.key + mode[int(rng.integers(len(mode)))]) / 12)
        harmonics = pitch * np.arange(1, min(15, int(_HIGHEST_HARMONIC / pitch)) + 1)
        colour = 1 + rng.uniform(-0.12, 0.12)
        near = [np.exp(-(((harmonics / (formant * colour) - 1) * 4) ** 2)) for formant in _FORMANTS[score.language]]
        sung = _read(_period(sum(near)), pitch * time) * swell
        sound[at : at + lasts] = sung[: length - at]
    return sound


def _drum(sound: Samples, score: Score, seconds: float, step_s: float, rng: np.random.Generator) -> None:
    knobs, band = score.knobs, score.band
    snare, hat = _noise(0.12, 0.2 + 0.25 * (1 + knobs.snare), rng), _noise(0.04, 0.95, rng)
    kick, swing_s = _kick(knobs.bass), 0.3 * max(0.0, knobs.swing) * step_s
    strikes = [(step, kick * (1 + 0.3 * knobs.bass)) for step in band.kicks]
    strikes += [(step, snare * 0.5) for step in band.snares]
    strikes += [(round(n * STEPS / band.hats), hat * 0.2 * (1 + knobs.hats)) for n in range(band.hats)]
    for bar in range(int(np.ceil(seconds / (STEPS * step_s)))):
        for step, strike in strikes:
            _add(sound, (bar * STEPS + step) * step_s + (swing_s if step % 2 else 0.0), strike * band.drums)


def _kick(bass: float) -> Samples:
    time = np.arange(round(0.18 * RATE), dtype=np.float32) / np.float32(RATE)
    cycles = 50 * time + 12 / 6 * (1 - np.exp(-time * 30))
    kick: Samples = np.sin(2 * np.pi * cycles) * np.exp(-time * np.float32(18 - 6 * bass))
    return kick.astype(np.float32)


def _noise(lasts_s: float, brightness: float, rng: np.random.Generator) -> Samples:
    noise = rng.standard_normal(round(lasts_s * RATE), dtype=np.float32)
    noise[1:] -= np.float32(brightness) * noise[:-1]
    faded: Samples = noise * np.exp(np.arange(len(noise), dtype=np.float32) * np.float32(-4 / len(noise))) * 0.5
    return faded


def _period(harmonics: npt.NDArray[np.floating]) -> Samples:
    """One period of these harmonics, each as a sine."""
    spectrum = np.zeros(_PERIOD // 2 + 1, dtype=np.complex128)
    spectrum[1 : len(harmonics) + 1] = -0.5j * _PERIOD * harmonics
    period: Samples = np.fft.irfft(spectrum, _PERIOD).astype(np.float32)
    return period


def _read(period: Samples, cycles: npt.NDArray[np.floating]) -> Samples:
    places = (cycles * _PERIOD).astype(np.int32)
    read: Samples = period[places & (_PERIOD - 1)]
    return read


def _add(sound: Samples, at_s: float, part: Samples) -> None:
    first = round(at_s * RATE)
    last = min(first + len(part), len(sound))
    if last > first:
        sound[first:last] += part[: last - first]


def _recorded(sound: Samples, era: int, rng: np.random.Generator) -> Samples:
    """As the era's tape kept it, and as loud as all the others."""
    spectrum = np.fft.rfft(sound)
    spectrum /= 1 + (np.fft.rfftfreq(len(sound), 1 / RATE) / _KEPT[era]) ** 8
    kept = np.fft.irfft(spectrum, len(sound))
    kept *= 0.8 / max(float(np.abs(kept).max()), 1e-9)
    hiss = rng.standard_normal(len(kept), dtype=np.float32) * (0.002 * (len(ERAS) - era))
    recorded: Samples = (kept + hiss).clip(-1, 1).astype(np.float32)
    return recorded
