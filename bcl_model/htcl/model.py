"""The two towers with their heads: songs in, vectors out; what a stage trains and what is served.

heard ─ audio encoder ─ MLP ─► audio (B, D) ┐
                                            ├─ MLP ─► fusion (B, D)
said ── text encoder ── MLP ─► text (B, D) ─┘
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from bcl_model.htcl.audio_encoder import AudioEncoder
from bcl_model.htcl.mel import Heard
from bcl_model.htcl.settings import HtclSettings
from bcl_model.htcl.text_encoder import TextEncoder
from bcl_model.htcl.wordpiece import Tokens

Said = Tokens | Tensor  # tokens, or the rows that a text encoder which does not learn has made of them


class Htcl(nn.Module):
    def __init__(self, settings: HtclSettings, text_encoder: TextEncoder) -> None:
        super().__init__()
        self.settings = settings
        self.audio_encoder = AudioEncoder(settings.sound.mels, settings.audio)
        self.text_encoder = text_encoder
        self.restart_heads()

    @classmethod
    def fresh(cls, settings: HtclSettings) -> "Htcl":
        """Untrained but for the text encoder; a seed repeats it."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.run.seed)
            return cls(settings, TextEncoder.pretrained(settings.text))

    @classmethod
    def empty(cls, settings: HtclSettings, text_folder: Path) -> "Htcl":
        """Weights are still to come."""
        with torch.random.fork_rng(devices=[]):
            return cls(settings, TextEncoder.empty(settings.text, text_folder))

    def restart_heads(self) -> None:
        """As at the beginning: stage 2 starts so (FOUND)."""
        head = self.settings.head
        self.audio_head = mlp(self.settings.audio.width, head.layers)
        self.text_head = mlp(self.text_encoder.width, head.layers)
        self.fusion = mlp(2 * head.layers[-1], head.fusion)

    def audio(self, heard: Heard) -> Tensor:
        rows: Tensor = self.audio_head(self.audio_encoder(heard))
        return rows

    def text(self, said: Said) -> Tensor:
        rows: Tensor = self.text_head(said if isinstance(said, Tensor) else self.text_encoder(said))
        return rows

    def forward(self, heard: Heard, said: Said) -> Tensor:
        """(B, 3, D): audio, text and fusion of each song."""
        audio, text = self.audio(heard).float(), self.text(said).float()
        return torch.stack([audio, text, self.fusion(torch.cat([audio, text], dim=1)).float()], dim=1)


def mlp(before: int, layers: tuple[int, ...]) -> nn.Sequential:
    """ReLU between, none after the last."""
    parts: list[nn.Module] = []
    for width in layers:
        parts += [nn.Linear(before, width), nn.ReLU()]
        before = width
    return nn.Sequential(*parts[:-1])
