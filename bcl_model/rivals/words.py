"""Which song says which word of a field, as a matrix: every word counts, also one that a single song says."""

from collections.abc import Sequence

import numpy as np
from scipy import sparse

from bcl_model.errors import BadData
from bcl_model.fields import Content


def words_of(contents: Sequence[Content], field: str) -> sparse.csr_array:
    """(songs, words) of 0 and 1; a song that says nothing is a row of zeros."""
    said = [_words(content, field) for content in contents]
    column = {word: n for n, word in enumerate(sorted({word for words in said for word in words}))}
    if not column:
        raise BadData(f"no song says a word in the field {field!r}: name a field of words that the catalogue has")
    songs = np.repeat(np.arange(len(said)), [len(words) for words in said])
    columns = np.array([column[word] for words in said for word in sorted(words)])
    return sparse.csr_array((np.ones(len(songs), np.float32), (songs, columns)), (len(said), len(column)))


def _words(content: Content, field: str) -> set[str]:
    value = content.attributes.get(field)
    if value is None:
        return set()
    if isinstance(value, str):
        return {value}
    if isinstance(value, tuple):
        return set(value)
    raise BadData(f"the field {field!r} holds {value!r:.80}, wanted a word or words")
