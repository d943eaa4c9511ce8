"""A data folder with times as a log, and the programmes of a radio station, whose new songs are really new."""

import os
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bcl_model.artifact import write_artifact
from bcl_model.catalogue import read_catalogue
from bcl_model.errors import BadData
from bcl_model.inference import SongEncoder
from streams.cli import main
from streams.contracts.codec import encode
from streams.contracts.messages import Message
from streams.contracts.topics import DAY_MS, PLAYS, SONG_RELEASES
from streams.judging.findings import Findings
from streams.judging.prequential import Judge
from streams.recording.data_folder import first_new_ms, is_data_folder, read_data_folder
from streams.recording.log import Log
from streams.replay.lanes import Contestant
from streams.replay.merged import MergedReplay
from streams.replay.timeline import Timeline
from tests.builders.catalogue import untrained_artifact
from tests.builders.contracts import settings

TRIPLEJ = Path(os.environ.get("BCL_TRIPLEJ", Path(__file__).parents[4] / "shared" / "data" / "triplej_radio"))
NEW_SONGS = 1_474  # first heard in the last tenth of the time
FIELDS = """
[items]
song = "item_id"
title = "title"
seconds = "duration_sec"
[interactions]
listener = "program_id"
song = "item_id"
at = "ts"
[fields.artist]
kind = "token"
column = "artist_id"
min_songs = 2
[fields.duration]
kind = "number"
column = "duration_sec"
[fields.artist_songs]
kind = "number"
count = "artist_id"
"""
SMALL = settings(topics={"listener_partitions": 2, "song_partitions": 2})
BEGUN = 1_328_604_117


