"""Where a training stands, as one safetensors file: what learns, the optimiser's moments, the step, what it belongs to.

It is written aside and renamed, so it is whole or the one before. Dropout and order follow from seed and step, so
nothing else is needed to go on as if nothing had happened. A text encoder that does not learn is not in it.
"""

import json
import os
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from bcl_model.errors import ModelError


@dataclass(frozen=True)
class Place:
    step: int = 0
    losses: tuple[float, ...] = ()  # of every step


def save(file: Path, model: nn.Module, optimiser: Optimizer, place: Place, of: str) -> None:
    tensors: dict[str, Tensor] = {f"model.{name}": weight for name, weight in _learning(model).items()}
    for number, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{number}.{name}": tensor for name, tensor in state.items()}
    told = {"of": of, "step": str(place.step), "losses": json.dumps(place.losses)}
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_name(f".{file.name}.{os.getpid()}")
    save_file({name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}, aside, told)
    aside.replace(file)


def resume(file: Path, model: nn.Module, optimiser: Optimizer, of: str) -> Place:
    try:
        with safe_open(file, "pt") as opened:
            told: dict[str, str] = dict(opened.metadata() or {})
            tensors: dict[str, Tensor] = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - no dict
    except (SafetensorError, OSError) as error:
        raise ModelError(f"the checkpoint {file} cannot be read: {error}; remove it to start anew") from error
    if told.get("of") != of:
        raise ModelError(f"the checkpoint {file} is of other settings, songs or weights; remove it to start anew")
    with torch.no_grad():
        for name, weight in _learning(model).items():
            weight.copy_(tensors[f"model.{name}"])
    moments: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimiser."):
            _, number, moment = name.split(".", 2)
            moments.setdefault(int(number), {})[moment] = tensor
    optimiser.load_state_dict({"state": moments, "param_groups": optimiser.state_dict()["param_groups"]})
    return Place(int(told["step"]), tuple(json.loads(told["losses"])))


def _learning(model: nn.Module) -> dict[str, nn.Parameter]:
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}


def fingerprint(model: nn.Module, *told: str | bytes) -> str:
    """Of all that a run follows from: what is told, and the weights that it begins with."""
    digest = sha256()
    for one in told:
        digest.update(one.encode() if isinstance(one, str) else one)
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode() + tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
