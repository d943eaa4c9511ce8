"""Texts as BERT reads them: words and punctuation apart, in pieces of its vocabulary, between [CLS] and [SEP].

    "Café del Mar" ─ lower case, no accents ─► cafe del mar ─ longest pieces first ─► [CLS] cafe del mar [SEP]

What stands in brackets in a text is read as punctuation and letters: nobody's lyrics can say [SEP].
"""

import json
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bcl_model.errors import BadData

VOCABULARY, MANNERS = "vocab.txt", "tokenizer_config.json"

_LONGEST_WORD = 100  # letters; longer ones are unknown, as in BERT
_HAN = (
    (0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F), (0x2B820, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F),
)  # fmt: skip


@dataclass(frozen=True)
class Tokens:
    """Texts side by side: numbers of their pieces, and which places are not padding."""

    pieces: Tensor  # (B, S)
    is_said: Tensor  # (B, S)

    def to(self, device: str | torch.device) -> "Tokens":
        return Tokens(self.pieces.to(device), self.is_said.to(device))


class WordPiece:
    def __init__(self, vocabulary: Sequence[str], *, lower: bool, strip_accents: bool, split_han: bool) -> None:
        self.vocabulary = tuple(vocabulary)
        self.lower, self.strip_accents, self.split_han = lower, strip_accents, split_han
        self._number = {piece: n for n, piece in enumerate(self.vocabulary)}
        try:
            self._pad, self._unknown, self._first, self._last = (
                self._number[piece] for piece in ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
            )
        except KeyError as missing:
            raise BadData(f"the vocabulary has no {missing}: is it of a BERT?") from None

    @classmethod
    def read(cls, folder: Path) -> "WordPiece":
        vocabulary = (folder / VOCABULARY).read_text("utf-8").rstrip("\n").split("\n")
        manners: Mapping[str, Any] = {}
        if (folder / MANNERS).is_file():
            manners = json.loads((folder / MANNERS).read_text("utf-8"))
        lower = bool(manners.get("do_lower_case", True))
        accents = manners.get("strip_accents")
        return cls(
            vocabulary,
            lower=lower,
            strip_accents=lower if accents is None else bool(accents),
            split_han=bool(manners.get("tokenize_chinese_chars", True)),
        )

    def write(self, folder: Path) -> None:
        (folder / VOCABULARY).write_text("\n".join(self.vocabulary) + "\n", "utf-8")
        manners = {
            "do_lower_case": self.lower,
            "strip_accents": self.strip_accents,
            "tokenize_chinese_chars": self.split_han,
        }
        (folder / MANNERS).write_text(json.dumps(manners, indent=1, sort_keys=True) + "\n", "utf-8")

    def __call__(self, texts: Sequence[str], most: int) -> Tokens:
        """At most `most` pieces of each text, the two at its ends counted."""
        rows = [[self._first, *self.pieces(text)[: most - 2], self._last] for text in texts]
        longest = max(map(len, rows))
        return Tokens(
            torch.tensor([row + [self._pad] * (longest - len(row)) for row in rows]),
            torch.tensor([[True] * len(row) + [False] * (longest - len(row)) for row in rows]),
        )

    def pieces(self, text: str) -> list[int]:
        return [piece for word in self._words(text) for piece in self._pieces(word)]

    def _words(self, text: str) -> Iterator[str]:
        for word in "".join(self._clean(text)).split():
            if self.lower:
                word = word.lower()
            if self.strip_accents:
                word = "".join(
                    sign for sign in unicodedata.normalize("NFD", word) if unicodedata.category(sign) != "Mn"
                )
            yield from "".join(f" {sign} " if _is_punctuation(sign) else sign for sign in word).split()

    def _clean(self, text: str) -> Iterator[str]:
        for sign in text:
            if sign.isspace():
                yield " "
            elif sign == "\ufffd" or unicodedata.category(sign) in ("Cc", "Cf", "Co", "Cs"):
                continue
            elif self.split_han and any(low <= ord(sign) <= high for low, high in _HAN):
                yield f" {sign} "
            else:
                yield sign

    def _pieces(self, word: str) -> list[int]:
        if len(word) > _LONGEST_WORD:
            return [self._unknown]
        found, start = [], 0
        while start < len(word):
            for end in range(len(word), start, -1):
                number = self._number.get(("##" if start else "") + word[start:end])
                if number is not None:
                    break
            else:
                return [self._unknown]
            found.append(number)
            start = end
        return found


def _is_punctuation(sign: str) -> bool:
    """All that ASCII has besides letters and digits, too: BERT counts ^ $ ` as punctuation."""
    code = ord(sign)
    if code < 128:
        return code > 32 and code != 127 and not sign.isalnum()
    return unicodedata.category(sign).startswith("P")
