"""A log as parquet: every record as it was, plays as columns that say the same, merged by time as they are read."""

from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from streams.contracts.topics import AUDIENCE_SAMPLES, PLAYS, SONG_RELEASES
from streams.errors import BadSettings
from streams.recording import parquet_log
from streams.recording.files import read_log, write_log
from streams.recording.log import Log, Logged
from streams.recording.parquet_log import files_below, write_plays, write_records
from streams.recording.played import COLUMNS, Played
from streams.replay.stretches import Block
from streams.replay.timeline import Timeline
from tests.builders.contracts import NOW, play, settings

CONTRACTS = settings().contracts


def heard(count: int, partition: int, seed: int = 1) -> list[Logged]:
    """Times are neither in order nor all different."""
    at = NOW + np.random.default_rng([seed, partition]).integers(0, count // 2, count)
    plays = [
        play(f"s{n % 7}", by=f"l{n % 11}", at=ms, market=("de", None)[n % 2], liked=n % 3 == 0, play_id=f"p{n}")
        for n, ms in enumerate(at.tolist())
    ]
    return [
        Logged(3 * n, one.played_ms + n % 2, one.listener_id.encode(), msgspec.json.encode(one))
        for n, one in enumerate(plays)
    ]


def test_whatever_a_record_holds_comes_back_as_it_was(tmp_path: Path) -> None:
    records = [Logged(4, NOW, b"k", b"\x00\xff"), Logged(7, NOW, None, None), Logged(9, NOW, b"", b"")]
    for topic in (AUDIENCE_SAMPLES, SONG_RELEASES, PLAYS):
        write_records(tmp_path / topic.name / "2.parquet", topic, 2, records, CONTRACTS)
    log, damage = read_log(tmp_path, CONTRACTS)
    assert all(list(log.records(topic, 2)) == records for topic in (AUDIENCE_SAMPLES, SONG_RELEASES, PLAYS))
    assert damage.lines == 0


def named(timeline: Timeline) -> list[tuple[object, ...]]:
    blocks = [item for item in timeline if isinstance(item, Block)]
    plays = Played.joined([block.plays[np.argsort(block.places)] for block in blocks])
    tables = timeline.tables
    who = {"listeners": tables.listeners, "songs": tables.songs, "markets": tables.markets}
    columns = [
        [who[name].all[n] if n >= 0 else None for n in getattr(plays, name).tolist()]
        if name in who
        else getattr(plays, name).tolist()
        for name in COLUMNS
    ]
    return list(zip(*columns, strict=True))


@pytest.mark.parametrize("rows_per_group", [7, 64, 10_000])
def test_columns_and_lines_tell_the_same_plays_in_the_same_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows_per_group: int
) -> None:
    monkeypatch.setattr(parquet_log, "ROWS_PER_GROUP", rows_per_group)
    log = Log({PLAYS.name: {partition: heard(300, partition) for partition in range(3)}}, CONTRACTS)
    write_log(log, tmp_path / "lines")
    for partition in range(3):
        path = tmp_path / "columns" / PLAYS.name / f"{partition}.parquet"
        write_records(path, PLAYS, partition, log.records(PLAYS, partition), CONTRACTS)
    lines, _ = Timeline.read(tmp_path / "lines", CONTRACTS)
    columns, _ = Timeline.read(tmp_path / "columns", CONTRACTS)
    found = named(columns)
    assert found == named(lines) and len(found) == columns.play_records == 900
    assert columns.span_ms == lines.span_ms
    assert found == sorted(found, key=lambda row: row[-3:])


def test_plays_without_their_records_are_replayed_and_followed_alike(tmp_path: Path) -> None:
    log = Log({PLAYS.name: {5: heard(50, 5)}}, CONTRACTS)
    timeline = Timeline.of(log, CONTRACTS)
    write_plays(tmp_path / "plays" / "5.parquet", 5, Played.joined(list(timeline.plays)), timeline.tables)
    again, _ = Timeline.read(tmp_path, CONTRACTS)
    assert named(again) == named(Timeline.of(log, CONTRACTS))
    assert named(Timeline.of(read_log(tmp_path, CONTRACTS)[0], CONTRACTS)) == named(Timeline.of(log, CONTRACTS))


def test_what_the_door_refuses_the_columns_refuse_with_its_reason(tmp_path: Path) -> None:
    records = heard(40, 0)
    records[3] = records[3]._replace(value=b"{oops")
    records[8] = records[8]._replace(key=b"somebody else")
    write_records(tmp_path / "plays" / "0.parquet", PLAYS, 0, records, CONTRACTS)
    columns, _ = Timeline.read(tmp_path, CONTRACTS)
    lines = Timeline.of(Log({PLAYS.name: {0: records}}, CONTRACTS), CONTRACTS)
    found = named(columns)
    assert found == named(lines) and len(found) == 38
    assert list(columns.dead_letters) == list(lines.dead_letters) and len(columns.dead_letters) == 2


def test_of_a_foreign_file_what_no_contract_allows_is_left_out(tmp_path: Path) -> None:
    rows = {
        "listener_id": ["ann", "", None, "bob", "ann"],
        "song_id": ["s1", "s1", "s1", "s\x1f1", "s2"],
        "played_ms": [NOW, NOW, NOW, NOW, -1],
        "listened_ms": [200_000] * 5,
        "song_ms": [200_000] * 5,
    }
    (tmp_path / "plays").mkdir()
    pq.write_table(pa.table(rows), tmp_path / "plays" / "0.parquet")
    timeline, _ = Timeline.read(tmp_path, CONTRACTS)
    assert [row[:2] for row in named(timeline)] == [("ann", "s1")]
    assert len(timeline.dead_letters) == 4 and timeline.span_ms[1] == NOW


@pytest.mark.parametrize(
    ("name", "column", "wanted"),
    [
        ("plays/0.parquet", {"listener_id": ["ann"]}, "no column song_id"),
        ("songs/0.parquet", {"offset": [1]}, "does not say whose records"),
        ("plays/x.parquet", {"offset": [1]}, "does not say whose records"),
        (
            "song-releases/0.parquet",
            {"offset": ["1"], "time_ms": [1], "key": [b""], "value": [b""]},
            "offset is string",
        ),
    ],
)
def test_a_file_of_another_shape_is_refused_by_name(tmp_path: Path, name: str, column: dict, wanted: str) -> None:
    (tmp_path / name).parent.mkdir()
    pq.write_table(pa.table(column), tmp_path / name)
    with pytest.raises(BadSettings, match=wanted):
        files_below(tmp_path)
