"""Measure: python -m tests.benchmarks ingest | release | state [--quick] [--json]"""

import json
import tempfile
from pathlib import Path

from tests.benchmarks import ingest
from tests.benchmarks.machine import cores, pin
from tests.benchmarks.prepared import Sizes, prepare

FULL = Sizes(listeners=100_000, songs=20_000, history=1_500_000, plays=2_000_000)
QUICK = Sizes(listeners=20_000, songs=4_000, history=200_000, plays=300_000)

if __name__ == "__main__":
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    c = cores()
    pin(0, c.others)
    p = prepare(folder, QUICK, c, preload=True)
    print(json.dumps(ingest.measure(p, c, runs=1, rival_s=12, profile=None), indent=1))
