"""Content of songs as numbers: a typed description of fields, one code path for training and serving.

    kind     a song says               the encoder gets                                    never seen before
    token    one word                  row of a learned table                              the unknown row
    tokens   a set of words            mean of their rows; order and repeats do not count  the unknown row
    number   a finite number           weights of the two nearest knots (quantiles)        outermost knot
    vector   `width` finite numbers    the same, of unit length                            any other size: FieldMismatch

Every field has a presence bit; where a song says nothing, the encoder gets zeros and a bit of 0. A vector of zeros
says nothing either. What the model has no field for is left out. Which songs are encoded together does not matter.
"""

import math
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bcl_model.errors import BadData, FieldMismatch
from bcl_model.exact import unit_rows

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]
Bools = npt.NDArray[np.bool_]

NONE, UNKNOWN = -1, 0  # in place of a token's row; known tokens start at 1
TOKEN_WIDTH, KNOTS = 16, 8


class Kind(StrEnum):
    TOKEN = "token"
    TOKENS = "tokens"
    NUMBER = "number"
    VECTOR = "vector"


@dataclass(frozen=True, slots=True)
class Content:
    """What is known of a song on the day of its release."""

    attributes: Mapping[str, str | tuple[str, ...] | float] = field(default_factory=dict)
    vectors: Mapping[str, Sequence[float]] = field(default_factory=dict)
    vectors_by: str = ""  # the encoder that made them; empty: not known


@dataclass(frozen=True, slots=True)
class Field:
    name: str
    kind: Kind
    width: int  # how many numbers the encoder gets: size of the vector, of the learned row, count of knots
    min_songs: int = 1  # a token on fewer songs of the catalogue counts as unknown
    made_by: str = ""  # of a vector: the encoder that has made it, and whose alone it means something; empty: not known

    @property
    def has_words(self) -> bool:
        return self.kind in (Kind.TOKEN, Kind.TOKENS)


@dataclass(frozen=True)
class Encoded:
    """The songs of one call, field by field."""

    words: Mapping[str, Ints]  # token fields: (songs, longest set), rows of the learned table, NONE where there is none
    values: Mapping[str, Floats]  # number and vector fields: (songs, width)
    present: Bools  # (songs, fields)

    def __len__(self) -> int:
        return len(self.present)


