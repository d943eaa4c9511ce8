"""MovieLens-100K in the two forms in which it is published, on small folders of the same form; the verbs run on it."""

import json
from pathlib import Path

import numpy as np
import pytest

from bcl_model.catalogue import read_catalogue
from bcl_model.errors import BadData
from bcl_model.fields import Kind
from bcl_model.movielens import GENRES
from streams.cli import main


def lists(folder: Path) -> None:
    """As GroupLens publishes it: latin-1, genres as flags."""

    def film(number: int, title: str, released: str, *genres: str) -> str:
        return "|".join([str(number), title, released, "", "http://film", *(str(int(g in genres)) for g in GENRES)])

    films = [
        film(1, "Toy Story (1995)", "01-Jan-1995", "Animation", "Comedy"),
        film(2, "Misérables, Les (1995)", "", "Drama"),
        film(3, "unknown", "", "unknown"),
    ]
    (folder / "u.item").write_text("\n".join(films) + "\n", "latin-1")
    (folder / "u.data").write_text("9\t1\t5\t881250949\n9\t2\t3\t881250949\n7\t2\t4\t881250950\n7\t1\t4\t881250951\n")


def atomic(folder: Path, films: int = 2, watchers: int = 2) -> None:
    """As RecBole keeps it: a head with types, and a knowledge graph beside it."""
    genres = ("Drama", "Comedy", "Action Thriller")
    rng = np.random.default_rng(5)
    items = [f"{n}\tFilm {n % 7} of {n % 5}\t{1950 + n % 48}\t{genres[n % 3]}" for n in range(1, films + 1)]
    liked = [
        (u, n, 5 if (n % 3 == u % 3) else 2)
        for u in range(watchers)
        for n in range(1, films + 1)
        if rng.random() < (0.5 if n % 3 == u % 3 else 0.05)
    ]
    head = "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq"
    (folder / "ml-100k.item").write_text("\n".join([head, *items]) + "\n")
    inter = [f"{u}\t{n}\t{rating}\t88125" for u, n, rating in liked]
    (folder / "ml-100k.inter").write_text(
        "\n".join(["user_id:token\titem_id:token\trating:float\ttimestamp:float", *inter])
    )
    link = [f"{n}\tm.{n}" for n in range(1, films + 1)]
    (folder / "ml-100k.link").write_text("\n".join(["item_id:token\tentity_id:token", *link]))
    graph = [f"m.{n}\tfilm.film.actor\tm.a{n % 3}{part}" for n in range(1, films + 1) for part in "xy"]
    graph += [f"m.{n}\tfilm.film.award_won\tm.prize\nm.d\tfilm.director.film\tm.{n}" for n in range(1, films + 1)]
    (folder / "ml-100k.kg").write_text("\n".join(["head_id:token\trelation_id:token\ttail_id:token", *graph]))


def test_the_lists_of_grouplens(tmp_path: Path) -> None:
    lists(tmp_path)

    found = read_catalogue(tmp_path)

    assert found.song_ids == ("1", "2", "3") and found.listener_ids == ("7", "9")
    toys, poor, unknown = (content.attributes for content in found.contents)
    assert toys == {
        "title": ("toy", "story"), "year": 1995.0, "decade": "1990s", "genres": ("Animation", "Comedy")
    }  # fmt: skip
    assert poor == {"title": ("misérables", "les"), "year": 1995.0, "decade": "1990s", "genres": ("Drama",)}
    assert unknown == {"title": ("unknown",)}
    plays = found.interactions
    assert sorted(zip(plays.listeners.tolist(), plays.songs.tolist(), strict=True)) == [(0, 0), (0, 1), (1, 0)]


def test_the_files_of_recbole_below_a_folder_with_what_is_known_at_release(tmp_path: Path) -> None:
    place = tmp_path / "dataset_example" / "ml-100k"
    place.mkdir(parents=True)
    atomic(place)

    found = read_catalogue(tmp_path)

    kinds = {one.name: one.kind for one in found.fields.fields}
    assert kinds == {
        "genres": Kind.TOKENS, "title": Kind.TOKENS, "decade": Kind.TOKEN, "year": Kind.NUMBER, "actors": Kind.TOKENS
    }  # fmt: skip
    assert found.contents[1].attributes["actors"] == ("m.a2x", "m.a2y")  # and no prize, which came later
    assert found.contents[1].attributes["genres"] == ("Action", "Thriller")


def test_the_verbs_run_on_films(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    atomic(tmp_path, films=150, watchers=200)
    (tmp_path / "small.toml").write_text("[contrast]\nsongs = 64\n[run]\nsteps = 10\npairs_per_step = 64\n")
    model = str(tmp_path / "small.toml")

    assert main(["train", "--data", str(tmp_path), "--model", model, "--out", str(tmp_path / "m"), "--json"]) == 0
    words = ["evaluate", "--data", str(tmp_path), "--methods", "random", "content", "--share", "0.2", "--json"]
    assert main([*words, "--out", str(tmp_path / "e")]) == 0

    trained, judged = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert trained["songs"] == 150
    recall = judged["held_out_by"]["song"]["methods"]
    measure = "song_to_songs_recall_at_50"
    assert recall["content"][measure]["mean"] > 1.3 * recall["random"][measure]["mean"]


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("u.item", "1|Toy Story\n", "line 1: 2 cells, wanted 24"),
        ("u.data", "9\t1\tgood\t1\n", "'good' is no rating"),
        ("u.data", "9\t77\t5\t1\n", "ratings of 1 films that it does not describe, first '77'"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, file: str, text: str, said: str) -> None:
    lists(tmp_path)
    (tmp_path / file).write_text(text)
    with pytest.raises(BadData, match=said):
        read_catalogue(tmp_path)


def test_columns_in_another_order_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    atomic(tmp_path)
    with pytest.raises(BadData, match="whose fields are known"):
        read_catalogue(tmp_path, tmp_path / "fields.toml")
    (tmp_path / "ml-100k.inter").write_text("item_id:token\tuser_id:token\trating:float\n")
    with pytest.raises(BadData, match="wanted the columns user_id:token item_id:token rating:float"):
        read_catalogue(tmp_path)
    (tmp_path / "ml-100k.item").unlink()
    with pytest.raises(BadData, match=r"there is no .*ml-100k\.item"):
        read_catalogue(tmp_path)
