"""Jobs are done once: what was found is read back, and another question is another file."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from streams.settings import Settings
from streams.sweep.running import Bench, SkewJob, skew_of, spread
from streams.sweep.sources import Simulated


@pytest.fixture
def bench(source: Simulated, settings: Settings) -> Bench:
    return Bench(replace(source, plays=5_000), settings, (20,))


def test_what_was_done_is_read_back_and_what_is_damaged_is_done_again(bench: Bench, tmp_path: Path):
    said: list[None] = []
    first = spread([SkewJob(bench)], tmp_path, 1, lambda: said.append(None))
    [path] = tmp_path.glob("*.json")
    path.write_text('{"": {"gini": 2.0}}')
    assert spread([SkewJob(bench)], tmp_path, 1) == [{"": {"gini": 2.0}}]
    path.write_text('{"": {"gini"')
    assert spread([SkewJob(bench)], tmp_path, 1) == first
    assert len(said) == 1


def test_another_world_is_another_job(bench: Bench, tmp_path: Path):
    other = replace(bench, source=bench.source.seeded(8))
    found = spread([SkewJob(bench), SkewJob(other)], tmp_path, 1)
    assert found[0] != found[1]
    assert len(list(tmp_path.glob("*.json"))) == 2


@pytest.mark.slow
def test_processes_that_share_the_jobs_find_the_same_in_the_same_order(bench: Bench, tmp_path: Path):
    jobs = [SkewJob(replace(bench, source=bench.source.seeded(seed))) for seed in (7, 8, 9)]
    assert spread(jobs, tmp_path / "two", 2) == spread(jobs, tmp_path / "one", 1)


def test_processes_that_have_no_job_find_nothing(tmp_path: Path):
    assert spread([], tmp_path, 2) == []


def test_plays_on_one_song_alone_are_as_skewed_as_can_be(bench: Bench):
    past = bench.source.past(bench.settings.listening)
    past.plays = replace(past.plays, songs=np.zeros_like(past.plays.songs))
    skew = skew_of(past, bench.settings.crowds.warm_at_listeners)
    assert skew["gini"] == pytest.approx(1 - 1 / len(past.songs))
    assert skew["plays_of_the_first_percent"] == 1
    assert skew["songs_that_are_not_warm"] == pytest.approx(1 - 1 / len(past.songs))
