"""The audio encoder: log-mel frames in, one row a song out, whatever stands beside it and however it is padded.

    (B, T, mels) ─ 3 × [convolution, norm, GELU] ─► (B, S, channels) ─ norm, linear ─► (B, S, width)
    + positional convolution, norm, dropout, CLS before ─► Transformer, post-norm ─► mean of the tokens, CLS included

A song's tokens are those whose whole field lies within its own frames. Everything behind them is zero before the
positional convolution, hidden from attention and left out of the mean (test_padding_changes_no_embedding).
"""

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from bcl_model.htcl.mel import Heard
from bcl_model.htcl.settings import AudioSettings
from bcl_model.htcl.sound import UnreadableSound


class AudioEncoder(nn.Module):
    def __init__(self, mels: int, settings: AudioSettings) -> None:
        super().__init__()
        self.settings = settings
        before = (mels, *settings.channels[:-1])
        self.convolutions = nn.ModuleList(
            _Convolution(*sizes)
            for sizes in zip(before, settings.channels, settings.kernels, settings.strides, strict=True)
        )
        self.projection_norm = nn.LayerNorm(settings.channels[-1])
        self.projection = nn.Linear(settings.channels[-1], settings.width)
        self.position = weight_norm(
            nn.Conv1d(
                settings.width,
                settings.width,
                settings.position_kernel,
                padding=settings.position_kernel // 2,
                groups=settings.position_groups,
            ),
            dim=2,
        )
        self.position_norm = nn.LayerNorm(settings.width)
        self.norm = nn.LayerNorm(settings.width)
        self.dropout = nn.Dropout(settings.dropout)
        self.cls = nn.Parameter(torch.randn(1, 1, settings.width))
        layer = nn.TransformerEncoderLayer(
            settings.width,
            settings.heads,
            settings.feed_forward,
            settings.dropout,
            activation="gelu",
            batch_first=True,
        )
        # The fast path for nested tensors changes the last bits with the padding.
        self.transformer = nn.TransformerEncoder(layer, settings.layers, enable_nested_tensor=False)

    def forward(self, heard: Heard) -> Tensor:
        tokens = heard.frames
        for convolution in self.convolutions:
            tokens = convolution(tokens)  # (B, S, channels)
        counts = self.tokens_of(heard.lengths)
        if int(counts.min()) < 1:
            raise UnreadableSound(
                f"a sound has {int(heard.lengths.min())} frames, the encoder hears from {self.fewest_frames} on"
            )
        silent = torch.arange(tokens.shape[1], device=counts.device) >= counts[:, None]  # (B, S)
        tokens = self.projection(self.projection_norm(tokens)).masked_fill(silent[..., None], 0.0)
        position = self.position(tokens.transpose(1, 2))[..., : tokens.shape[1]].transpose(1, 2)
        tokens = self.norm(tokens + nn.functional.gelu(self.position_norm(position)))
        tokens = torch.cat([self.cls.expand(len(tokens), -1, -1).to(tokens.dtype), self.dropout(tokens)], dim=1)
        silent = nn.functional.pad(silent, (1, 0))  # (B, 1 + S): CLS is never silent
        states = self.transformer(tokens, src_key_padding_mask=silent)
        mean: Tensor = states.masked_fill(silent[..., None], 0.0).sum(dim=1) / (counts[:, None] + 1)
        return mean

    def tokens_of(self, frames: Tensor) -> Tensor:
        """How many tokens these many frames become, CLS not counted."""
        for kernel, stride in zip(self.settings.kernels, self.settings.strides, strict=True):
            frames = torch.div(frames - kernel, stride, rounding_mode="floor") + 1
        return frames

    @property
    def fewest_frames(self) -> int:
        """That become one token."""
        frames = 1
        for kernel, stride in zip(reversed(self.settings.kernels), reversed(self.settings.strides), strict=True):
            frames = (frames - 1) * stride + kernel
        return frames


class _Convolution(nn.Module):
    def __init__(self, before: int, channels: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(before, channels, kernel, stride, bias=False)
        self.norm = nn.LayerNorm(channels)

    def forward(self, frames: Tensor) -> Tensor:
        heard = self.convolution(frames.transpose(1, 2)).transpose(1, 2)
        return nn.functional.gelu(self.norm(heard))
