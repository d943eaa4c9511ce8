"""The two losses: BPR ranks a similar song above others, InfoNCE knows a song again in its other view.

    L_BPR = - mean over (i, j, n) of ln sigmoid( s(i, j) - s(i, n) )
    L_CL  = - mean over i of ln [ exp(cos(z'_i, z''_i) / tau) / sum over j of exp(cos(z'_i, z''_j) / tau) ]

That it is these two together is FOUND (the company's talk); the form of L_CL is our reconstruction.
"""

import torch
from torch import Tensor
from torch.nn import functional


def bpr(positive: Tensor, negative: Tensor) -> Tensor:
    """positive: (pairs,), negative: (pairs, negatives)."""
    return functional.softplus(negative - positive.unsqueeze(-1)).mean()


def info_nce(first: Tensor, second: Tensor, temperature: float, *, both_directions: bool = False) -> Tensor:
    """first, second: (songs, width), the two views of the same songs; other songs of the batch are the negatives."""
    first, second = functional.normalize(first, dim=-1), functional.normalize(second, dim=-1)
    logits = first @ second.T / temperature  # (songs, songs)
    own = torch.arange(len(logits), device=logits.device)
    loss = functional.cross_entropy(logits, own)
    return (loss + functional.cross_entropy(logits.T, own)) / 2 if both_directions else loss
