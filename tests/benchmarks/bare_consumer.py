"""A rival that does nothing: aiokafka's consumer, which only counts records and commits. No consumer of it is faster.

Run by `ingest`: python -m tests.benchmarks.bare_consumer BROKERS TOPIC GROUP
"""

import asyncio
import sys
import time

from aiokafka import AIOKafkaConsumer


async def count(brokers: str, topic: str, group: str) -> None:
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=brokers,
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=4 * 1024 * 1024,
    )
    await consumer.start()
    counted, committed_s = 0, time.monotonic()
    try:
        while True:
            fetched = await consumer.getmany(timeout_ms=200, max_records=20_000)
            counted += sum(map(len, fetched.values()))
            if time.monotonic() - committed_s > 0.1:
                await consumer.commit()
                committed_s = time.monotonic()
    finally:
        await consumer.stop()


if __name__ == "__main__":
    asyncio.run(count(*sys.argv[1:]))
