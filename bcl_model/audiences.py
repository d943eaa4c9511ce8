"""Audience fields of songs: where the listeners of their kin lie, from a table that an artifact carries.

Kin are the warm songs that share a word, an artist or an album. A song gets a vector, where their audiences lie in
taste (see kin.py), and two numbers: how many warm songs they are, and how many listeners each of them has on average. A
release that says its words but not these fields is completed; one that says neither stays without: presence bits of 0.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from bcl_model.fields import KNOTS, Content, Field, Fields, Kind
from bcl_model.settings import AudienceSettings

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Table:
    """What the warm songs that say a word add up to."""

    words: tuple[str, ...]  # ascending
    places: Floats  # (words, width): sums of a_m
    songs: Floats  # (words,)
    listeners: Floats  # (words,): of all of them, a listener of two counts twice

    @cached_property
    def rows(self) -> dict[str, int]:
        return {word: row for row, word in enumerate(self.words)}

    def of_warm_words(self) -> "Table":
        keep = np.flatnonzero(self.songs)
        words = tuple(self.words[row] for row in keep)
        return Table(words, self.places[keep], self.songs[keep], self.listeners[keep])


@dataclass(frozen=True)
class Audiences:
    tables: Mapping[str, Table] = field(default_factory=dict)  # by the field of words that songs share

    def completed(self, contents: Sequence[Content]) -> list[Content]:
        """With the audience fields that they do not say themselves; unknown words add nothing."""
        contents = list(contents)
        for name, table in self.tables.items():
            for n, content in enumerate(contents):
                known = [table.rows[word] for word in words_of(content, name) if word in table.rows]
                if known and place_name(name) not in content.vectors:
                    kin = (table.places[known].sum(axis=0), table.songs[known].sum(), table.listeners[known].sum())
                    contents[n] = told(content, name, *kin)
        return contents


def fields_with_audiences(fields: Fields, settings: AudienceSettings) -> Fields:
    """Beside the fields of words that there are; a name of audience.fields that the data lacks adds nothing."""
    known = {one.name for one in fields.fields if one.has_words}
    names = [name for name in settings.fields if name in known]
    added = [Field(place_name(name), Kind.VECTOR, settings.width) for name in names]
    added += [Field(number, Kind.NUMBER, KNOTS) for name in names for number in number_names(name)]
    return Fields((*fields.fields, *added))


def place_name(field: str) -> str:
    return f"{field}_audience"


def number_names(field: str) -> tuple[str, str]:
    return f"{field}_warm_songs", f"{field}_listeners"


def words_of(content: Content, field: str) -> tuple[str, ...]:
    value = content.attributes.get(field)
    if isinstance(value, str):
        return (value,)
    return tuple(sorted(set(value))) if isinstance(value, tuple) else ()


def told(content: Content, name: str, place: Floats, songs: float, listeners: float) -> Content:
    how_many, how_heard = number_names(name)
    numbers = {how_many: float(songs), how_heard: float(listeners / songs)}
    attributes, vectors = {**content.attributes, **numbers}, {**content.vectors, place_name(name): place.tolist()}
    return replace(content, attributes=attributes, vectors=vectors)
