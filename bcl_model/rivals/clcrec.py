"""CLCRec (Wei and others, MM 2021): a song's learned vector and its content are drawn together, listeners towards both.

    z_v, u = learned vectors of song v and listener u      h_v = encoder( content of v )
    L_songs     = InfoNCE of cos(z_v, h_v) / t against the content of other songs
    L_listeners = InfoNCE of u · x_v / t against other songs, x = h with probability `replaced`, else z
    loss = weight * L_songs + (1 - weight) * L_listeners + decay * ( |u|² + |z_v|² )

A cold song is its content: h. Weight and replaced share are the authors' for MovieLens; temperature and rate are 2 and
.001 there, with which it learns next to nothing here. Songs of a step are drawn by plays, and some listeners of each:
a song's content is encoded once for them all. Negatives are uniform and drawn once for a batch, where the authors draw
128 for each pair.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional

from bcl_model.encoder import Batch, Encoder, rows_of
from bcl_model.errors import BadModelSettings
from bcl_model.evaluation.answers import Answers, Method, Scores
from bcl_model.evaluation.trial import Ints, Trial
from bcl_model.fields import Fields
from bcl_model.rivals.content import KinSettings, content_of
from bcl_model.rivals.descent import descend, drawn
from bcl_model.settings import EncoderSettings
from bcl_model.train import forgetting, represent_all


@dataclass(frozen=True)
class ClcRecSettings:
    dimension: int = 64
    weight: float = 0.5  # of the songs' part
    replaced: float = 0.5  # share of songs that listeners meet by their content
    temperature: float = 0.2
    negatives: int = 256
    decay: float = 1e-4
    steps: int = 500
    songs_per_step: int = 256
    listeners_per_song: int = 32
    learning_rate: float = 1e-2
    unknown_share: float = 0.3  # of the words replaced by the unknown word
    audience: KinSettings = field(default_factory=KinSettings)

    def __post_init__(self) -> None:
        for name in ("weight", "replaced"):
            if not 0 <= getattr(self, name) <= 1:
                raise BadModelSettings(f"{name} is {getattr(self, name)!r}, wanted a share from 0 to 1")
        if self.temperature <= 0:
            raise BadModelSettings(f"temperature is {self.temperature!r}, wanted a number above 0")


class ClcRec(nn.Module):
    def __init__(self, fields: Fields, listeners: int, songs: int, dimension: int, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.encoder = Encoder(fields, EncoderSettings((256, 128, dimension)), seed)
        self.listeners, self.songs = (
            nn.Parameter(torch.randn(count, dimension, generator=generator) * dimension**-0.5)
            for count in (listeners, songs)
        )


def clcrec(settings: ClcRecSettings) -> Method:
    def answers(trial: Trial) -> Answers:
        fields, resident = content_of(trial, settings.audience)
        model = ClcRec(fields, trial.listeners, len(trial.warm), settings.dimension, trial.seed)
        _learn(model, trial, settings, resident)
        cold = represent_all(model.encoder, rows_of(resident, torch.from_numpy(trial.cold)))
        near = functional.normalize(cold, dim=-1) @ functional.normalize(model.songs.detach(), dim=-1).T
        of_listeners, of_cold = model.listeners.detach().numpy(), cold.numpy()

        def fits(some: Ints) -> Scores:
            fit: Scores = of_listeners[some] @ of_cold.T
            return fit

        return Answers(near.numpy(), fits)

    return answers


def _learn(model: ClcRec, trial: Trial, settings: ClcRecSettings, resident: Batch) -> None:
    by_songs = trial.heard.tocsc()
    players, first = (torch.from_numpy(of).long() for of in (by_songs.indices, by_songs.indptr))
    count = first.diff()
    played = torch.arange(len(count)).repeat_interleave(count)
    rows = torch.from_numpy(trial.warm)

    def loss(generator: torch.Generator) -> Tensor:
        song = played[drawn(len(played), settings.songs_per_step, generator)]
        whose = torch.rand(len(song), settings.listeners_per_song, generator=generator) * count[song, None]
        listener = model.listeners[players[first[song, None] + whose.long()]]
        song = torch.cat([song, drawn(len(rows), settings.negatives, generator)])
        content = model.encoder(forgetting(rows_of(resident, rows[song]), settings.unknown_share, generator))
        is_replaced = torch.rand(len(song), 1, generator=generator) < settings.replaced
        return joint_loss(listener, model.songs[song], content, is_replaced, settings)

    descend(
        model.parameters(),
        loss,
        steps=settings.steps,
        learning_rate=settings.learning_rate,
        weight_decay=0.0,
        seed=trial.seed,
    )


def joint_loss(listener: Tensor, own: Tensor, content: Tensor, is_replaced: Tensor, settings: ClcRecSettings) -> Tensor:
    """listener: (songs, each, d); own, content: (songs + negatives, d), the songs that were heard first."""
    songs, each, _ = listener.shape
    met = torch.where(is_replaced, content, own)
    unit_own, unit_content = functional.normalize(own[:songs], dim=-1), functional.normalize(content, dim=-1)
    of_songs = first_among(unit_own, unit_content[:songs], unit_content[songs:], settings.temperature)
    heard = met[:songs].repeat_interleave(each, dim=0)
    of_listeners = first_among(listener.flatten(0, 1), heard, met[songs:], settings.temperature)
    size = (listener**2).sum(dim=2).mean() + (own[:songs] ** 2).sum(dim=1).mean()
    return settings.weight * of_songs + (1 - settings.weight) * of_listeners + settings.decay * size


def first_among(anchor: Tensor, positive: Tensor, others: Tensor, temperature: float) -> Tensor:
    """InfoNCE of the products of anchor n with positive n against all others."""
    good = (anchor * positive).sum(dim=1, keepdim=True)  # (pairs, 1)
    logits = torch.cat([good, anchor @ others.T], dim=1) / temperature  # (pairs, 1 + others)
    return functional.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long))
