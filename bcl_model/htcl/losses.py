"""What the two stages minimise: symmetric contrast, with the same song never counted as its own negative.

CLIP(a, b; s)  = ½ [ CE(rows) + CE(columns) ] of cos(a, b) exp(s)
stage 1        = CLIP(audio, text; s)
stage 2        = w1 CLIP([a1;a2], [t1;t2]; s1) + w2 CLIP(a1, a2; s2) + w3 ½ [ CLIP(a1, f2; s3) + CLIP(a2, f1; s3) ]
                 of pairs of a trigger song 1 and a recalled song 2, with f = fusion(a, t)

Pure: the rows are those of a whole step; train.py brings them together from all batches and processes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

NEVER = -1e4  # a logit that takes no part; finite, so that a row of nothing else stays a number


@dataclass(frozen=True)
class Represented:
    """Songs as the heads give them."""

    audio: Tensor  # (B, D), as the next two
    text: Tensor
    fusion: Tensor
    songs: Tensor  # (B,), which song each row is


def clip(a: Tensor, b: Tensor, songs: Tensor, scale: Tensor) -> Tensor:
    """Row n of `a` and of `b` belong together and stand for `songs[n]`, one or two of them: (B, 1) or (B, 2).

    Where two rows share a song, neither is a negative of the other.
    """
    cosines = functional.normalize(a.float()) @ functional.normalize(b.float()).T  # (B, D) @ (D, B) -> (B, B)
    shared = (songs[:, None, :, None] == songs[None, :, None, :]).flatten(2).any(dim=2)  # (B, B)
    logits = (cosines * scale.exp()).masked_fill(shared.fill_diagonal_(False), NEVER)
    own = torch.arange(len(a), device=a.device)
    return (functional.cross_entropy(logits, own) + functional.cross_entropy(logits.T, own)) / 2


def semantics(one: Represented, scale: Tensor) -> Tensor:
    return clip(one.audio, one.text, one.songs[:, None], scale)


def preference(
    trigger: Represented, recalled: Represented, scales: Sequence[Tensor], weights: Sequence[float]
) -> Tensor:
    both = Represented(
        torch.cat([trigger.audio, recalled.audio]),
        torch.cat([trigger.text, recalled.text]),
        torch.cat([trigger.fusion, recalled.fusion]),
        torch.cat([trigger.songs, recalled.songs]),
    )
    # A pair stands for both of its songs: a song recalled for two triggers is a negative of neither.
    pair = torch.stack([trigger.songs, recalled.songs], dim=1)
    liked = clip(trigger.audio, recalled.audio, pair, scales[1])
    told = clip(trigger.audio, recalled.fusion, pair, scales[2]) + clip(recalled.audio, trigger.fusion, pair, scales[2])
    return weights[0] * semantics(both, scales[0]) + weights[1] * liked + weights[2] * told / 2
