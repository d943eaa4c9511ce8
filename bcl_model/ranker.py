"""How evidence is weighed: one hidden layer, fitted to who heard songs that were held out for it.

    score(u, c) = out . relu( A pair(u, c) + B song(c) + D listener(u) + bias )

It is a logistic regression of "u heard c" with a hidden layer. Features are brought to mean 0 and deviation 1 over the
sample first. Those of a song and of a listener meet the layer once and not for each pair, so a block of listeners and
all songs cost one narrow product.
"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from torch import nn
from torch.nn import functional

from bcl_model.audiences import Floats
from bcl_model.encoder import mlp
from bcl_model.errors import BadData
from bcl_model.reach import Evidence, Ints
from bcl_model.settings import ReachSettings

LISTENERS_AT_ONCE = 256  # bounds the memory of pairs
PAIRS_PER_STEP = 8192
SAME = 1e-4  # a feature that varies less says nothing


@dataclass(frozen=True)
class Ranker:
    pair: Floats  # (features, hidden)
    song: Floats
    listener: Floats
    bias: Floats  # (hidden,)
    out: Floats  # (hidden,)

    def scores(self, evidence: Evidence, listeners: Ints) -> Floats:
        """(listeners, songs)."""
        of_songs = evidence.of_songs @ self.song + self.bias  # (songs, hidden)
        of_listeners = evidence.of_listeners @ self.listener
        scores = np.empty((len(listeners), len(of_songs)), np.float32)
        for start in range(0, len(listeners), LISTENERS_AT_ONCE):
            some = listeners[start : start + LISTENERS_AT_ONCE]
            for row, (listener, of_pairs) in enumerate(zip(some, evidence.of_pairs(some), strict=True), start):
                hidden = of_pairs @ self.pair  # (songs, hidden): of one listener, which the processor keeps at hand
                hidden += of_songs + of_listeners[listener]
                scores[row] = np.maximum(hidden, 0, out=hidden) @ self.out
        return scores


def fitted(evidence: Evidence, heard: sparse.csr_array, settings: ReachSettings, seed: int) -> Ranker:
    """From evidence on songs and who heard them, (listeners, songs)."""
    features, answers = _sample(evidence, heard, settings, seed)
    mean, deviation = features.mean(axis=0, dtype=np.float64), features.std(axis=0, dtype=np.float64)
    deviation = np.where(deviation < SAME, 1.0, deviation)
    rows, wanted = torch.from_numpy(((features - mean) / deviation).astype(np.float32)), torch.from_numpy(answers)
    generator = torch.Generator().manual_seed(seed)
    net = mlp((rows.shape[1], settings.hidden, 1), generator)
    net[1] = nn.ReLU()
    optimiser = torch.optim.Adam(net.parameters(), lr=settings.learning_rate)
    falling = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.01, settings.steps)
    for _ in range(settings.steps):
        some = torch.randint(len(rows), (PAIRS_PER_STEP,), generator=generator)
        loss = functional.binary_cross_entropy_with_logits(net(rows[some]).squeeze(1), wanted[some])
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        falling.step()
    weight, bias, out, _ = (one.detach().numpy() for one in net.parameters())
    weight = (weight / deviation).astype(np.float32)  # back to features as they are
    shift = (bias - weight @ mean).astype(np.float32)
    of_pairs, of_songs = evidence.of_pairs(np.arange(1)).shape[-1], evidence.of_songs.shape[1]
    pair, song, listener = np.split(weight.T, [of_pairs, of_pairs + of_songs])
    return Ranker(*(np.ascontiguousarray(one) for one in (pair, song, listener, shift, out[0])))


def _sample(evidence: Evidence, heard: sparse.csr_array, settings: ReachSettings, seed: int) -> tuple[Floats, Floats]:
    """Everyone who heard one of the songs, and for each of them some pairs drawn evenly that were not."""
    listeners, songs = heard.tocoo().coords
    if not len(listeners):
        raise BadData("nobody heard any of the validation songs, so evidence cannot be weighed: hold out more songs")
    rng = np.random.default_rng([seed, 0x4EAC])
    others = rng.integers(heard.shape[0], size=settings.negatives * len(listeners))
    their_songs = rng.integers(heard.shape[1], size=len(others))
    unheard = np.asarray(heard[others, their_songs]).ravel() == 0
    who = np.concatenate([listeners, others[unheard]])
    what = np.concatenate([songs, their_songs[unheard]])
    answers = (np.arange(len(who)) < len(listeners)).astype(np.float32)
    order = np.argsort(who, kind="stable")
    who, what, answers = who[order], what[order], answers[order]
    rows = []
    for start in range(0, heard.shape[0], LISTENERS_AT_ONCE):
        some = np.arange(start, min(start + LISTENERS_AT_ONCE, heard.shape[0]))
        first, last = np.searchsorted(who, [some[0], some[-1] + 1])
        at, song = who[first:last], what[first:last]
        pairs = evidence.of_pairs(some)[at - start, song]
        rows.append(np.concatenate([pairs, evidence.of_songs[song], evidence.of_listeners[at]], axis=1))
    return np.concatenate(rows), answers
