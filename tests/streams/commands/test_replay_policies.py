"""`bcl replay --policy`: equal policies are told to be equal, random crowds are found out, limits are each its own."""

import json
from pathlib import Path

import pytest

from streams.cli import main
from streams.contracts.partitions import partition_of
from streams.recording.files import write_log
from streams.recording.log import Log, Logged
from streams.world.world import World, WorldSettings
from tests.builders.contracts import settings
from tests.builders.told import log_of, past_of
from tests.harness.scene import artifact_of

RELEASES, BUDGET, PARTITIONS = 40, 60, 2


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folders of a log without decisions, and of a model trained on its history."""
    folder = tmp_path_factory.mktemp("world")
    simulated = World(WorldSettings(listeners=1_000, songs=300, new_songs=RELEASES))
    topics: dict[str, dict[int, list[Logged]]] = {}
    for one in log_of(simulated, past_of(simulated, 20_000), releases=RELEASES, budget=BUDGET):
        partitions = topics.setdefault(one.topic.name, {p: [] for p in range(PARTITIONS)})
        there = partitions[partition_of(one.key, PARTITIONS)]
        there.append(Logged(len(there), one.time_ms, one.key, one.value))
    write_log(Log(topics, settings().contracts), folder / "log")
    return folder / "log", artifact_of(simulated, 20_000, folder / "models", steps=60)


def words(world: tuple[Path, Path], *more: str) -> list[str]:
    log, artifact = world
    said = {
        "topics.listener_partitions": PARTITIONS,
        "topics.song_partitions": PARTITIONS,
        "model.artifact": artifact,
    }
    sets = [word for name, value in said.items() for word in ("--set", f"{name}={value}")]
    return ["replay", "--data", str(log), "--horizon-h", "24", *sets, *more]


def policy(folder: Path, name: str, toml: str) -> str:
    (folder / f"{name}.toml").write_text(toml)
    return str(folder / f"{name}.toml")


SAME = "[matching]\nneighbours = 20\n"
FREE = "[admission]\ncooldown_h = 0.0\nrolling_cap = 60\nday_cap = 60\nquiet_from_minute = 0\nquiet_to_minute = 0\n"
POLICIES = {"a": SAME, "b": SAME, "half": f"[matching]\nneighbours = 20\nbudget = {BUDGET // 2}\n", "free": SAME + FREE}


@pytest.fixture(scope="module")
def found(world: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> dict:
    """All of them in one pass over the log, and random crowds beside them."""
    folder = tmp_path_factory.mktemp("policies")
    files = [*(policy(folder, name, toml) for name, toml in POLICIES.items()), "random-crowds"]
    named = [word for file in files for word in ("--policy", file)]
    assert main(words(world, "--out", str(folder / "out"), *named)) == 0
    return json.loads((folder / "out" / "report.json").read_bytes())


def test_equal_policies_are_told_to_be_equal_and_random_crowds_to_be_worse(found):
    assert (found["releases"], found["open"]) == (RELEASES, 0)
    pairs = {(one["first"], one["second"]): one for one in found["compared"]}
    equal, worse = pairs["a", "b"], pairs["a", "random-crowds"]
    assert (equal["p"], equal["better"], equal["same_choices"]) == (1, None, 1)
    assert equal["precision"] == {"mean": 0, "low": 0, "high": 0}
    assert worse["p_of_several"] < 0.01 and worse["mcnemar"]["p"] < 0.01 and worse["better"] == "a"
    assert found["policies"]["a"] == found["policies"]["b"]
    said = found["run"]["policies"]
    assert said["half"] == ["matching.neighbours=20", f"matching.budget={BUDGET // 2}"] and said["random-crowds"] == []


def test_a_policy_that_knows_something_is_lifted_over_chance(found):
    for name in POLICIES:
        beside = found["policies"][name]["rivals"]["random"]
        assert beside["lift"]["low"] > 1 and beside["p"] < 0.01


def test_a_policy_without_caps_tells_all_whom_it_chooses(found):
    free, capped = found["policies"]["free"], found["policies"]["a"]
    assert free["caps"]["hit"] == 0 < capped["caps"]["hit"]
    assert free["quality"] == capped["quality"]
    assert free["effective_plays"] > capped["effective_plays"]


def test_a_policy_with_another_budget_is_judged_at_its_own_number_of_places(found):
    places = {name: {one["policies"][name]["places"] for one in found["per_release"]} for name in ("a", "half")}
    assert places == {"a": {57}, "half": {29}}  # 5 % of each is exploration
    whole, half = found["policies"]["a"]["quality"], found["policies"]["half"]["quality"]
    assert half["precision"]["mean"] > whole["precision"]["mean"]
    assert half["recall"]["mean"] < whole["recall"]["mean"]


def test_a_single_policy_is_compared_with_the_settings_in_force(world, tmp_path, capsys):
    assert main(words(world, "--json", "--policy", policy(tmp_path, "song", '[scoring]\nrule = "song"\n'))) == 0
    [pair] = json.loads(capsys.readouterr().out)["report"]["compared"]
    assert (pair["first"], pair["second"]) == ("configured", "song")
    assert 0 < pair["same_choices"] < 1


@pytest.mark.slow
def test_two_processes_write_the_same_report_as_one(world, tmp_path, capsys):
    for workers in ("1", "2"):
        assert main(words(world, "--workers", workers, "--out", str(tmp_path / workers))) == 0
        assert "times as fast as recorded" in capsys.readouterr().out
    for name in ("report.json", "report.html"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()
    assert main(words(world, "--workers", "0")) == 2
    assert "give 1 or more" in capsys.readouterr().err


def test_policies_with_one_name_or_without_a_file_are_refused(world, tmp_path, capsys):
    (tmp_path / "other").mkdir()
    one, other = policy(tmp_path, "a", ""), policy(tmp_path / "other", "a", "")
    assert main(words(world, "--policy", one, "--policy", other)) == 2
    assert "two policies have the name a" in capsys.readouterr().err
    assert main(words(world, "--policy", str(tmp_path / "missing.toml"))) == 2
    assert "missing.toml" in capsys.readouterr().err
    assert main(words(world, "--policy", policy(tmp_path, "typo", "[matching]\nneighbors = 3\n"))) == 2
    assert "did you mean neighbours" in capsys.readouterr().err


def test_places_are_of_the_topics_and_not_of_a_folder(world, capsys):
    assert main(words(world, "--from", "last=1h")) == 2
    assert "--data is replayed as it is" in capsys.readouterr().err


def test_topics_that_cannot_be_reached_are_named(capsys):
    assert main(["replay", "--brokers", "127.0.0.1:1", "--until", "latest"]) == 1
    assert "127.0.0.1:1" in capsys.readouterr().err
    assert main(["replay", "--brokers", "127.0.0.1:1", "--from", "yesterday"]) == 2
    assert "yesterday" in capsys.readouterr().err


def test_a_log_of_which_one_line_in_a_hundred_is_damaged_replays_and_names_ten(world, tmp_path, capsys):
    log, artifact = world
    damaged = 0
    for file in sorted(log.rglob("*.jsonl")):
        lines = file.read_bytes().splitlines(keepends=True)
        for n in range(50, len(lines), 100):
            lines[n], damaged = lines[n][: len(lines[n]) // 2] + b"\n", damaged + 1
        copied = tmp_path / "log" / file.relative_to(log)
        copied.parent.mkdir(parents=True, exist_ok=True)
        copied.write_bytes(b"".join(lines))
    assert main(words((tmp_path / "log", artifact), "--json")) == 0
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert found["damaged_lines"] == damaged > 200
    assert len(found["damaged"]) == 10 and all(line in said.err for line in found["damaged"])
    assert found["report"]["run"]["damaged_lines"] == damaged and found["report"]["releases"] >= RELEASES - 2
