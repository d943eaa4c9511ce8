"""MovieLens-100K as a catalogue: films in the place of songs, a rating of 4 or 5 in the place of a play.

    u.data, u.item                          as GroupLens publishes them
    ml-100k.inter, ml-100k.item             the same as RecBole keeps it, in the folder itself or anywhere below it
    ml-100k.link, ml-100k.kg                beside these, if they are there: who made a film, where, and for whom

What became of a film later (awards, sequels) is left out: it is not known at its release.
"""

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bcl_model.errors import BadData
from bcl_model.fields import KNOTS, TOKEN_WIDTH, Content, Field, Fields, Kind
from bcl_model.pairs import Interactions

ATOMIC, LISTS = "ml-100k.inter", "u.data"
GOOD = 4.0  # the lowest rating that counts as a play
MIN_FILMS = 2  # a word on fewer films counts as unknown
GENRES = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip
SAID = {  # relation of the knowledge graph -> field
    "film.film.actor": "actors",
    "film.film.directed_by": "directors",
    "film.film.written_by": "writers",
    "film.film.produced_by": "producers",
    "film.film.cinematography": "camera",
    "film.film.production_companies": "companies",
    "film.film.language": "languages",
    "film.film.country": "countries",
    "film.film.rating": "certificates",
    "film.film.subjects": "subjects",
}

Said = dict[str, Any]  # of one film: field -> value
Rating = tuple[str, str, float]  # listener, film, rating
Parts = tuple[list[str], list[Content], Interactions, list[str], Fields]  # of a catalogue, in its order


def place_of(folder: Path) -> Path | None:
    """The folder that holds the files, if this one or one below it does."""
    if (folder / LISTS).is_file() or (folder / ATOMIC).is_file():
        return folder
    below = sorted(folder.rglob(ATOMIC)) or sorted(folder.rglob(LISTS))
    return below[0].parent if below else None


def read(folder: Path) -> Parts:
    """`folder` is a place_of()."""
    films, ratings = _atomic(folder) if (folder / ATOMIC).is_file() else _lists(folder)
    row = {film: n for n, film in enumerate(films)}
    good = [(listener, film) for listener, film, rating in ratings if rating >= GOOD]
    if missing := sorted({film for _, film in good} - row.keys()):
        raise BadData(f"{folder} has ratings of {len(missing)} films that it does not describe, first {missing[0]!r}")
    listeners = sorted({listener for listener, _ in good})
    number = {listener: n for n, listener in enumerate(listeners)}
    plays = Interactions(
        np.array([number[listener] for listener, _ in good], np.int64),
        np.array([row[film] for _, film in good], np.int64),
    )
    return list(films), [Content(said) for said in films.values()], plays, listeners, _fields(films.values())


def _lists(folder: Path) -> tuple[dict[str, Said], list[Rating]]:
    films = {}
    for number, cells in _rows(folder / "u.item", "|", "latin-1", 5 + len(GENRES)):
        title, released, flags = cells[1], cells[2], cells[5 : 5 + len(GENRES)]
        year = re.search(r"\d{4}$", released) or re.search(r"\((\d{4})\)", title)
        genres = [genre for genre, flag in zip(GENRES, flags, strict=True) if flag == "1"]
        name = re.sub(r"\s*\(\d{4}\)\s*$", "", title)
        films[number] = _said(name, year[0].strip("()") if year else "", genres)
    ratings = [(who, cells[1], _number(cells[2])) for who, cells in _rows(folder / LISTS, "\t", "latin-1", 4)]
    return films, ratings


def _atomic(folder: Path) -> tuple[dict[str, Said], list[Rating]]:
    items, plays = _rows(folder / "ml-100k.item", "\t", "utf-8", 4), _rows(folder / ATOMIC, "\t", "utf-8", 3)
    _headed(folder / "ml-100k.item", items, "item_id:token movie_title:token_seq release_year:token class:token_seq")
    _headed(folder / ATOMIC, plays, "user_id:token item_id:token rating:float")
    films = {number: _said(cells[1], cells[2], cells[3].split()) for number, cells in items}
    ratings = [(who, cells[1], _number(cells[2])) for who, cells in plays]
    link, graph = folder / "ml-100k.link", folder / "ml-100k.kg"
    if link.is_file() and graph.is_file():
        _tell(films, link, graph)
    return films, ratings


def _tell(films: dict[str, Said], link: Path, graph: Path) -> None:
    """What the knowledge graph says of films."""
    film_of = {cells[1]: number for number, cells in _rows(link, "\t", "utf-8", 2) if number in films}
    told: dict[tuple[str, str], set[str]] = {}
    for head, cells in _rows(graph, "\t", "utf-8", 3):
        if head in film_of and cells[1] in SAID:
            told.setdefault((film_of[head], SAID[cells[1]]), set()).add(cells[2])
    for (film, field), words in told.items():
        films[film][field] = tuple(sorted(words))


def _said(title: str, year: str, genres: Sequence[str]) -> Said:
    said: Said = {}
    if words := tuple(dict.fromkeys(re.findall(r"\w+", title.lower()))):
        said["title"] = words
    if year.isdigit():
        said["year"] = float(year)
        said["decade"] = f"{year[:3]}0s"
    if known := tuple(genre for genre in genres if genre != "unknown"):
        said["genres"] = known
    return said


def _fields(films: Iterable[Mapping[str, Any]]) -> Fields:
    kinds = {"genres": Kind.TOKENS, "title": Kind.TOKENS, "decade": Kind.TOKEN, "year": Kind.NUMBER}
    kinds |= dict.fromkeys(SAID.values(), Kind.TOKENS)
    there = {name for said in films for name in said}
    return Fields(
        tuple(
            Field(name, kind, KNOTS) if kind is Kind.NUMBER else Field(name, kind, TOKEN_WIDTH, MIN_FILMS)
            for name, kind in kinds.items()
            if name in there
        )
    )


def _rows(file: Path, separator: str, encoding: str, cells: int) -> Iterator[tuple[str, list[str]]]:
    """The first cell of each line, and all of them."""
    try:
        with file.open(encoding=encoding, newline="") as lines:
            for number, row in enumerate(csv.reader(lines, delimiter=separator, quoting=csv.QUOTE_NONE), start=1):
                if len(row) < cells:
                    raise BadData(f"{file}, line {number}: {len(row)} cells, wanted {cells}")
                yield row[0], row
    except FileNotFoundError:
        raise BadData(f"there is no {file}; {file.parent} looks like MovieLens-100K otherwise") from None
    except UnicodeDecodeError as error:
        raise BadData(f"{file} is not {encoding}: {error}") from error


def _headed(file: Path, rows: Iterator[tuple[str, list[str]]], wanted: str) -> None:
    """Takes the first line, which says what the columns are."""
    _, head = next(rows, ("", [""]))
    if head[: len(wanted.split())] != wanted.split():
        raise BadData(f"{file} begins with {head}, wanted the columns {wanted}")


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise BadData(f"{text!r} is no rating, wanted a number") from None
