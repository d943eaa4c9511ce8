"""The benchmarks run and say what they promise to; what they measure is nobody's test."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = [pytest.mark.slow, pytest.mark.broker]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """One world for both scenarios."""
    sizes = ["--listeners", "1500", "--songs", "400", "--history", "40000", "--plays", "200000", "--flow", "200000"]
    return ["--quick", "--json", *sizes, "--prepared", str(tmp_path_factory.mktemp("prepared"))]


def run(folder: Path, *arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.benchmarks", *arguments, "--scratch", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert found["machine"] and found["seed"] == 7
    return found


def test_ingest_compares_the_worker_with_both_rivals(tmp_path, prepared):
    found = run(tmp_path, "ingest", *prepared)
    subjects = {"bcl worker", "idiomatic Faust agent", "bare aiokafka consumer"}
    for table in ("plays_per_second", "undisturbed_plays_per_second", "cpu_us_per_play", "runs"):
        assert found[table].keys() == subjects
    assert found["worker_over_faust"] > 0 and found["worker_over_counting"] > 0
    assert 0 < found["samples_per_play"] <= 1


def test_release_tells_the_first_and_the_last_target_and_every_hop(tmp_path, prepared):
    found = run(
        tmp_path,
        "release",
        *prepared,
        "--releases",
        "2",
        "--budget",
        "200",
        "--share-of-rate",
        "0.01",
        "--every-s",
        "1",
    )
    assert found["first_target_ms"].keys() == found["last_target_ms"].keys() == {"p50", "p99"}
    assert list(found["hops_ms"]) == ["song-embeddings", "audience-queries", "audience-answers", "target-candidates"]
    assert found["decided_per_release"] >= 190  # fewer candidates than the budget only where too few are eligible


def test_withdrawal_tells_when_the_song_is_in_no_index(tmp_path, prepared):
    found = run(tmp_path, "withdrawal", *prepared, "--releases", "2")
    assert 0 < found["gone_ms"]["p50"] <= found["gone_ms"]["p99"] and found["withdrawals"] == 2


def test_state_tells_the_bytes_of_a_listener_and_of_a_song(tmp_path):
    found = run(tmp_path, "state", "--quick", "--json", "--listeners", "2000", "--songs", "200")
    assert found["listeners"]["2000"]["disk_bytes_each"] >= 32 * 16  # a full ring
    assert found["listeners"]["2000"]["memory_bytes_each"] > 0
    assert found["songs"]["200"]["disk_bytes_each"] > 0


def test_replay_tells_its_rate_and_its_memory_with_releases_and_without(tmp_path):
    sizes = ["--listeners", "2000", "--songs", "400", "--plays", "150000", "--releases", "5"]
    found = run(tmp_path, "replay", "--alone", "--json", *sizes)["replays"]["150000"]
    assert (found["alone"]["releases"], found["with 5 releases"]["releases"]) == (0, 5)
    for one in (found["alone"], found["with 5 releases"]):
        assert one["plays_per_cpu_second"] > 0 and one["peak_mib"] > 0


def test_truth_tells_of_each_seed_whether_the_bytes_agree_and_where_the_truth_lies(tmp_path):
    found = run(tmp_path, "truth", "--quick", "--json", "--seeds", "2")
    assert [one["seed"] for one in found["truths"]] == [1, 2] and found["same_bytes"] == 2
    assert all(one["plays"] == 20_000 and one["said"] > 500 for one in found["truths"])


def test_truth_tells_of_workers_on_kafka_too(tmp_path):
    found = run(tmp_path, "truth", "--quick", "--json", "--seeds", "1", "--live", "2", "--releases", "3")
    assert found["sizes"]["workers"] == 2 and found["same_bytes"] == 1 and found["truths"][0]["said"] > 100


def test_steps_tell_what_the_contrastive_part_costs(tmp_path):
    found = run(tmp_path, "steps", "--quick", "--json", "--models", "demo")
    assert found["fields"] >= 10 and found["pairs_per_step"] == {"bpr": 1024, "demo": 512}
    assert found["pairs_per_second"].keys() == {"bpr", "demo"} and min(found["pairs_per_second"].values()) > 0
    assert found["times_bpr"]["demo"] > 0
