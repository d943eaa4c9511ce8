"""What a model's vectors know, on held-out songs: linear probes, tagging by prompts alone, retrieval both ways.

linear probe   a logistic regression from the audio vectors of training songs to a tag, judged on held-out songs
zero-shot      the tag whose prompt's text vector is nearest to the audio vector; no song's tag is looked at
retrieval      is a song's own text among the nearest to its audio, and the other way
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from bcl_model.errors import BadData
from bcl_model.htcl.corpus import Corpus, Ints, Split
from bcl_model.htcl.embedder import Embedder, Floats
from bcl_model.htcl.retrieval import recall_of_own
from bcl_model.htcl.spectra import Spectra

PROMPT = "{tag}: {word}"
_FEWEST = 5  # training songs of a word, below which nothing is asked of it


@dataclass(frozen=True)
class Vectors:
    """Of all songs of a corpus that can be heard."""

    rows: Ints  # which songs
    audio: Floats
    text: Floats

    def places(self, rows: Ints) -> Ints:
        """Of these songs, without those that cannot be heard."""
        return np.flatnonzero(np.isin(self.rows, rows))


def vectors_of(
    corpus: Corpus,
    spectra: Spectra,
    embedder: Embedder,
    at_once: int = 64,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Vectors:
    rows = spectra.heard(np.arange(len(corpus)))
    audio = []
    for first in range(0, len(rows), at_once):
        some = rows[first : first + at_once]
        heard = spectra.of(some)
        frames = [song[:length] for song, length in zip(heard.frames, heard.lengths.tolist(), strict=True)]
        audio.append(embedder.sounds(frames))
        progress(first + len(some), len(rows))
    return Vectors(rows, np.concatenate(audio), embedder.words_of(corpus, rows))


def probe(
    corpus: Corpus, vectors: Vectors, embedder: Embedder, split: Split, tags: Sequence[str], prompt: str = PROMPT
) -> dict[str, Any]:
    training, held_out = vectors.places(split.training), vectors.places(split.held_out)
    if len(held_out) < 2:
        raise BadData(f"{len(held_out)} held-out songs can be heard, wanted at least 2; raise run.held_out_share")
    text, audio = torch.from_numpy(vectors.text[held_out]), torch.from_numpy(vectors.audio[held_out])
    return {
        "held_out_songs": len(held_out),
        "text_to_audio": _shares(recall_of_own(text, audio)),
        "audio_to_text": _shares(recall_of_own(audio, text)),
        "chance": _shares({k: min(1.0, k / len(held_out)) for k in (1, 5, 10)}),
        "tags": {tag: probe_tag(corpus, vectors, embedder, tag, training, held_out, prompt) for tag in tags},
    }


def probe_tag(
    corpus: Corpus, vectors: Vectors, embedder: Embedder, tag: str, training: Ints, held_out: Ints, prompt: str
) -> dict[str, float]:
    if tag not in corpus.tags:
        raise BadData(f"the songs have no tag {tag!r}, wanted one of {', '.join(sorted(corpus.tags)) or 'none'}")
    said = [corpus.tags[tag][row] for row in vectors.rows]
    often = Counter(said[n] for n in training)
    words = sorted(word for word, count in often.items() if word and count >= _FEWEST)
    if len(words) < 2:
        raise BadData(f"the tag {tag!r} has {len(words)} words on {_FEWEST} or more training songs, wanted two")
    place = {word: n for n, word in enumerate(words)}
    fit, judged = (np.array([n for n in side if said[n] in place], dtype=np.int64) for side in (training, held_out))
    if not len(judged):
        raise BadData(f"no held-out song has a word of the tag {tag!r} that training songs have")
    known, truth = (np.array([place[str(said[n])] for n in side]) for side in (fit, judged))
    scaler = StandardScaler().fit(vectors.audio[fit])
    regression = LogisticRegression(max_iter=1_000).fit(scaler.transform(vectors.audio[fit]), known)
    guessed = regression.predict(scaler.transform(vectors.audio[judged]))
    prompts = embedder.texts([prompt.format(tag=tag, word=word) for word in words])
    nearest = (vectors.audio[judged] @ prompts.T).argmax(axis=1)
    return {
        "words": len(words),
        "songs": len(judged),
        "linear_probe": round(float((guessed == truth).mean()), 5),
        "zero_shot": round(float((nearest == truth).mean()), 5),
        "most_frequent": round(float((truth == np.bincount(known).argmax()).mean()), 5),
    }


def _shares(found: dict[int, float]) -> dict[str, float]:
    return {f"recall_at_{k}": round(share, 5) for k, share in found.items()}
