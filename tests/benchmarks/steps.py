"""What a training step costs: BCL beside BPR only at the same batch, in turns, and how many pairs a second either sees.

Turns of a few steps follow each other closely, so what else the machine does falls on both. A cost is CPU time; of the
turns the median counts, and of the ratio the median over pairs of neighbouring turns.
"""

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

from bcl_model.catalogue import Catalogue
from bcl_model.encoder import tensors_of
from bcl_model.settings import TrainSettings, read_settings
from bcl_model.train import Run, learning_rate, split, torch_threads
from streams.world.catalogue import simulated
from streams.world.world import WorldSettings

MODELS = Path(__file__).parents[2] / "config" / "models"
BASE = "bpr"


def measure(names: Sequence[str], songs: int, listeners: int, plays: int, turns: int, steps: int) -> dict[str, Any]:
    """`names` are models of config/models beside BPR; `steps` is of a turn."""
    catalogue = simulated(WorldSettings(listeners=listeners, songs=songs, new_songs=1), plays)
    with torch_threads(1):
        runs = {name: made(catalogue, read_settings(MODELS / f"{name}.toml")) for name in (BASE, *names)}
        for run in runs.values():
            seconds(run, steps)  # warm
        found = {name: [] for name in runs}
        for _ in range(turns):
            for name, run in runs.items():
                found[name].append(seconds(run, steps) / steps)
    pairs = {name: run.settings.run.pairs_per_step for name, run in runs.items()}
    return {
        "fields": len(catalogue.fields),
        "pairs_per_step": pairs,
        "contrast_songs": {name: runs[name].settings.contrast.songs for name in names},
        "ms_per_step": {name: round(median(of) * 1000, 2) for name, of in found.items()},
        "pairs_per_second": {name: round(pairs[name] / median(of)) for name, of in found.items()},
        "times_bpr": {
            name: round(median(own / base for own, base in zip(found[name], found[BASE], strict=True)), 3)
            for name in names
        },
    }


def made(catalogue: Catalogue, settings: TrainSettings) -> Run:
    task = split(catalogue.interactions, len(catalogue.contents), settings)
    fields = catalogue.fields.learned([catalogue.contents[song] for song in task.training])
    return Run(fields, settings, tensors_of(fields.encode(catalogue.contents)), task)


def seconds(run: Run, steps: int) -> float:
    """CPU time of so many steps, all that a step of training does."""
    started = process_time()
    for _ in range(steps):
        run.step += 1
        for group in run.optimiser.param_groups:
            group["lr"] = learning_rate(run.step, run.settings.run)
        loss = run.loss()
        run.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        run.optimiser.step()
    return process_time() - started
