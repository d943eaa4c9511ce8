"""What is compressed lightly is read as it was written, and is compressed by another level than before."""

from collections.abc import Iterator

import pytest
from aiokafka.record._crecords import default_records
from aiokafka.record.memory_records import MemoryRecords

from streams.agents.light_compression import compress_lightly

LZ4 = 3
VALUES = [b" ".join(str(n * n % 9973).encode() for n in range(k, k + 400)) for k in range(200)]


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    before = default_records.lz4_encode
    yield
    default_records.lz4_encode = before


def built() -> bytes:
    batch = default_records.DefaultRecordBatchBuilder(
        magic=2,
        compression_type=LZ4,
        is_transactional=0,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=1 << 20,
    )
    for n, value in enumerate(VALUES):
        assert batch.append(n, 1, b"key", value, []) is not None
    return bytes(batch.build())


def test_the_light_level_is_taken_and_the_values_come_back():
    heavy = built()
    compress_lightly()
    light = built()
    assert len(light) != len(heavy)
    batch = MemoryRecords(light).next_batch()
    assert [record.value for record in batch] == VALUES
