"""How evidence is weighed: one hidden layer, fitted to who heard songs that were held out for it.

    score(u, c) = out . relu( A pair(u, c) + B song(c) + D listener(u) + bias )

It is fitted to rank, in both ways that are asked for: one who heard a song above other listeners, and the song above
other songs of that listener, each by a softmax. Features are brought to mean 0 and deviation 1 over the sample first.
Those of a song and of a listener meet the layer once and not for each pair, so a block of listeners and all songs cost
one narrow product.
"""

from dataclasses import dataclass
from math import ceil

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn

from bcl_model.audiences import Floats
from bcl_model.encoder import mlp
from bcl_model.errors import BadData
from bcl_model.fields import Bools
from bcl_model.reach import Evidence, Ints
from bcl_model.settings import ReachSettings

LISTENERS_AT_ONCE = 256  # bounds the memory of pairs
ENOUGH_PAIRS, PAIRS_PER_STEP = 20_000, 256  # heard ones; listeners are left out while enough pairs are left
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
    features, is_heard = _sample(evidence, heard, settings, seed)
    every = features.reshape(-1, features.shape[-1])
    mean, deviation = every.mean(axis=0, dtype=np.float64), every.std(axis=0, dtype=np.float64)
    deviation = np.where(deviation < SAME, 1.0, deviation)
    features -= mean.astype(np.float32)
    features /= deviation.astype(np.float32)
    rows, left_out = torch.from_numpy(features), torch.from_numpy(is_heard)
    generator = torch.Generator().manual_seed(seed)
    net = mlp((rows.shape[-1], settings.hidden, 1), generator)
    net[1] = nn.ReLU()
    optimiser = torch.optim.Adam(net.parameters(), lr=settings.learning_rate)
    falling = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.01, settings.steps)
    for _ in range(settings.steps):
        some = torch.randint(len(rows), (PAIRS_PER_STEP,), generator=generator)
        own, others = net(rows[some]).squeeze(-1).split([1, 2 * settings.negatives], dim=1)
        listeners, songs = others.masked_fill(left_out[some], -torch.inf).chunk(2, dim=1)
        loss = _surprise(own, listeners) + _surprise(own, songs)
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


def _surprise(own: Tensor, others: Tensor) -> Tensor:
    """That the first of these was the one: -log of its share of the softmax."""
    return (torch.cat([own, others], dim=1).logsumexp(dim=1) - own.squeeze(1)).mean()


def _sample(evidence: Evidence, heard: sparse.csr_array, settings: ReachSettings, seed: int) -> tuple[Floats, Bools]:
    """Features of pairs that some listeners heard, each before others of those listeners and other songs of its own.

    (pairs, 1 + 2 negatives, features), and (pairs, 2 negatives): which of the others are heard as well.
    """
    if not heard.nnz:
        raise BadData("nobody heard any of the validation songs, so evidence cannot be weighed: hold out more songs")
    rng = np.random.default_rng([seed, 0x4EAC])
    asked = ceil(heard.shape[0] * min(1.0, ENOUGH_PAIRS / heard.nnz))
    some = np.sort(rng.permutation(heard.shape[0])[:asked])
    heard = heard[some]
    listeners, songs = (places[:, None] for places in heard.tocoo().coords)
    shape = (len(listeners), settings.negatives)
    who = np.hstack([listeners, rng.integers(heard.shape[0], size=shape), np.broadcast_to(listeners, shape)])
    what = np.hstack([songs, np.broadcast_to(songs, shape), rng.integers(heard.shape[1], size=shape)])
    is_heard = np.asarray(heard[who.ravel(), what.ravel()]).reshape(who.shape)[:, 1:] != 0
    return _features(evidence, some, who.ravel(), what.ravel()).reshape(*who.shape, -1), is_heard


def _features(evidence: Evidence, listeners: Ints, who: Ints, what: Ints) -> Floats:
    """Of pairs in any order, `who` counted within `listeners`; evidence is computed a block of listeners at a time."""
    order = np.argsort(who, kind="stable")
    of_pair, of_song, of_listener = evidence.of_pairs(listeners[:1]), evidence.of_songs, evidence.of_listeners
    features = np.empty((len(who), of_pair.shape[-1] + of_song.shape[1] + of_listener.shape[1]), np.float32)
    for start in range(0, len(listeners), LISTENERS_AT_ONCE):
        some = listeners[start : start + LISTENERS_AT_ONCE]
        first, last = np.searchsorted(who, [start, start + len(some)], sorter=order)
        rows = order[first:last]
        at, song = who[rows] - start, what[rows]
        pairs = evidence.of_pairs(some)[at, song]
        features[rows] = np.concatenate([pairs, of_song[song], of_listener[some[at]]], axis=1)
    return features
