"""DropoutNet (Volkovs, Yu, Poutanen 2017): the collaborative vector of a song is left out now and then while learning.

    target(u, v) = U_u · V_v, of factorised plays     f(v) = V_v or 0, + net( V_v or 0, content of v )
    loss = mean over pairs of ( target(u, v) - g(u) · f(v) )²      g(u) = U_u + net( U_u )
    V_v is 0 with probability `dropout`

So content must suffice where V_v is missing, as it is for a cold song. Vectors are brought to one length: else the few
songs that are heard most are nearly all of the loss, and a vector of a song seldom heard looks like one left out. A
step takes all pairs of some listeners and some songs, drawn evenly. Listeners are all known here, so theirs is never
left out; networks and sampling are ours.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional

from bcl_model.encoder import Batch, Encoder, mlp, rows_of
from bcl_model.errors import BadModelSettings
from bcl_model.evaluation.answers import Answers, Method, Scores
from bcl_model.evaluation.trial import Ints, Trial
from bcl_model.fields import Fields
from bcl_model.rivals.content import KinSettings, content_of
from bcl_model.rivals.descent import descend, drawn
from bcl_model.rivals.factors import factors
from bcl_model.settings import EncoderSettings
from bcl_model.train import forgetting

SONGS_AT_ONCE = 8192


@dataclass(frozen=True)
class DropoutNetSettings:
    dimension: int = 128
    dropout: float = 0.9
    steps: int = 800
    listeners_per_step: int = 512
    songs_per_step: int = 512
    learning_rate: float = 5e-3
    weight_decay: float = 1e-6
    unknown_share: float = 0.1  # of the words replaced by the unknown word
    audience: KinSettings = field(default_factory=KinSettings)

    def __post_init__(self) -> None:
        if not 0 <= self.dropout <= 1:
            raise BadModelSettings(f"dropout is {self.dropout!r}, wanted a share from 0 to 1")


class DropoutNet(nn.Module):
    def __init__(self, fields: Fields, dimension: int, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.content = Encoder(fields, EncoderSettings((256, 128, dimension)), seed)
        self.song = mlp((2 * dimension, 128, dimension), generator)
        self.listener = mlp((dimension, 128, dimension), generator)

    def of_songs(self, batch: Batch, known: Tensor) -> Tensor:
        """known: (songs, dimension), 0 where the collaborative vector is left out."""
        found: Tensor = known + self.song(torch.cat([known, self.content(batch)], dim=-1))
        return found

    def of_listeners(self, known: Tensor) -> Tensor:
        found: Tensor = known + self.listener(known)
        return found


def dropout_net(settings: DropoutNetSettings) -> Method:
    def answers(trial: Trial) -> Answers:
        known = factors(trial, settings.dimension)
        listeners, warm = (_of_one_length(torch.from_numpy(rows)) for rows in (known.listeners, known.songs))
        fields, resident = content_of(trial, settings.audience)
        net = DropoutNet(fields, warm.shape[1], trial.seed)
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
    rows = torch.from_numpy(trial.warm)

    def loss(generator: torch.Generator) -> Tensor:
        listener = listeners[drawn(len(listeners), settings.listeners_per_step, generator)]
        song = drawn(len(rows), settings.songs_per_step, generator)
        is_kept = torch.rand(len(song), 1, generator=generator) >= settings.dropout
        batch = forgetting(rows_of(resident, rows[song]), settings.unknown_share, generator)
        found = net.of_listeners(listener) @ net.of_songs(batch, warm[song] * is_kept).T  # (listeners, songs)
        return ((found - listener @ warm[song].T) ** 2).mean()

    descend(
        net.parameters(),
        loss,
        steps=settings.steps,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        seed=trial.seed,
    )


def _of_one_length(rows: Tensor) -> Tensor:
    """Numbers of about 1, as a network likes them."""
    scaled: Tensor = functional.normalize(rows, dim=-1) * rows.shape[1] ** 0.5
    return scaled


def _unit(rows: Tensor) -> Scores:
    unit: Scores = functional.normalize(rows, dim=-1).numpy()
    return unit


def _songs(net: DropoutNet, resident: Batch, songs: Ints, known: Tensor) -> Tensor:
    parts = zip(*(torch.split(rows, SONGS_AT_ONCE) for rows in (torch.from_numpy(songs), known)), strict=True)
    return torch.cat([net.of_songs(rows_of(resident, some), of) for some, of in parts])