def station(folder: Path, *, songs: int = 60, programmes: int = 30, plays: int = 3_000) -> Path:
    """Each song is played from some moment on; programmes have their favourite artists."""
    rng = np.random.default_rng(8)
    starts = np.sort(rng.integers(0, 980_000, songs))
    song = rng.integers(songs, size=plays)
    at = BEGUN + starts[song] + (rng.random(plays) ** 2 * (1_000_000 - starts[song])).astype(np.int64)
    who = (song % 5 + 5 * rng.integers(programmes // 5, size=plays)) % programmes
    pq.write_table(pa.table({"ts": at, "program_id": who, "item_id": song}), folder / "interactions.parquet")
    seconds = [None if n % 10 == 0 else 180.0 + n for n in range(songs)]
    items = {
        "item_id": range(songs),
        "title": [f"t{n}" for n in range(songs)],
        "artist_id": [n % 5 for n in range(songs)],
    }
    pq.write_table(
        pa.table({name: list(of) for name, of in items.items()} | {"duration_sec": seconds}), folder / "items.parquet"
    )
    (folder / "fields.toml").write_text(FIELDS)
    return folder


def values(log: Log, topic: Any) -> list[tuple[int, Any]]:
    return [
        (record.timestamp, value)
        for partition in log.partitions(topic)
        for record, value in log.contracts(topic, partition)
    ]


def test_every_play_is_in_the_log_and_every_song_is_known_from_its_first_play(tmp_path):
    folder = station(tmp_path)
    log = read_data_folder(folder, None, SMALL)
    table = pq.read_table(folder / "interactions.parquet").to_pydict()
    plays, songs = values(log, PLAYS), values(log, SONG_RELEASES)
    assert sorted((at_ms, play.song_id, play.listener_id) for at_ms, play in plays) == sorted(
        (1_000 * at, str(song), str(who))
        for at, song, who in zip(table["ts"], table["item_id"], table["program_id"], strict=True)
    )
    first = {
        song: min(at for at, one in zip(table["ts"], table["item_id"], strict=True) if one == song)
        for song in set(table["item_id"])
    }
    assert {song.song_id: at_ms for at_ms, song in songs} == {str(song): 1_000 * at for song, at in first.items()}
    assert all(
        song.title == f"t{song.song_id}" and song.artist_ids == (str(int(song.song_id) % 5),) for _, song in songs
    )
    new_from_ms = first_new_ms(np.array([at_ms for at_ms, _ in plays]))
    assert {song.song_id for at_ms, song in songs if song.released_ms == at_ms} == {
        song.song_id for at_ms, song in songs if at_ms >= new_from_ms
    }


def test_a_folder_without_times_is_refused_with_its_columns(tmp_path):
    folder = station(tmp_path)
    assert is_data_folder(folder) and not is_data_folder(tmp_path / "elsewhere")
    (folder / "fields.toml").write_text(FIELDS.replace('at = "ts"', 'at = "when"'))
    with pytest.raises(BadData, match=r"at is .when., wanted a column of interactions\.parquet: ts"):
        read_data_folder(folder, None, SMALL)


def replayed(folder: Path, fields: Path, out: Path, *words: str) -> Findings:
    catalogue = read_catalogue(folder, fields)
    artifact = write_artifact(out / "models", untrained_artifact(*catalogue.contents, dimension=16))
    said = ["topics.listener_partitions=2", "topics.song_partitions=2", "crowds.warm_at_listeners=3"]
    sets = [word for one in [*said, f"model.artifact={artifact}", "matching.budget=10"] for word in ("--set", one)]
    assert main(["replay", "--data", str(folder), "--fields", str(fields), "--out", str(out), *sets, *words]) == 0
    return msgspec.json.decode((out / "report.json").read_bytes(), type=Findings)


def test_a_station_replays_from_its_own_times_and_twice_the_same(tmp_path, capsys):
    folder = station(tmp_path)
    found = replayed(folder, folder / "fields.toml", tmp_path / "one", "--horizon-h", "5")
    new = [
        song
        for at_ms, song in values(read_data_folder(folder, None, SMALL), SONG_RELEASES)
        if song.released_ms == at_ms
    ]
    assert found.releases + found.open == len(new) >= 3
    again = replayed(folder, folder / "fields.toml", tmp_path / "two", "--horizon-h", "5")
    assert again == found
    assert (tmp_path / "one" / "report.html").read_bytes() == (tmp_path / "two" / "report.html").read_bytes()


RADIO = pytest.mark.skipif(
    not is_data_folder(TRIPLEJ), reason=f"there is no data in {TRIPLEJ}; BCL_TRIPLEJ names another folder"
)


@pytest.mark.slow
@RADIO
@pytest.mark.timeout(3_600)  # thousands of releases, decided several times
def test_the_radio_has_its_new_songs_and_the_report_says_that_the_choice_is_worth_little(tmp_path, capsys):
    (tmp_path / "fields.toml").write_text(FIELDS)
    found = replayed(TRIPLEJ, tmp_path / "fields.toml", tmp_path / "one")
    assert found.releases + found.open == NEW_SONGS and found.repeated == 0
    configured = found.policies["configured"]
    assert configured.rivals["popularity"].lift.high < 1
    assert any(note.startswith("popularity chose better than configured") for note in found.notes)
    replayed(TRIPLEJ, tmp_path / "fields.toml", tmp_path / "two", "--workers", "2")
    for name in ("report.json", "report.html"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


@pytest.mark.slow
@RADIO
@pytest.mark.timeout(3_600)  # thousands of releases, decided several times
def test_the_radio_is_replayed_twice_with_the_same_targets_on_any_number_of_processes(tmp_path):
    (tmp_path / "fields.toml").write_text(FIELDS)
    encoder = SongEncoder(untrained_artifact(*read_catalogue(TRIPLEJ, tmp_path / "fields.toml").contents, dimension=16))
    log = read_data_folder(TRIPLEJ, tmp_path / "fields.toml", SMALL)
    one, two = (said(log, encoder, workers) for workers in (1, 2))
    assert one
    assert list(map(encode, one)) == list(map(encode, two))


def said(log: Log, encoder: SongEncoder, workers: int) -> list[Message]:
    found: list[Message] = []
    policies, timeline = [Contestant("configured", SMALL, encoder)], Timeline.of(log, SMALL.contracts)
    MergedReplay(policies, timeline, Judge(DAY_MS), said=lambda _, said: found.extend(said), workers=workers).run()
    return found
