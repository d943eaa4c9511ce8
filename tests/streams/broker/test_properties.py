"""What is written for Kafka is what Kafka reads."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.broker.properties import Node, as_text, checked_folder, escaped, server_properties
from streams.errors import BrokerUnavailable

NODES = [Node(n, Path(f"/data/node-{n}"), 9000 + n, 9100 + n, 9200 + n) for n in (1, 2, 3)]


def test_three_nodes_keep_three_copies_and_go_on_without_one() -> None:
    properties = server_properties(NODES[0], NODES, None, False)
    assert properties["offsets.topic.replication.factor"] == "3"
    assert properties["transaction.state.log.min.isr"] == "2"
    assert properties["controller.quorum.voters"] == "1@127.0.0.1:9201,2@127.0.0.1:9202,3@127.0.0.1:9203"


def test_one_node_keeps_one_copy() -> None:
    properties = server_properties(NODES[0], NODES[:1], None, False)
    assert properties["offsets.topic.replication.factor"] == properties["min.insync.replicas"] == "1"


def test_kafka_listens_on_the_loopback_address_only() -> None:
    listeners = server_properties(NODES[0], NODES, None, True)["listeners"]
    assert all("//127.0.0.1:" in listener for listener in listeners.split(","))


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_java_reads_every_value_as_it_was_meant(value: str) -> None:
    assert as_java_reads(escaped(value)) == value
    assert as_text({"key": value}).isascii()


def test_a_folder_with_a_comma_is_refused() -> None:
    with pytest.raises(BrokerUnavailable, match="splits its data folders at commas"):
        checked_folder(Path("/data/one,two"))


def as_java_reads(value: str) -> str:
    """java.util.Properties.load of a value: leading blanks go, escapes are undone."""
    units, at, value = bytearray(), 0, value.lstrip(" ")
    while at < len(value):
        letter, at = value[at], at + 1
        if letter == "\\":
            letter, at = value[at], at + 1
            if letter == "u":
                units += int(value[at : at + 4], 16).to_bytes(2, "big")
                at += 4
                continue
            letter = {"n": "\n", "r": "\r", "t": "\t"}.get(letter, letter)
        units += letter.encode("utf-16-be")
    return units.decode("utf-16-be")
