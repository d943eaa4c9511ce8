"""A key's partition is the one that our neighbours' clients choose."""

import aiokafka.partitioner
import kafka.partitioner.default
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.contracts.partitions import partition_of


@given(st.binary(max_size=64), st.integers(1, 200))
def test_kafka_python_and_aiokafka_agree(key: bytes, partitions: int) -> None:
    every = list(range(partitions))
    assert partition_of(key, partitions) == aiokafka.partitioner.DefaultPartitioner()(key, every, every)
    assert partition_of(key, partitions) == (kafka.partitioner.default.murmur2(key) & 0x7FFFFFFF) % partitions


# From org.apache.kafka.common.utils.UtilsTest.testMurmur2
@pytest.mark.parametrize(
    ("key", "hashed"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_kafka_itself_agrees(key: bytes, hashed: int) -> None:
    assert partition_of(key, 2**31) == hashed & 0x7FFFFFFF
