"""One node's server.properties, from what is to be decided: pure functions from values to text."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from streams.broker.certificates import Certificates
from streams.errors import BrokerUnavailable


@dataclass(frozen=True, slots=True)
class Node:
    """Broker and controller in one. Clients use one port, brokers and controllers among themselves the others."""

    id: int
    folder: Path
    client_port: int
    broker_port: int
    controller_port: int

    @property
    def client(self) -> str:
        return f"127.0.0.1:{self.client_port}"

    @property
    def broker(self) -> str:
        return f"127.0.0.1:{self.broker_port}"


def server_properties(node: Node, nodes: Sequence[Node], tls: Certificates | None, scram: bool) -> dict[str, str]:
    copies = min(3, len(nodes))
    protocol = ("SASL_" if scram else "") + ("SSL" if tls else "PLAINTEXT")
    return {
        "process.roles": "broker,controller",
        "node.id": str(node.id),
        "controller.quorum.voters": ",".join(f"{one.id}@127.0.0.1:{one.controller_port}" for one in nodes),
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "BROKERS",
        # The inner two are plaintext: this broker is for tests and trials, and listens on the loopback address alone
        "listeners": f"CLIENTS://{node.client},BROKERS://{node.broker},CONTROLLER://127.0.0.1:{node.controller_port}",
        "listener.security.protocol.map": f"CLIENTS:{protocol},BROKERS:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": str(node.folder / "log"),
        "auto.create.topics.enable": "false",
        "num.partitions": "1",
        "default.replication.factor": str(copies),
        "min.insync.replicas": str(max(1, copies - 1)),
        "offsets.topic.num.partitions": "4",
        "offsets.topic.replication.factor": str(copies),
        "transaction.state.log.num.partitions": "4",
        "transaction.state.log.replication.factor": str(copies),
        "transaction.state.log.min.isr": str(max(1, copies - 1)),
        "share.coordinator.state.topic.num.partitions": "4",
        "share.coordinator.state.topic.replication.factor": str(copies),
        "share.coordinator.state.topic.min.isr": str(max(1, copies - 1)),
        "group.initial.rebalance.delay.ms": "0",
        "group.min.session.timeout.ms": "500",
        # A node that was killed may come back after 2 s; by default its id stays taken for 9 s
        "broker.session.timeout.ms": "2000",
        "broker.heartbeat.interval.ms": "500",
        "controller.quorum.election.timeout.ms": "500",
        "controller.quorum.fetch.timeout.ms": "1000",
        "message.max.bytes": str(16 * 2**20),
        "replica.fetch.max.bytes": str(16 * 2**20),
        "log.cleaner.dedupe.buffer.size": str(8 * 2**20),  # of a heap of 512 MB, not the default 128 MB
        **(_tls(tls) if tls else {}),
        **(_scram() if scram else {}),
    }


def _tls(certificates: Certificates) -> dict[str, str]:
    """A listener of kind SSL starts without a word when it has no key store, so these are never left out."""
    return {
        "listener.name.clients.ssl.keystore.type": "PEM",
        "listener.name.clients.ssl.keystore.location": str(certificates.server_pem),
        "listener.name.clients.ssl.truststore.type": "PEM",
        "listener.name.clients.ssl.truststore.location": str(certificates.ca_pem),
        "listener.name.clients.ssl.client.auth": "required" if certificates.mutual else "none",
    }


def _scram() -> dict[str, str]:
    module = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
    return {
        "listener.name.clients.sasl.enabled.mechanisms": "SCRAM-SHA-256,SCRAM-SHA-512",
        "listener.name.clients.scram-sha-256.sasl.jaas.config": module,
        "listener.name.clients.scram-sha-512.sasl.jaas.config": module,
    }


def as_text(properties: Mapping[str, str]) -> str:
    """As Java reads it: Latin-1, with a backslash before what has a meaning and \\uXXXX for the rest."""
    return "".join(f"{key}={escaped(value)}\n" for key, value in properties.items())


def escaped(value: str) -> str:
    """
    >>> escaped("/data/Bj\u00f6rk \u2605")
    '/data/Bj\\\\u00f6rk \\\\u2605'
    """
    plain = re.sub(r"[\\]", r"\\\\", value)
    plain = plain.replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")
    plain = re.sub(r"^ ", r"\\ ", plain)
    in_utf16 = plain.encode("utf-16-be")
    units = [int.from_bytes(in_utf16[at : at + 2], "big") for at in range(0, len(in_utf16), 2)]
    return "".join(chr(unit) if 0x20 <= unit < 0x7F else f"\\u{unit:04x}" for unit in units)


def checked_folder(folder: Path) -> Path:
    """Absolute. Kafka splits log.dirs at commas and cannot be told otherwise."""
    absolute = folder.expanduser().absolute()
    if "," in str(absolute):
        raise BrokerUnavailable(
            f"Kafka splits its data folders at commas: {absolute} cannot be one; name a folder without"
        )
    return absolute
