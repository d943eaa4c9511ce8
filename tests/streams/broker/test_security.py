"""TLS and passwords with both clients, and the true reason where they do not fit."""

import asyncio
import dataclasses
import datetime
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from streams.broker.certificates import Certificates, make_certificates
from streams.broker.embedded import EmbeddedKafka
from streams.broker.security import aiokafka_arguments, reachable, reachable_now, ssl_context
from streams.broker.topics import create
from streams.errors import BadSettings, BrokerUnavailable
from streams.settings import KafkaSettings
from tests.builders.kafka import kafka_settings, read, send, topic_settings

PASSWORD = "it's, a = long \\ secret"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("tls"), mutual=True)


@pytest.fixture(scope="module")
def secured(certificates: Certificates) -> Iterator[KafkaSettings]:
    """A Kafka that wants a certificate and a password, and what to say to it."""
    with EmbeddedKafka(tls=certificates, scram={"bcl": PASSWORD}) as cluster:
        yield kafka_settings(
            cluster.bootstrap,
            security="SASL_SSL",
            ca_file=str(certificates.ca_pem),
            cert_file=str(certificates.client_cert),
            key_file=str(certificates.client_key),
            sasl_mechanism="SCRAM-SHA-512",
            sasl_user="bcl",
            sasl_password=PASSWORD,
        )


def changed(settings: KafkaSettings, **changes: object) -> KafkaSettings:
    return dataclasses.replace(settings, **changes)  # type: ignore[arg-type]


@pytest.mark.broker
async def test_what_one_client_writes_the_other_reads_over_tls_with_a_password(secured: KafkaSettings) -> None:
    topics = topic_settings(prefix="secured-")
    await asyncio.to_thread(create, secured, topics)
    await asyncio.to_thread(send, secured, "secured-plays", [(b"ann", b"from kafka-python")])
    async with AIOKafkaProducer(**aiokafka_arguments(secured), enable_idempotence=True) as producer:
        await producer.send_and_wait("secured-plays", key=b"ann", value=b"from aiokafka")
    consumer = AIOKafkaConsumer("secured-plays", **aiokafka_arguments(secured), auto_offset_reset="earliest")
    async with consumer:
        seen = [(await consumer.getone()).value for _ in range(2)]
    assert seen == [b"from kafka-python", b"from aiokafka"]
    assert len(await asyncio.to_thread(read, secured, "secured-plays", at_least=2)) == 2


@pytest.mark.broker
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"sasl_password": "wrong"}, "user 'bcl' is refused"),
        ({"sasl_user": "nobody"}, "user 'nobody' is refused"),
        ({"sasl_mechanism": "PLAIN"}, "does not offer .* sasl_mechanism = 'PLAIN'"),
        ({"security": "SSL"}, "does .* security = 'SSL' fit this port"),
        ({"security": "PLAINTEXT"}, "does .* security = 'PLAINTEXT' fit this port"),
        ({"ca_file": ""}, "its certificate is refused: .*; compare .* ca_file"),
        ({"cert_file": "", "key_file": ""}, "wants to see our certificate; set .* cert_file"),
    ],
)
async def test_what_does_not_fit_is_said(secured: KafkaSettings, changes: dict[str, str], reason: str) -> None:
    await reachable(secured)
    with pytest.raises(BrokerUnavailable, match=reason):
        await reachable(changed(secured, **changes))


@pytest.mark.broker
@pytest.mark.parametrize(
    ("made", "reason"),
    [
        ({"valid": datetime.timedelta(days=-1)}, "certificate has expired"),
        ({"host": "kafka.example"}, "IP address mismatch"),
    ],
)
def test_an_expired_certificate_and_one_for_another_host_are_said(
    tmp_path: Path, made: dict[str, object], reason: str
) -> None:
    certificates = make_certificates(tmp_path, **made)  # type: ignore[arg-type]
    with EmbeddedKafka(tls=certificates) as cluster, pytest.raises(BrokerUnavailable, match=reason):
        reachable_now(kafka_settings(cluster.bootstrap, security="SSL", ca_file=str(certificates.ca_pem)))


@pytest.mark.broker
async def test_one_broker_of_several_is_enough(kafka: str) -> None:
    await reachable(kafka_settings(f"127.0.0.1:1,{kafka}"))


async def test_each_broker_that_cannot_be_reached_is_named() -> None:
    with pytest.raises(BrokerUnavailable, match=r"(?s)127\.0\.0\.1:1: refused.*127\.0\.0\.1:2: refused"):
        await reachable(kafka_settings("127.0.0.1:1,127.0.0.1:2"))


async def test_a_name_that_does_not_exist_is_said() -> None:
    with pytest.raises(BrokerUnavailable, match=r"no-such-host\.invalid:9092: .*see \[kafka\] brokers"):
        await reachable(kafka_settings("no-such-host.invalid:9092"))


async def test_a_port_of_something_else_is_said() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(BrokerUnavailable, match="accepted, but no Kafka answered"):
            await reachable(kafka_settings("{}:{}".format(*silent.getsockname())))


def test_files_that_are_no_certificates_are_bad_settings(tmp_path: Path) -> None:
    (tmp_path / "no.pem").write_text("no")
    with pytest.raises(BadSettings, match=r"ca_file = '.*no\.pem' is not a file of PEM certificates"):
        ssl_context(kafka_settings("", security="SSL", ca_file=str(tmp_path / "no.pem")))
    with pytest.raises(BadSettings, match=r"cert_file = '.*missing\.pem'"):
        ssl_context(kafka_settings("", security="SSL", cert_file=str(tmp_path / "missing.pem")))
