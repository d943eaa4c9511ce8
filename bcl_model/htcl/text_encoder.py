"""The text encoder: what is known of a song in words becomes one row, by any BERT in Hugging Face's layout."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from bcl_model.htcl.bert import Bert, BertSizes, read_bert
from bcl_model.htcl.bert_files import folder_of
from bcl_model.htcl.settings import Pooling, TextSettings
from bcl_model.htcl.wordpiece import Tokens, WordPiece


def song_text(title: str = "", caption: str = "", lyrics: str = "") -> str:
    """The three in this order, each on its own line; what is empty is left out."""
    return "\n".join(part.strip() for part in (title, caption, lyrics) if part.strip())


class TextEncoder(nn.Module):
    def __init__(self, settings: TextSettings, bert: Bert, wordpiece: WordPiece) -> None:
        super().__init__()
        self.settings, self.bert, self.wordpiece = settings, bert, wordpiece
        self.width = bert.sizes.hidden_size
        self.max_tokens = min(settings.max_tokens, bert.sizes.max_position_embeddings)
        bert.requires_grad_(settings.is_trained)

    @classmethod
    def pretrained(cls, settings: TextSettings) -> "TextEncoder":
        folder = folder_of(settings.model)
        bert = read_bert(folder, has_pooler=settings.pooling is Pooling.POOLER)
        return cls(settings, bert, WordPiece.read(folder))

    @classmethod
    def empty(cls, settings: TextSettings, folder: Path) -> "TextEncoder":
        """Of the sizes and the vocabulary that `write` left in the folder; its weights are still to come."""
        bert = Bert(BertSizes.read(folder), has_pooler=settings.pooling is Pooling.POOLER)
        return cls(settings, bert, WordPiece.read(folder))

    def write(self, folder: Path) -> None:
        """Sizes and vocabulary, without weights."""
        self.bert.sizes.write(folder)
        self.wordpiece.write(folder)

    def tokens(self, texts: Sequence[str]) -> Tokens:
        return self.wordpiece(texts, self.max_tokens)

    def forward(self, tokens: Tokens) -> Tensor:
        """(B, width)."""
        states = self.bert(tokens)
        if self.settings.pooling is Pooling.POOLER:
            return self.bert.pooled(states)
        said = tokens.is_said[..., None]
        mean: Tensor = states.masked_fill(~said, 0.0).sum(dim=1) / said.sum(dim=1)
        return mean

    def train(self, mode: bool = True) -> "TextEncoder":
        """One that does not learn does not drop out either."""
        super().train(mode)
        if not self.settings.is_trained:
            self.bert.eval()
        return self

    @torch.no_grad()
    def rows(self, texts: Sequence[str], device: torch.device, at_once: int = 64) -> Tensor:
        """(texts, width) as serving has them; texts of like length go together."""
        self.eval()
        order = sorted(range(len(texts)), key=lambda n: len(texts[n]))
        rows = torch.empty(len(texts), self.width)
        for first in range(0, len(order), at_once):
            some = order[first : first + at_once]
            rows[some] = self(self.tokens([texts[n] for n in some]).to(device)).float().cpu()
        return rows.to(device)
