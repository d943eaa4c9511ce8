"""What makes an HTCL model, as frozen values read from config/htcl/*.toml; the defaults are the published sizes.

Grades: FOUND is in the authors' code; everything else is our reconstruction: the paper does not publish this value.
"""

import math
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from bcl_model.errors import BadModelSettings
from bcl_model.settings import from_file


class Pooling(StrEnum):
    """How the states of a text's pieces become one row."""

    POOLER = "pooler"  # FOUND: BERT's own, of the first piece
    MEAN = "mean"  # what MiniLM was made for


class HeldOutBy(StrEnum):
    """What is split, so that nothing of the held-out songs is trained on."""

    ARTIST = "artist"  # our default; a song of artists from both sides is left out of both
    SONG = "song"


@dataclass(frozen=True)
class SoundSettings:
    sample_rate: int = 16_000  # our reconstruction: so the windows are 2048 and 1536 samples
    seconds: float = 120.0  # FOUND: from the beginning; the rest is not heard
    window_s: float = 0.128  # FOUND: Hann
    hop_s: float = 0.096  # FOUND
    mels: int = 128  # FOUND
    below_peak_db: float = 80.0  # FOUND: what is quieter counts as this quiet


@dataclass(frozen=True)
class AudioSettings:
    """FOUND, every one."""

    channels: tuple[int, ...] = (512, 512, 512)
    kernels: tuple[int, ...] = (5, 3, 3)
    strides: tuple[int, ...] = (2, 2, 2)
    width: int = 768
    position_kernel: int = 31
    position_groups: int = 16
    layers: int = 12
    heads: int = 12
    feed_forward: int = 3072
    dropout: float = 0.1


@dataclass(frozen=True)
class TextSettings:
    model: str = "bert-base-multilingual-uncased"  # FOUND; a public name, a folder, or "minilm"
    pooling: Pooling = Pooling.POOLER
    max_tokens: int = 512
    is_trained: bool = True  # FOUND: in full; else it stays as it was shipped and only its head learns


@dataclass(frozen=True)
class HeadSettings:
    layers: tuple[int, ...] = (384, 192, 100)  # FOUND; the last is the size of the vectors
    fusion: tuple[int, ...] = (200, 100, 100)  # FOUND


@dataclass(frozen=True)
class LossSettings:
    first_scale: float = 2.6  # FOUND: a temperature of .0743
    highest_scale: float = math.log(100)  # CLIP's limit; the authors set none
    weights: tuple[float, ...] = (1.0, 1.0, 1.0)  # FOUND: semantics, preference, distillation (stage 2)


@dataclass(frozen=True)
class StageSettings:
    """One of the two trainings."""

    epochs: int = 20  # FOUND
    per_batch: int = 32  # FOUND: songs on each device; in stage 2, pairs
    accumulate: int = 1  # batches that make one step, each a negative of all others, as if they were one
    audio_rate: float = 1e-4  # of the audio encoder; FOUND, as the two below
    text_rate: float = 1e-5
    head_rate: float = 1e-4  # of heads and scales
    warm_up_share: float = 0.0  # FOUND: none; share of the steps during which the rate rises in a line
    final_rate_share: float = 1.0  # FOUND: no schedule; below 1 the rate falls along a cosine
    clip_norm: float = 0.0  # FOUND: none; 0: gradients are taken as they are


@dataclass(frozen=True)
class FeedbackSettings:
    """Which recalled songs pleased after their trigger: a posterior check, our reconstruction."""

    min_shown: int = 10  # times, below which a pair is not judged and not kept
    min_like_rate: float = 0.5  # quantile of the judged pairs' rates of likes; pairs at or above it are kept


@dataclass(frozen=True)
class RunSettings:
    seed: int = 3407  # FOUND
    held_out_by: HeldOutBy = HeldOutBy.ARTIST
    held_out_share: float = 0.1  # FOUND, of rows; ours of artists or songs: never trained on, judged at the end
    judge_every: int = 1  # epochs
    checkpoint_every: int = 200  # steps, where a checkpoint is named
    device: str = "cpu"
    bf16: bool = False
    threads: int = 1  # more are faster only where the cores are free


@dataclass(frozen=True)
class HtclSettings:
    sound: SoundSettings = field(default_factory=SoundSettings)
    audio: AudioSettings = field(default_factory=AudioSettings)
    text: TextSettings = field(default_factory=TextSettings)
    head: HeadSettings = field(default_factory=HeadSettings)
    loss: LossSettings = field(default_factory=LossSettings)
    stage1: StageSettings = field(default_factory=StageSettings)
    feedback: FeedbackSettings = field(default_factory=FeedbackSettings)
    stage2: StageSettings = field(default_factory=lambda: StageSettings(audio_rate=1e-5))
    run: RunSettings = field(default_factory=RunSettings)

    def __post_init__(self) -> None:
        audio, head = self.audio, self.head
        if not len(audio.channels) == len(audio.kernels) == len(audio.strides) > 0:
            raise BadModelSettings(
                f"audio has {len(audio.channels)} channels, {len(audio.kernels)} kernels and {len(audio.strides)} "
                "strides, wanted one of each for every convolution"
            )
        if audio.width % audio.heads or audio.width % audio.position_groups:
            raise BadModelSettings(
                f"audio.width is {audio.width}, wanted a multiple of heads {audio.heads} "
                f"and of position_groups {audio.position_groups}"
            )
        if not head.layers or not head.fusion or head.fusion[-1] != head.layers[-1]:
            raise BadModelSettings(
                f"head.fusion ends in {head.fusion[-1:]}, wanted the size of the vectors {head.layers[-1:]}"
            )
        if len(self.loss.weights) != 3:
            raise BadModelSettings(f"loss.weights has {len(self.loss.weights)} numbers, wanted three")
        if not 0 < self.run.held_out_share < 1:
            raise BadModelSettings(f"run.held_out_share is {self.run.held_out_share}, wanted more than 0, less than 1")
        if self.text.max_tokens < 3:
            raise BadModelSettings(f"text.max_tokens is {self.text.max_tokens}, wanted at least 3")
        for name, stage in (("stage1", self.stage1), ("stage2", self.stage2)):
            if min(stage.epochs, stage.accumulate) < 1 or stage.per_batch < 2:
                raise BadModelSettings(
                    f"{name} wants at least 1 epoch, accumulate of at least 1 and per_batch of at least 2: found "
                    f"{stage.epochs}, {stage.accumulate}, {stage.per_batch}"
                )

    @property
    def size(self) -> int:
        """Of the vectors."""
        return self.head.layers[-1]


def read_htcl_settings(path: Path) -> HtclSettings:
    return from_file(HtclSettings, path, "HTCL settings")
