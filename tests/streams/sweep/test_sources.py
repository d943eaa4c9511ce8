"""What is known before a release and what is true of it, of simulated worlds and of data folders."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from bcl_model.errors import BadData
from streams.judging.judge import CROWD_FANS
from streams.settings import Settings
from streams.sweep.sources import Folder, Simulated
from tests.builders.data_folder import LISTENERS, data_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return data_folder(tmp_path)


def test_the_songs_that_are_held_out_have_no_play_in_the_past_and_their_listeners_are_the_truth(
    folder: Path, settings: Settings
):
    source = Folder.of(folder, None, seed=1)
    past, fresh = source.past(settings.listening), source.fresh(4)
    assert not {one.song_id for one in fresh} & set(past.songs.ids)
    plays = pq.read_table(folder / "interactions.parquet").to_pydict()
    listeners = list(dict.fromkeys(plays["who"]))
    for one in fresh:
        song = f"s{int(one.content.attributes['seconds']) - 100}"
        heard = {listeners.index(who) for who, what in zip(plays["who"], plays["song"], strict=True) if what == song}
        assert set(np.flatnonzero(one.known.fans).tolist()) == heard
        assert one.known.worth.sum() == len(heard) >= CROWD_FANS
    assert past.rings.songs.shape == (LISTENERS, settings.listening.keep_plays)
    assert past.strengths.tolist() == [settings.listening.strength_completed] * len(past.plays)


def test_another_seed_holds_other_songs_out_and_the_same_seed_the_same(folder: Path, settings: Settings):
    first, again, other = (Folder.of(folder, None, seed).past(settings.listening).songs.ids for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_a_folder_with_other_plays_is_another_source(folder: Path):
    before = Folder.of(folder, None, seed=1)
    table = pq.read_table(folder / "interactions.parquet")
    pq.write_table(table.slice(1), folder / "interactions.parquet")
    assert Folder.of(folder, None, seed=1) != before


def test_more_releases_than_there_are_is_refused_with_the_numbers(folder: Path):
    with pytest.raises(BadData, match="held-out songs have 10 listeners or more, 500 are wanted"):
        Folder.of(folder, None, seed=1).fresh(500)


def test_a_simulated_release_is_true_by_its_world(source: Simulated):
    fresh = source.fresh(3)
    known = fresh[0].known
    assert len({one.song_id for one in fresh}) == 3
    assert len(known.worth) == len(known.fans) == source.world.listeners
    assert known.worth[known.fans].mean() > known.worth.mean()
