"""How well vectors find each other: recall among the nearest, over songs that no training has seen."""

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional


def recall_of_own(queries: Tensor, answers: Tensor, at: Sequence[int] = (1, 5, 10)) -> dict[int, float]:
    """Row n of the answers is the right one for query n: how often it is among the nearest; ties count against it."""
    near = functional.normalize(queries.float()) @ functional.normalize(answers.float()).T
    before = (near >= near.diagonal()[:, None]).sum(dim=1) - 1
    return {k: float((before < k).float().mean()) for k in at}


def neighbours(vectors: Tensor, rows: Tensor, count: int) -> Tensor:
    """(rows, count): of these rows the most similar others of all, nearest first."""
    units = functional.normalize(vectors.float())
    near = units[rows] @ units.T
    near.scatter_(1, rows[:, None], -2.0)  # no song is its own neighbour
    return near.topk(min(count, len(vectors) - 1), dim=1).indices


def agreement(found: Tensor, true: Tensor) -> float:
    """Of the true neighbours of each song, the share that was found."""
    return float((true[:, :, None] == found[:, None, :]).any(dim=2).float().mean())
