"""Clips per second through HTCL's audio side, in batches and as a plain loop, beside what the processor could do.

encoder  frames in memory -> vectors: batched, and one clip at a time
files    sound files -> parquet by `embed_folder`, and by a loop that reads, hears and embeds one after another
share    of the peak: floating-point operations of a clip times clips per second, over those of a large matrix product

Weights are drawn: no speed depends on them. The sounds are noise.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from bcl_model.htcl.embed_folder import embed_folder
from bcl_model.htcl.embedder import Embedder
from bcl_model.htcl.mel import LogMel, together
from bcl_model.htcl.model import Htcl
from bcl_model.htcl.processes import torch_threads
from bcl_model.htcl.settings import HtclSettings, Pooling, read_htcl_settings
from bcl_model.htcl.sound import write_sound
from streams.commands.htcl import MODELS
from tests.builders.htcl import bert_folder

PER_BATCH = 32
# model -> clips that are measured, and for a try
CLIPS = {"small": (512, 32), "published": (8, 2)}


def measure(
    folder: Path, *, quick: bool, threads: int, seed: int, models: Sequence[str] = tuple(CLIPS)
) -> dict[str, Any]:
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    with torch_threads(threads):
        return {
            "threads": threads,
            "torch": torch.__version__,
            "clips": {
                model: {
                    f"{device} {'bf16' if bf16 else 'fp32'}": _of(
                        folder, model, device, bf16, CLIPS[model][quick], seed
                    )
                    for device in devices
                    for bf16 in (False, True)
                }
                for model in models
            },
        }


def settings_of(model: str, bert: Path) -> HtclSettings:
    """As named, with a text encoder that is here: only sounds are embedded."""
    settings = read_htcl_settings(MODELS / f"{model}.toml")
    return replace(settings, text=replace(settings.text, model=str(bert), pooling=Pooling.MEAN))


def _of(folder: Path, name: str, device: str, bf16: bool, clips: int, seed: int) -> dict[str, Any]:
    settings = settings_of(name, bert_folder(folder / "bert"))
    model = Htcl.fresh(settings)
    operations = operations_of(model)
    embedder = Embedder(f"benchmark {device} {bf16}", model, device=device, bf16=bf16)
    sounds = folder / name
    if not sounds.exists():
        sounds.mkdir()
        for n in range(clips):
            noise = np.random.default_rng([seed, n]).normal(scale=0.1, size=round(settings.sound.seconds * 16_000))
            write_sound(sounds / f"{n:05d}.wav", noise.astype(np.float32), 16_000)
    files = sorted(sounds.iterdir())
    frames = [embedder.frames(file) for file in files]

    def batched() -> None:
        for first in range(0, clips, PER_BATCH):
            embedder.sounds(frames[first : first + PER_BATCH])

    def one_by_one() -> None:
        for one in frames:
            embedder.sounds([one])

    def plain_loop() -> None:
        for file in files:
            embedder.sounds([embedder.frames(file)])

    out = folder / f"{name}.parquet"
    rates = {
        "encoder": clips / _seconds(batched),
        "encoder_one_by_one": clips / _seconds(one_by_one),
        "files": clips
        / _seconds(lambda: embed_folder(sounds, out, embedder, at_once=PER_BATCH, threads=torch.get_num_threads())),
        "files_plain_loop": clips / _seconds(plain_loop),
    }
    peak = peak_of(device, bf16)
    return {
        "clip_s": settings.sound.seconds,
        "clips": clips,
        "gflop_per_clip": round(operations / 1e9, 3),
        "clips_per_second": {of: round(rate, 2) for of, rate in rates.items()},
        "batched_over_loop": round(rates["encoder"] / rates["encoder_one_by_one"], 2),
        "files_over_plain_loop": round(rates["files"] / rates["files_plain_loop"], 2),
        "peak_gflop_per_second": round(peak / 1e9, 1),
        "share_of_peak": round(rates["encoder"] * operations / peak, 3),
    }


def operations_of(model: Htcl) -> int:
    """Of one clip of full length; counted where every operation is its own, which the fused layers of serving hide."""
    sound = model.settings.sound
    frames = torch.zeros(LogMel(sound).most_frames, sound.mels)
    with torch.no_grad(), FlopCounterMode(display=False) as counted:
        model.train().audio(together([frames]))
    model.eval()
    return counted.get_total_flops()


def peak_of(device: str, bf16: bool) -> float:
    """Operations per second of a large square matrix product: what this processor reaches at best.

    Small enough on a CPU that some of many calls are not interrupted.
    """
    size = 1_024 if device == "cpu" else 8_192
    a = torch.randn(size, size, device=device, dtype=torch.bfloat16 if bf16 else torch.float32)
    return 2 * size**3 / _seconds(lambda: a @ a, least=30)


def _seconds(call: Callable[[], Any], least: int = 2) -> float:
    """The best of some calls after one that warms up: what disturbs only ever slows down."""
    call()
    return min(_timed(call) for _ in range(least))


def _timed(call: Callable[[], Any]) -> float:
    _finished()
    started = time.perf_counter()
    call()
    _finished()
    return time.perf_counter() - started


def _finished() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def lines(found: dict[str, Any]) -> Sequence[str]:
    told = [f"torch {found['torch']}, {found['threads']} threads; clips/s, best of two"]
    told.append(
        f"{'':24}{'encoder':>10}{'one by one':>12}{'files':>10}{'plain loop':>12}{'of peak':>9}{'GFLOP/clip':>12}"
    )
    for model, kinds in found["clips"].items():
        for kind, one in kinds.items():
            rates = one["clips_per_second"]
            told.append(
                f"{model + ' ' + kind:24}{rates['encoder']:>10}{rates['encoder_one_by_one']:>12}{rates['files']:>10}"
                f"{rates['files_plain_loop']:>12}{one['share_of_peak']:>9.1%}{one['gflop_per_clip']:>12}"
            )
    return told