@dataclass(frozen=True)
class Fields:
    """The fields of a model, in order; `learned` adds what follows from a catalogue: words and knots."""

    fields: tuple[Field, ...]
    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # of token fields, rows from 1 in this order
    knots: Mapping[str, tuple[float, ...]] = field(default_factory=dict)  # of number fields, strictly increasing

    def __post_init__(self) -> None:
        names = [one.name for one in self.fields]
        if not names:
            raise BadData("a model needs at least one field")
        if twice := [name for name, times in Counter(names).items() if times > 1]:
            raise BadData(f"fields described twice: {twice}")
        for one in self.fields:
            if not one.name or one.width < 1 or (one.kind is Kind.NUMBER and one.width < 2):
                raise BadData(f"field {one.name!r} of kind {one.kind} has width {one.width}")

    def __len__(self) -> int:
        return len(self.fields)

    @property
    def width(self) -> int:
        """Of all fields side by side, without the presence bits."""
        return sum(one.width for one in self.fields)

    @property
    def slices(self) -> dict[str, slice]:
        """Where each field lies when they stand side by side."""
        ends = np.cumsum([0, *(one.width for one in self.fields)]).tolist()
        return {one.name: slice(*ends[n : n + 2]) for n, one in enumerate(self.fields)}

    def learned(self, contents: Sequence[Content]) -> "Fields":
        """The same fields with the words and knots of a catalogue."""
        words: dict[str, tuple[str, ...]] = {}
        knots: dict[str, tuple[float, ...]] = {}
        fields = []
        for one in self.fields:
            if one.has_words:
                songs = Counter(word for content in contents for word in _words(one, content))
                words[one.name] = tuple(sorted(word for word, count in songs.items() if count >= one.min_songs))
            elif one.kind is Kind.NUMBER:
                numbers = [number for content in contents if (number := _number(one, content)) is not None]
                knots[one.name] = _knots(numbers, one.width)
                one = replace(one, width=len(knots[one.name]))  # few distinct values need few knots
            fields.append(one)
        return Fields(tuple(fields), words, knots)

    def encode(self, contents: Sequence[Content]) -> Encoded:
        words: dict[str, Ints] = {}
        values: dict[str, Floats] = {}
        present = np.zeros((len(contents), len(self.fields)), dtype=bool)
        for n, one in enumerate(self.fields):
            if one.has_words:
                words[one.name] = self._encode_words(one, contents)
                present[:, n] = (words[one.name] != NONE).any(axis=1)
            elif one.kind is Kind.NUMBER:
                values[one.name], present[:, n] = self._encode_numbers(one, contents)
            else:
                values[one.name], present[:, n] = _encode_vectors(one, contents)
        return Encoded(words, values, present)

    def _encode_words(self, one: Field, contents: Sequence[Content]) -> Ints:
        if one.name not in self._rows:
            raise BadData(f"field {one.name!r} has learned no words yet: call learned() with a catalogue")
        rows = self._rows[one.name]
        sets = [sorted({rows.get(word, UNKNOWN) for word in _words(one, content)}) for content in contents]
        encoded = np.full((len(sets), max([1, *map(len, sets)])), NONE, dtype=np.int32)
        for n, known in enumerate(sets):
            encoded[n, : len(known)] = known
        return encoded

    @cached_property
    def _rows(self) -> dict[str, dict[str, int]]:
        return {name: {word: row for row, word in enumerate(words, start=1)} for name, words in self.words.items()}

    def _encode_numbers(self, one: Field, contents: Sequence[Content]) -> tuple[Floats, Bools]:
        if one.name not in self.knots:
            raise BadData(f"field {one.name!r} has learned no knots yet: call learned() with a catalogue")
        knots = np.array(self.knots[one.name])
        numbers = np.array([math.nan if (x := _number(one, content)) is None else x for content in contents])
        present = ~np.isnan(numbers)
        at = np.clip(np.where(present, numbers, knots[0]), knots[0], knots[-1])
        left = np.clip(np.searchsorted(knots, at, side="right") - 1, 0, len(knots) - 2)
        right_share = (at - knots[left]) / (knots[left + 1] - knots[left])
        weights = np.zeros((len(contents), len(knots)))
        rows = np.arange(len(contents))
        weights[rows, left], weights[rows, left + 1] = 1 - right_share, right_share
        return (unit_rows(weights) * present[:, None]).astype(np.float32), present

    def to_json(self) -> dict[str, Any]:
        return {
            "fields": [
                {"name": one.name, "kind": one.kind.value, "width": one.width, "min_songs": one.min_songs}
                | ({"made_by": one.made_by} if one.made_by else {})
                for one in self.fields
            ],
            "knots": {name: list(knots) for name, knots in self.knots.items()},
        }

    @classmethod
    def from_json(cls, described: Mapping[str, Any], words: Mapping[str, Sequence[str]]) -> "Fields":
        return cls(
            tuple(
                Field(one["name"], Kind(one["kind"]), int(one["width"]), int(one["min_songs"]), one.get("made_by", ""))
                for one in described["fields"]
            ),
            {name: tuple(of) for name, of in words.items()},
            {name: tuple(float(knot) for knot in of) for name, of in described["knots"].items()},
        )


def described(tables: Mapping[str, Mapping[str, Any]]) -> Fields:
    """Fields from the tables `[fields.<name>]` of a fields.toml: kind, width (for vectors), min_songs, made_by."""
    fields = []
    for name, table in tables.items():
        if odd := sorted(table.keys() - {"kind", "width", "min_songs", "made_by"}):
            raise BadData(f"field {name!r} has unknown keys {odd}, wanted kind, width, min_songs, made_by")
        try:
            kind = Kind(table["kind"])
        except (KeyError, ValueError):
            raise BadData(f"field {name!r} is of kind {table.get('kind')!r}, wanted {', '.join(Kind)}") from None
        if kind is Kind.VECTOR and "width" not in table:
            raise BadData(f"field {name!r} is a vector and says no width")
        if kind is not Kind.VECTOR and "made_by" in table:
            raise BadData(f"field {name!r} is of kind {kind} and says made_by, which is said of vectors")
        usual = KNOTS if kind is Kind.NUMBER else TOKEN_WIDTH
        width, min_songs = int(table.get("width", usual)), int(table.get("min_songs", 1))
        fields.append(Field(name, kind, width, min_songs, str(table.get("made_by", ""))))
    return Fields(tuple(fields))


