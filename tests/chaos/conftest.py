"""Workers that die here are missed soon: the shortest session that a broker allows."""

import pytest

from streams.settings import KafkaSettings
from tests.builders.kafka import SHORTEST_SESSION_MS, kafka_settings


@pytest.fixture(name="kafka_settings")
def kafka_settings_of_a_short_session(kafka: str) -> KafkaSettings:
    return kafka_settings(kafka, session_timeout_ms=SHORTEST_SESSION_MS)
