"""From the acknowledgement of a withdrawal until no worker's index holds the song, with two workers; as they say it."""

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from streams.contracts.topics import SONG_RELEASES
from tests.benchmarks.machine import Cores, pin
from tests.benchmarks.prepared import Prepared
from tests.harness.live import Live, WorkerProcess

PATIENCE_S = 60.0
LOOKED_EVERY_S = 0.005


def measure(
    prepared: Prepared, cores: Cores, *, withdrawals: int, changes: Mapping[str, str] | None = None
) -> dict[str, Any]:
    with prepared.copy("withdrawal", changes) as live:
        for name in ("w", "other"):
            pin(live.start(name).process.pid, cores.subject)
        live.owning("w", "other")
        live.drained(within_s=300)
        songs = [song.song_id for song in prepared.world.songs()][:withdrawals]
        took_s = [_gone_after(live, song_id, prepared.world.settings.start_ms) for song_id in songs]
        assert set(live.stop_all().values()) == {0}
    percentiles = {f"p{p}": round(float(np.percentile(took_s, p)) * 1000) for p in (50, 99)}
    return {"gone_ms": percentiles, "withdrawals": withdrawals, "workers": 2}


def _gone_after(live: Live, song_id: str, at_ms: int) -> float:
    workers = list(live.workers.values())
    before = {worker.name: _songs(worker) for worker in workers}
    live.produce(SONG_RELEASES, [(song_id, None, at_ms)])
    acknowledged_s = time.perf_counter()
    while any(_songs(worker) >= before[worker.name] for worker in workers):
        if time.perf_counter() - acknowledged_s > PATIENCE_S:
            raise AssertionError(f"{song_id} is still in an index after {PATIENCE_S:.0f} s")
        time.sleep(LOOKED_EVERY_S)
    return time.perf_counter() - acknowledged_s


def _songs(worker: WorkerProcess) -> int:
    return int(worker.status()["songs"])
