"""Who owns what: topics that share state lie on one worker at every moment, and a quick restart moves nothing."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable

import pytest

from streams.contracts.topics import TOPICS, Shard
from tests.builders.kafka import SHORTEST_SESSION_MS
from tests.harness.live import COMES_WITHIN_S, STAGE_INPUTS, Live, WorkerProcess

pytestmark = pytest.mark.chaos


def test_topics_of_one_side_lie_on_one_worker_while_workers_come_and_go(live: Live) -> None:
    watch = Watch(live)
    live.start("one")
    live.owning("one")
    live.start("two")
    live.owning("one", "two")
    live.start("three")
    live.owning("one", "two", "three")
    time.sleep(1.3 * SHORTEST_SESSION_MS / 1_000)  # a worker without a partition stays a member
    live.owning("one", "two", "three")
    assert live.workers["one"].stop() == 0
    live.owning("two", "three")
    assert live.workers["two"].stop() == 0
    live.owning("three")
    live.drained()
    watch.ended(after_looks=50)
    assert live.workers["three"].stop() == 0


def test_a_named_worker_that_is_back_within_its_session_has_what_it_had(make_live: Callable[..., Live]) -> None:
    live = make_live(BCL__KAFKA__SESSION_TIMEOUT_MS=str(int(1_000 * COMES_WITHIN_S)))
    live.start("one", BCL__WORKER__NAME="one")
    live.start("two", BCL__WORKER__NAME="two")
    live.owning("one", "two")
    live.drained()
    before = {name: live.workers[name].partitions() for name in ("one", "two")}
    rebalances = live.workers["one"].said().count(": partitions [")
    for end in (WorkerProcess.kill, WorkerProcess.stop):
        end(live.workers["two"])
        live.start("two", BCL__WORKER__NAME="two")
        live.until("listener: partitions [", "two")
        assert {name: live.workers[name].partitions() for name in ("one", "two")} == before
    assert live.workers["one"].said().count(": partitions [") == rebalances


class Watch(threading.Thread):
    """Asks every worker again and again; a worker's topics of one side have the same partitions."""

    def __init__(self, live: Live) -> None:
        super().__init__(daemon=True)
        self._live, self._over, self._wrong, self._looks = live, threading.Event(), list[str](), 0
        self.start()

    def run(self) -> None:
        while not self._over.wait(0.05):
            for name, worker in list(self._live.workers.items()):
                if worker.process.poll() is None and (held := partitions_by_topic(worker)):
                    self._looks += 1
                    for side, names in STAGE_INPUTS.items():
                        if len({frozenset(held[topic]) for topic in names}) > 1:
                            self._wrong.append(f"{name}, {side}: {dict(held)}")

    def ended(self, after_looks: int) -> None:
        """So often there was something to see, and all was right."""
        until = time.monotonic() + COMES_WITHIN_S
        while self._looks < after_looks and time.monotonic() < until:
            time.sleep(0.05)
        self._over.set()
        self.join()
        assert not self._wrong, "\n".join(self._wrong[:5])
        assert self._looks >= after_looks


def partitions_by_topic(worker: WorkerProcess) -> dict[str, list[int]]:
    held: dict[str, list[int]] = defaultdict(list)
    for at in worker.status().get("lag", {}):
        topic, _, partition = at.rstrip("]").rpartition("[")
        name = next(one for one in sorted(TOPICS, key=len, reverse=True) if topic.endswith(one))
        held[name].append(int(partition))
    return held


def test_every_topic_that_stages_read_is_watched() -> None:
    sides = {"songs": Shard.SONG, "listeners": Shard.LISTENER}
    assert all(TOPICS[name].shard is sides[side] for side, names in STAGE_INPUTS.items() for name in names)
