"""`bcl replay` on files: the same bytes are found to be the same, others are shown, and exit codes say which."""

import json
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from bcl_model.artifact import write_artifact
from bcl_model.inference import SongEncoder
from streams.catalogue.content import content_of
from streams.cli import main
from streams.contracts.topics import PLAYS, PUSH_TARGETS, SONG_RELEASES
from streams.judging.findings import Findings
from streams.recording.files import read_log, write_log
from streams.recording.log import Log
from streams.replay.driver import exact
from streams.settings import Settings
from streams.world.world import World, WorldSettings
from tests.builders.catalogue import untrained_artifact
from tests.builders.contracts import settings
from tests.builders.lived import lived
from tests.harness.scene import catalogue_records, play_records
from tests.harness.stream import Event, Story, event, told

SMALL = {
    "topics.listener_partitions": "2",
    "topics.song_partitions": "2",
    "crowds.warm_at_listeners": "4",
    "selection.candidates_per_message": "20",
}


def small() -> Settings:
    return settings(
        topics={"listener_partitions": 2, "song_partitions": 2},
        crowds={"warm_at_listeners": 4},
        selection={"candidates_per_message": 20},
    )


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folders of a log that was lived through, and of the artifact with which it was."""
    folder = tmp_path_factory.mktemp("recorded")
    world = World(WorldSettings(listeners=150, songs=40, new_songs=6, seed=5))
    artifact = write_artifact(folder / "models", untrained_artifact(*map(content_of, world.songs()), dimension=16))
    events = [event(SONG_RELEASES, *record) for record in catalogue_records(world)]
    events += [Event(PLAYS, *record) for record in play_records(world, 1_500)]
    events += told(world, Story(plays=200, releases=3, settings=10, erasures=1, budget=30), 3)
    log = lived([events], small(), exact(small(), SongEncoder.load(artifact)), 3)
    write_log(log, folder / "log")
    return folder / "log", artifact


def replayed(log: Path, artifact: Path, *words: str) -> int:
    said = [word for name, value in SMALL.items() for word in ("--set", f"{name}={value}")]
    return main(["replay", "--data", str(log), *said, "--set", f"model.artifact={artifact}", *words])


def test_a_log_says_the_same_bytes_again(recorded, capsys):
    assert replayed(*recorded, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["same_bytes"] and found["differences"] == [] and found["damaged_lines"] == 0
    assert found["said"]["push-targets"] > 20


def test_what_differs_is_shown_and_ends_with_1(recorded, capsys):
    log, artifact = recorded
    changed = next(file for file in sorted((log / PUSH_TARGETS.name).iterdir()) if file.stat().st_size)
    before = changed.read_bytes()
    try:
        changed.write_bytes(before.replace(b'"coverage":1.0', b'"coverage":0.5', 1))
        assert replayed(log, artifact) == 1
    finally:
        changed.write_bytes(before)
    out = capsys.readouterr().out
    assert "2 differences" in out and "only recorded" in out and "only replayed" in out


def test_damaged_lines_are_counted_and_named(recorded, capsys):
    log, artifact = recorded
    (log / "more.jsonl").write_text("{oops\n")
    try:
        assert replayed(log, artifact, "--json") == 0
    finally:
        (log / "more.jsonl").unlink()
    said = capsys.readouterr()
    assert json.loads(said.out)["damaged_lines"] == 1
    assert "more.jsonl, line 1: " in said.err


def test_a_log_without_any_release_is_nothing_to_judge(recorded, tmp_path, capsys):
    _, artifact = recorded
    write_log(Log({PLAYS.name: {0: []}}, small().contracts), tmp_path)
    assert replayed(tmp_path, artifact) == 1
    assert "no release was decided" in capsys.readouterr().err


def report_of(recorded: tuple[Path, Path], out: Path, *words: str) -> Findings:
    log, artifact = recorded
    assert replayed(log, artifact, "--out", str(out), "--horizon-h", "0.02", *words) == 0
    return msgspec.json.decode((out / "report.json").read_bytes(), type=Findings)


def test_every_decided_release_is_judged_beside_its_rivals(recorded, tmp_path, capsys):
    found = report_of(recorded, tmp_path)
    replay = found.policies["replayed"]
    assert found.releases + found.open == 3 and found.releases > 0
    assert list(replay.rivals) == ["random", "popularity", "weighted_count"]
    assert replay.funnel.scored >= replay.funnel.eligible >= replay.funnel.chosen >= replay.funnel.sent > 0
    assert replay.suppressed and "released" in (tmp_path / "report.html").read_text("utf-8")
    out = capsys.readouterr().out
    assert "weighted_count" in out and "caps hit" in out and "report.html" in out


def test_what_is_judged_is_what_was_recorded(recorded, tmp_path):
    """Every target of a release that is judged, as the log has it."""
    log, _ = read_log(recorded[0], small().contracts)
    found = report_of(recorded, tmp_path)
    told = Counter(
        target.song_id
        for partition in log.partitions(PUSH_TARGETS)
        for _, target in log.contracts(PUSH_TARGETS, partition)
    )
    assert {one.song_id: one.policies["replayed"].sent for one in found.per_release} == {
        one.song_id: told[one.song_id] for one in found.per_release
    }
    assert found.policies["replayed"].off_policy is not None


def test_of_many_damaged_lines_the_first_ten_are_named_in_the_report(recorded, tmp_path):
    log, _ = recorded
    (log / "more.jsonl").write_text("{oops\n" * 12)
    try:
        run = report_of(recorded, tmp_path).run
    finally:
        (log / "more.jsonl").unlink()
    assert run["damaged_lines"] == 12 and run["same_bytes"] is True
    assert [line.split(": ")[0] for line in run["damaged"]] == [f"{log / 'more.jsonl'}, line {n}" for n in range(1, 11)]


def test_a_log_that_ends_before_the_plays_are_in_is_not_judged(recorded, tmp_path, capsys):
    assert replayed(*recorded, "--out", str(tmp_path)) == 1
    assert "shorten the horizon" in capsys.readouterr().err
