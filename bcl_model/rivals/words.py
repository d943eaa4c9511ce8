"""Which song says which word of a field that a method needs, as a matrix: a field without words is refused."""

from collections.abc import Sequence

from scipy import sparse

from bcl_model.errors import BadData
from bcl_model.fields import Content
from bcl_model.kin import says_of


def words_of(contents: Sequence[Content], field: str) -> sparse.csr_array:
    """(songs, words) of 0 and 1; a song that says nothing is a row of zeros."""
    for content in contents:
        value = content.attributes.get(field)
        if value is not None and not isinstance(value, (str, tuple)):
            raise BadData(f"the field {field!r} holds {value!r:.80}, wanted a word or words")
    words, says = says_of(contents, field)
    if not words:
        raise BadData(f"no song says a word in the field {field!r}: name a field of words that the catalogue has")
    return says
