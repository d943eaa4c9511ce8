"""What the two stages minimise: symmetric contrast, with the same song never counted as its own negative.

CLIP(a, b; s)  = ½ [ CE(rows) + CE(columns) ] of cos(a, b) exp(s)
stage 1        = CLIP(audio, text; s)
stage 2        = w1 CLIP([a1;a2], [t1;t2]; s1) + w2 CLIP(a1, a2; s2) + w3 ½ [ CLIP(a1, f2; s3) + CLIP(a2, f1; s3) ]
                 of pairs of a trigger song 1 and a recalled song 2, with f = fusion(a, t)

Over several processes every one contrasts its own rows with the rows of all; gradients flow through its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional

NEVER = -1e4  # a logit that takes no part; finite, so that bf16 and a row of nothing else stay numbers


@dataclass(frozen=True)
class Side:
    """Vectors of one side of a contrast, and of each the songs that it stands for: (B, 1), or (B, 2) for a pair."""

    vectors: Tensor
    songs: Tensor


def clip(a: Side, b: Side, scale: Tensor) -> Tensor:
    """Row n of both sides belongs together; where two rows share a song, neither is a negative of the other."""
    rows = _one_way(a, b, scale)
    columns = _one_way(b, a, scale)
    return (rows + columns) / 2


def _one_way(ours: Side, theirs: Side, scale: Tensor) -> Tensor:
    all_theirs, first = gathered(theirs)
    logits = functional.normalize(ours.vectors.float()) @ functional.normalize(all_theirs.vectors.float()).T
    own = first + torch.arange(len(logits), device=logits.device)
    shared = (ours.songs[:, None, :, None] == all_theirs.songs[None, :, None, :]).any(dim=-1).any(dim=-1)  # (B, N)
    shared[torch.arange(len(logits), device=logits.device), own] = False
    return functional.cross_entropy((logits * scale.exp()).masked_fill(shared, NEVER), own)


def gathered(side: Side) -> tuple[Side, int]:
    """The rows of all processes, and where our own begin."""
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return side, 0
    count, rank = dist.get_world_size(), dist.get_rank()
    vectors = [torch.zeros_like(side.vectors) for _ in range(count)]
    songs = [torch.zeros_like(side.songs) for _ in range(count)]
    dist.all_gather(vectors, side.vectors.detach().contiguous())
    dist.all_gather(songs, side.songs.contiguous())
    vectors[rank] = side.vectors
    return Side(torch.cat(vectors), torch.cat(songs)), rank * len(side.songs)


@dataclass(frozen=True)
class Represented:
    """Songs of one batch as the heads give them."""

    audio: Tensor
    text: Tensor
    fusion: Tensor
    songs: Tensor  # (B,), which song each row is


def semantics(one: Represented, scale: Tensor) -> Tensor:
    songs = one.songs[:, None]
    return clip(Side(one.audio, songs), Side(one.text, songs), scale)


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
    liked = clip(Side(trigger.audio, pair), Side(recalled.audio, pair), scales[1])
    told = clip(Side(trigger.audio, pair), Side(recalled.fusion, pair), scales[2])
    told = told + clip(Side(recalled.audio, pair), Side(trigger.fusion, pair), scales[2])
    return weights[0] * semantics(both, scales[0]) + weights[1] * liked + weights[2] * told / 2
