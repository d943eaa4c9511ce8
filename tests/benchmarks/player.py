"""Plays at a steady rate while something else is measured; a process of its own, so that it never waits for anybody.

Run by `release`: python -m tests.benchmarks.player FOLDER BROKERS PREFIX PLAYS PLAYS_PER_SECOND. Says "ready", begins
when told to, and ends when the plays or its patience do, with what it has done as JSON.
"""

import asyncio
import json
import sys
import time
from pathlib import Path

from streams.contracts.topics import PLAYS
from tests.benchmarks.prepared import Prepared, Record, partitioned, plays_after, producer_of, send
from tests.builders.kafka import kafka_settings

TICK_S = 0.05

Tick = dict[int, list[Record]]  # partition -> records


def ticks_of(prepared: Prepared, plays: int, per_tick: int) -> list[Tick]:
    ticks: list[Tick] = []
    for block in plays_after(prepared.world, prepared.sizes, prepared.sizes.plays, plays):
        for start in range(0, len(block), per_tick):
            some = block.take(slice(start, start + per_tick))
            ticks.append(partitioned(some, prepared.world, prepared.sizes.listener_partitions))
    return ticks


async def play(brokers: str, topic: str, ticks: list[Tick]) -> dict[str, float]:
    """On time: a tick that comes late is followed by the next at once."""
    producer = producer_of(kafka_settings(brokers))
    await producer.start()
    sending: set[asyncio.Task[None]] = set()
    try:
        begun_s, sent, late_s = time.monotonic(), 0, 0.0
        for n, tick in enumerate(ticks):
            wait_s = begun_s + n * TICK_S - time.monotonic()
            late_s = max(late_s, -wait_s)
            await asyncio.sleep(max(0.0, wait_s))
            for partition, records in tick.items():
                task = asyncio.create_task(send(producer, topic, partition, records))
                sending.add(task)
                task.add_done_callback(sending.discard)
                sent += len(records)
        await asyncio.gather(*sending)
        return {"plays": sent, "plays_per_second": sent / (time.monotonic() - begun_s), "latest_s": late_s}
    finally:
        await producer.stop()


if __name__ == "__main__":
    folder, brokers, prefix, plays, per_second = sys.argv[1:]
    ticks = ticks_of(Prepared.read(Path(folder)), int(plays), max(1, round(float(per_second) * TICK_S)))
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps(asyncio.run(play(brokers, prefix + PLAYS.name, ticks))), flush=True)