def read_fields(path: Path) -> Fields:
    with path.open("rb") as file:
        return described(tomllib.load(file).get("fields", {}))


def inferred(contents: Iterable[Content], *, leave_out: Iterable[str] = (), min_songs: int = 2) -> Fields:
    """A description that fits these songs: attributes by their type, vectors by their size; names in order."""
    attributes: dict[str, Kind] = {}
    sizes: dict[str, int] = {}
    for content in contents:
        for name, value in content.attributes.items():
            kind = Kind.TOKEN if isinstance(value, str) else Kind.TOKENS if isinstance(value, tuple) else Kind.NUMBER
            seen = attributes.setdefault(name, kind)
            if seen is not kind:
                if Kind.NUMBER in (seen, kind):
                    raise FieldMismatch(name, f"a {seen} and a {kind}", "one kind in all songs")
                attributes[name] = Kind.TOKENS
        for name, vector in content.vectors.items():
            sizes.setdefault(name, len(vector))
    usual = {Kind.TOKEN: TOKEN_WIDTH, Kind.TOKENS: TOKEN_WIDTH, Kind.NUMBER: KNOTS}
    unwanted = set(leave_out)
    found = [Field(name, kind, usual[kind], min_songs) for name, kind in sorted(attributes.items())]
    found += [Field(name, Kind.VECTOR, size) for name, size in sorted(sizes.items())]
    return Fields(tuple(one for one in found if one.name not in unwanted))


def _words(one: Field, content: Content) -> tuple[str, ...]:
    value = content.attributes.get(one.name)
    if value is None:
        return ()
    if isinstance(value, str):
        return (value,)
    if isinstance(value, (tuple, list)) and all(isinstance(word, str) for word in value):
        if one.kind is Kind.TOKEN and len(value) > 1:
            raise FieldMismatch(one.name, f"{len(value)} tokens", "one token")
        return tuple(value)
    raise FieldMismatch(one.name, f"{value!r:.80}", "a token" if one.kind is Kind.TOKEN else "tokens")


def _number(one: Field, content: Content) -> float | None:
    value = content.attributes.get(one.name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise FieldMismatch(one.name, f"{value!r:.80}", "a finite number")
    return float(value)


def _knots(numbers: list[float], wanted: int) -> tuple[float, ...]:
    """Evenly filled: each gap between two knots holds the same share of the catalogue."""
    knots: list[float] = np.unique(np.quantile(numbers, np.linspace(0, 1, wanted))).tolist() if numbers else [0.0]
    return tuple(knots) if len(knots) > 1 else (knots[0], knots[0] + 1.0)


def _encode_vectors(one: Field, contents: Sequence[Content]) -> tuple[Floats, Bools]:
    values = np.zeros((len(contents), one.width))
    for n, content in enumerate(contents):
        vector = content.vectors.get(one.name)
        if vector is None:
            continue
        if one.made_by and content.vectors_by and content.vectors_by != one.made_by:
            raise FieldMismatch(one.name, f"a vector by {content.vectors_by}", f"one by {one.made_by}")
        if len(vector) != one.width:
            raise FieldMismatch(one.name, f"a vector of size {len(vector)}", f"size {one.width}")
        try:
            values[n] = vector
        except (TypeError, ValueError):
            raise FieldMismatch(one.name, f"{vector!r:.80}", f"{one.width} finite numbers") from None
    if not np.isfinite(values).all():
        raise FieldMismatch(one.name, "a number that is not finite", f"{one.width} finite numbers")
    return unit_rows(values).astype(np.float32), (values != 0).any(axis=1)
