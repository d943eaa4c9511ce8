"""Several processes that train one model: who we are among them, and rows of all of them side by side."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from bcl_model.errors import BadModelSettings

_PATIENCE = timedelta(hours=12)  # the first process makes the spectra of a whole catalogue while the others wait


@dataclass(frozen=True)
class Processes:
    rank: int
    count: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def gathered(self, ours: Tensor) -> Tensor:
        """(count * B, ...): the rows of all, ours at rank * B; of equal shape in every process, without gradients."""
        if self.count == 1:
            return ours.detach()
        rows = [torch.empty_like(ours) for _ in range(self.count)]
        dist.all_gather(rows, ours.detach().contiguous())
        return torch.cat(rows)

    def wait(self) -> None:
        if self.count > 1:
            dist.barrier()


@contextmanager
def processes(device: str) -> Iterator[Processes]:
    """As torchrun says in the environment; alone where nothing is said."""
    rank, count, local = (int(os.environ.get(name, usual)) for name, usual in _VARIABLES)
    if device.startswith("cuda"):
        if not torch.cuda.is_available():
            raise BadModelSettings(f"run.device is {device}, and this machine has no such device; set it to cpu")
        if count > 1:
            device = f"cuda:{local}"
            torch.cuda.set_device(local)
    if count == 1:
        yield Processes(0, 1, torch.device(device))
        return
    dist.init_process_group("nccl" if device.startswith("cuda") else "gloo", timeout=_PATIENCE)
    try:
        yield Processes(rank, count, torch.device(device))
    finally:
        dist.destroy_process_group()


@contextmanager
def torch_threads(wanted: int | None) -> Iterator[int]:
    """As many as wanted, else as many as there were; afterwards as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(wanted or before)
    try:
        yield wanted or before
    finally:
        torch.set_num_threads(before)


_VARIABLES = (("RANK", "0"), ("WORLD_SIZE", "1"), ("LOCAL_RANK", "0"))
