"""DropoutNet (Volkovs, Yu, Poutanen 2017): the collaborative vector of a song is left out now and then while learning.

    target(u, v) = U_u · V_v, of factorised plays            f(v) = net( V_v or 0, content of v )      g(u) = net( U_u )
    loss = mean over pairs of ( target(u, v) - g(u) · f(v) )²      V_v is 0 with probability `dropout`

So content must suffice where V_v is missing, as it is for a cold song. A step takes all pairs of some listeners and
some songs: half of the songs and all listeners are drawn by plays, the other songs evenly. Listeners are all known
here, so theirs is never left out; networks and sampling are ours.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from bcl_model.encoder import Batch, Encoder, mlp, rows_of, tensors_of
from bcl_model.errors import BadModelSettings
from bcl_model.evaluation.answers import Answers, Method, Scores
from bcl_model.evaluation.trial import Ints, Trial
from bcl_model.fields import Fields
from bcl_model.rivals.descent import descend, drawn
from bcl_model.rivals.factors import factors
from bcl_model.settings import EncoderSettings
from bcl_model.train import forgetting

SONGS_AT_ONCE = 8192


@dataclass(frozen=True)
class DropoutNetSettings:
    dimension: int = 64
    dropout: float = 0.7
    steps: int = 2000
    listeners_per_step: int = 1024
    songs_per_step: int = 1024
    learning_rate: float = 5e-3
    weight_decay: float = 1e-6
    unknown_share: float = 0.02  # of the words replaced by the unknown word, as for our models

    def __post_init__(self) -> None:
        if not 0 <= self.dropout <= 1:
            raise BadModelSettings(f"dropout is {self.dropout!r}, wanted a share from 0 to 1")


class DropoutNet(nn.Module):
    def __init__(self, fields: Fields, listeners: Tensor, songs: Tensor, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        dimension = songs.shape[1]
        self.content = Encoder(fields, EncoderSettings((256, 128, dimension)), seed)
        self.song = mlp((2 * dimension, 128, dimension), generator)
        self.listener = mlp((dimension, 128, dimension), generator)
        self.register_buffer("listener_spread", listeners.std(dim=0).clamp(min=1e-6))
        self.register_buffer("song_spread", songs.std(dim=0).clamp(min=1e-6))

    def of_songs(self, batch: Batch, known: Tensor) -> Tensor:
        """known: (songs, dimension), 0 where the collaborative vector is left out."""
        content = self.content(batch)
        found: Tensor = self.song(torch.cat([known / self.get_buffer("song_spread"), content], dim=-1))
        return found

    def of_listeners(self, known: Tensor) -> Tensor:
        found: Tensor = self.listener(known / self.get_buffer("listener_spread"))
        return found


def dropout_net(settings: DropoutNetSettings) -> Method:
    def answers(trial: Trial) -> Answers:
        known = factors(trial, settings.dimension)
        listeners, warm = torch.from_numpy(known.listeners), torch.from_numpy(known.songs)
        fields = trial.fields.learned([trial.contents[song] for song in trial.warm])
        resident = tensors_of(fields.encode(trial.contents))
        net = DropoutNet(fields, listeners, warm, trial.seed)
        _learn(net, trial, settings, resident, listeners, warm)
        with torch.no_grad():
            cold = _songs(net, resident, trial.cold, torch.zeros(len(trial.cold), warm.shape[1]))
            of_warm = _songs(net, resident, trial.warm, warm)
            of_listeners, of_cold = net.of_listeners(listeners).numpy(), cold.numpy()

        def fits(some: Ints) -> Scores:
            fit: Scores = of_listeners[some] @ of_cold.T
            return fit

        return Answers(_unit(cold) @ _unit(of_warm).T, fits)

    return answers


def _learn(
    net: DropoutNet, trial: Trial, settings: DropoutNetSettings, resident: Batch, listeners: Tensor, warm: Tensor
) -> None:
    who, what = trial.heard.nonzero()
    players, played = torch.from_numpy(who).long(), torch.from_numpy(what).long()
    rows, half = torch.from_numpy(trial.warm), settings.songs_per_step // 2
    scale = (listeners[players] * warm[played]).sum(dim=1).square().mean().sqrt().clamp(min=1e-6)  # of a play

    def loss(generator: torch.Generator) -> Tensor:
        listener = listeners[players[drawn(len(players), settings.listeners_per_step, generator)]]
        of_plays = played[drawn(len(played), half, generator)]
        song = torch.cat([of_plays, drawn(len(rows), settings.songs_per_step - half, generator)])
        is_kept = torch.rand(len(song), 1, generator=generator) >= settings.dropout
        batch = forgetting(rows_of(resident, rows[song]), settings.unknown_share, generator)
        found = net.of_listeners(listener) @ net.of_songs(batch, warm[song] * is_kept).T  # (listeners, songs)
        return ((found - listener @ warm[song].T / scale) ** 2).mean()

    descend(
        net.parameters(),
        loss,
        steps=settings.steps,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        seed=trial.seed,
    )


def _unit(rows: Tensor) -> Scores:
    unit: Scores = functional.normalize(rows, dim=-1).numpy()
    return unit


def _songs(net: DropoutNet, resident: Batch, songs: Ints, known: Tensor) -> Tensor:
    parts = zip(*(torch.split(rows, SONGS_AT_ONCE) for rows in (torch.from_numpy(songs), known)), strict=True)
    return torch.cat([net.of_songs(rows_of(resident, some), of) for some, of in parts])
