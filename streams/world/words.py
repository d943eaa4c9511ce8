"""What a catalogue would write of a song of the simulated world: a caption and lyrics, from what its music means.

The words of the lyrics are invented: every language has a small vocabulary of its own, most of it for one mood each.
"""

from functools import cache
from itertools import product

import numpy as np

from streams.world.music import KEYS, Score
from streams.world.scene import ERAS, LANGUAGES, MOODS

NO_LANGUAGE = "none"
_SYLLABLES = (
    "ba de lo mi ran sto ver", "zhi xun mei hao tian yue", "cor lu vi amo sol rio", "cao sau bel mar voa luz",
    "ci eau rou mon jou lai", "ger ach wol nie zau sch", "ka shi mo ro yu ha", "gang na sa rae byeol",
)  # fmt: skip
_OF_MOOD, _OF_NONE, _LINES, _PER_LINE = 12, 30, 4, 5
_PACES = ((75.0, "very slow"), (95.0, "slow"), (115.0, "moderate"), (135.0, "fast"), (np.inf, "very fast"))


def caption(score: Score) -> str:
    """What a listener could tell by ear, never the style behind it."""
    pace = next(word for below, word in _PACES if score.tempo < below)
    return (
        f"genre: {score.genre}. mood: {score.mood}. tempo: {pace}, {round(score.tempo)} beats per minute. "
        f"key: {KEYS[score.key]} {score.manner.mode}. instruments: {', '.join(score.band.instruments)}. "
        f"language: {language(score)}. era: {era(score)}."
    )


def language(score: Score) -> str:
    return LANGUAGES[score.language] if score.is_sung else NO_LANGUAGE


def era(score: Score) -> str:
    return f"{ERAS[score.era]}s"


def lyrics(score: Score, rng: np.random.Generator) -> str:
    """Four lines of the language's words, about half of them of the mood; empty without words."""
    if not score.is_sung:
        return ""
    words = _vocabulary(score.language)
    first = MOODS.index(score.mood) * _OF_MOOD
    moody, plain = words[first : first + _OF_MOOD], words[len(MOODS) * _OF_MOOD :]
    drawn = [some[int(rng.integers(len(some)))] for some in _either(moody, plain, rng)]
    return "\n".join(" ".join(drawn[n : n + _PER_LINE]) for n in range(0, len(drawn), _PER_LINE))


def _either(moody: list[str], plain: list[str], rng: np.random.Generator) -> list[list[str]]:
    return [moody if coin < 0.5 else plain for coin in rng.random(_LINES * _PER_LINE)]


@cache
def _vocabulary(language: int) -> list[str]:
    """Words of two or three syllables, none twice: those of the first mood, of the second ..., then those of none."""
    syllables = _SYLLABLES[language].split()
    words = ["".join(some) for count in (2, 3) for some in product(syllables, repeat=count)]
    words = list(dict.fromkeys(words))
    order = np.random.default_rng([language, 61]).permutation(len(words))
    return [words[n] for n in order[: len(MOODS) * _OF_MOOD + _OF_NONE]]
