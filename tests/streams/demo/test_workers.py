import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from streams.demo.workers import Worker, WorkerEnded, Workers

WAITS = "import sys, time; print('here I am', file=sys.stderr, flush=True); time.sleep(600)"
CALM = f"import signal; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); {WAITS}"
FAILS = "import sys; sys.exit('no state could be read')"


def worker(folder: Path, code: str) -> Worker:
    return Worker("w", [sys.executable, "-c", code], os.environ, folder / "w.log", None)


def until(condition, within_s: float = 60.0) -> None:
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)


def is_gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_a_worker_that_is_told_to_stop_ends_by_itself_with_its_own_code(tmp_path):
    calm = worker(tmp_path, CALM)
    until(lambda: "here I am" in calm.last_words())
    assert calm.code() is None
    calm.tell_to_stop()
    assert calm.wait() == 0 and is_gone(calm.pid)


def test_all_are_stopped_at_once_and_stopping_again_is_harmless(tmp_path):
    workers = Workers(tmp_path, keep=False)
    workers.running = [worker(tmp_path, CALM)]
    until(lambda: "here I am" in workers.running[0].last_words())
    workers.stop()
    workers.stop()
    assert workers.exit_codes == {"w": 0}


def test_a_worker_that_ends_by_itself_is_an_error_with_its_last_words(tmp_path):
    workers = Workers(tmp_path, keep=False)
    workers.running = [worker(tmp_path, FAILS)]
    until(lambda: workers.running[0].code() is not None)
    with pytest.raises(WorkerEnded, match=r"(?s)w ended with code 1\..*no state could be read"):
        workers.raise_if_ended()
    workers.stop()
    assert workers.exit_codes == {"w": 1}


def test_a_worker_ends_with_whoever_started_it_even_if_that_is_killed(tmp_path):
    started = f"""
import os, sys, time
from pathlib import Path
from streams.demo.workers import Worker
one = Worker("w", [sys.executable, "-c", {WAITS!r}], os.environ, Path({str(tmp_path)!r}) / "w.log", None)
print(one.pid, flush=True)
time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", started], stdout=subprocess.PIPE) as parent:
        pid = int(parent.stdout.readline())
        assert not is_gone(pid)
        parent.kill()
    until(lambda: is_gone(pid))
