"""`bcl demo` as a newcomer runs it, small: what it says at its end, and that nothing of it is left, however it ends."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

pytestmark = [pytest.mark.broker, pytest.mark.slow]

SMALL = ["--listeners", "400", "--songs", "120", "--releases", "3", "--seconds", "5", "--seed", "5"]


@dataclass
class Run:
    process: "subprocess.Popen[str]"
    told: list[str] = field(default_factory=list)
    started: list[psutil.Process] = field(default_factory=list)  # seen among its children, and theirs

    def until(self, phase: str) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.told.append(line)
            self.started += psutil.Process(self.process.pid).children(recursive=True)
            if phase in line:
                return
        raise AssertionError(f"it ended with {self.process.wait()} before {phase!r}:\n{''.join(self.told)}")

    def end(self) -> tuple[int, str]:
        out, words = self.process.communicate(timeout=600)
        self.told.append(words)
        return self.process.returncode, out

    def left(self) -> list[str]:
        _, alive = psutil.wait_procs(self.started, timeout=60)
        return [f"{one.pid} {one.name()}" for one in alive]


@contextmanager
def demo(*words: str, folder: Path) -> Iterator[Run]:
    process = subprocess.Popen(
        [sys.executable, "-m", "streams.cli", "demo", "--json", *SMALL, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**no_settings(), "TMPDIR": str(folder)},
    )
    try:
        yield Run(process)
    finally:
        process.kill()
        process.wait()


def no_settings() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("BCL__")}


def test_the_demo_releases_songs_reports_and_leaves_nothing_behind(tmp_path):
    with demo(folder=tmp_path) as run:
        run.until("releasing songs")
        code, out = run.end()
        assert code == 0, "".join(run.told)
        assert run.left() == []
    assert list(tmp_path.glob("bcl-*")) == []

    [line] = out.splitlines()
    said = json.loads(line)
    assert said["releases"] == 3 and said["undecided_releases"] == 0
    assert said["targets"] > 0 and said["dead_letters"] == 0 and said["plays"] > 0
    assert set(said["worker_exit_codes"].values()) == {0}
    assert said["first_target_ms"]["p50"] <= said["last_target_ms"]["p50"]
    assert said["precision_at_budget"].keys() == said["reach"].keys() == said["precision_interval"].keys()
    assert said["precision_at_budget"].keys() >= {"cat", "single_mean", "weighted_count", "popularity", "random"}
    assert said["answers"]["merged"] == said["answers"]["same_when_computed_again"] == 3 * 8


@pytest.mark.parametrize(
    ("number", "phase"),
    [(signal.SIGINT, "training the model"), (signal.SIGTERM, "embedding the catalogue")],
    ids=["Ctrl-C while the model is trained", "SIGTERM while workers run"],
)
def test_a_demo_that_is_told_to_end_leaves_nothing_running(number, phase, tmp_path):
    with demo(folder=tmp_path) as run:
        run.until(phase)
        run.process.send_signal(number)
        code, out = run.end()
        assert code == 128 + number and out == ""
        assert "Traceback" not in "".join(run.told)
        assert run.left() == []
    assert list(tmp_path.glob("bcl-*")) == []
