"""How the rivals that learn by gradients learn: so many steps of Adam on one thread, drawn from one seed."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from bcl_model.train import torch_threads


def descend(
    parameters: Iterable[nn.Parameter],
    loss: Callable[[torch.Generator], Tensor],
    *,
    steps: int,
    learning_rate: float,
    weight_decay: float,
    seed: int,
) -> None:
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.Adam(parameters, lr=learning_rate, weight_decay=weight_decay, fused=True)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(steps, 1), eta_min=learning_rate / 10)
    with torch_threads(1):
        for _ in range(steps):
            optimiser.zero_grad(set_to_none=True)
            loss(generator).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            falling.step()


def drawn(below: int, count: int, generator: torch.Generator) -> Tensor:
    return torch.randint(below, (count,), generator=generator)
