"""A worker that notes every few milliseconds of its CPU time which line runs, and says so when it ends.

SIGRTMIN (Faust has taken the usual ones) makes it begin anew: what came before is not of interest. Run as
python -m tests.benchmarks.sampled_worker, with BENCH_PROFILE naming the file for the collapsed stacks.
"""

import os
import signal
import sys
from collections import Counter
from pathlib import Path
from types import FrameType

from streams.agents.process import run_worker
from streams.config import load_settings

EVERY_S = 0.004

stacks: Counter[str] = Counter()


def note(_: int, frame: FrameType | None) -> None:
    names = []
    while frame is not None:
        names.append(f"{Path(frame.f_code.co_filename).stem}.{frame.f_code.co_qualname}")
        frame = frame.f_back
    stacks[";".join(reversed(names))] += 1


if __name__ == "__main__":
    signal.signal(signal.SIGPROF, note)
    signal.signal(signal.SIGRTMIN, lambda *_: stacks.clear())
    signal.setitimer(signal.ITIMER_PROF, EVERY_S, EVERY_S)
    code = run_worker(load_settings())
    signal.setitimer(signal.ITIMER_PROF, 0)
    Path(os.environ["BENCH_PROFILE"]).write_text("".join(f"{stack} {count}\n" for stack, count in stacks.items()))
    sys.exit(code)
