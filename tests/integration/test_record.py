"""Topics to files: every record with its offset, from a place to a place, and on from where a recording was cut."""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from kafka import KafkaProducer

from streams.broker.security import kafka_python_arguments
from streams.cli import main
from streams.contracts.topics import PLAYS, SONG_RELEASES, TOPICS
from streams.errors import BadSettings
from streams.recording import recorder
from streams.recording.files import read_log
from streams.recording.log import Log, recorded
from streams.recording.offsets import EARLIEST, LATEST, place
from streams.recording.recorder import FORMATS, Recording, parts_end
from streams.replay.timeline import Timeline
from streams.settings import KafkaSettings, Settings, TopicSettings
from tests.builders.contracts import play, settings

NOW = (int(time.time()) - 86_400) * 1_000  # what is much older the broker may remove


@pytest.fixture
def live(kafka_settings: KafkaSettings, make_topics: Callable[..., TopicSettings]) -> Settings:
    return with_topics(kafka_settings, make_topics())


def with_topics(kafka: KafkaSettings, topics: TopicSettings) -> Settings:
    return replace(settings(), kafka=kafka, topics=topics)


def produce(live: Settings, first: int, count: int) -> None:
    """A play each ten seconds, and of every tenth song something that is no release."""
    producer = KafkaProducer(**kafka_python_arguments(live.kafka), acks="all", linger_ms=5)
    sent = []
    for n in range(first, first + count):
        at_ms = NOW + 10_000 * n
        one = play(f"s{n % 5}", by=f"l{n % 17}", at=at_ms)
        key, value = one.listener_id.encode(), msgspec.json.encode(one)
        sent.append(producer.send(live.topics.prefix + PLAYS.name, key=key, value=value, timestamp_ms=at_ms))
        if n % 10 == 0:
            name = live.topics.prefix + SONG_RELEASES.name
            sent.append(producer.send(name, key=b"s%d" % n, value=b"\x00oops", timestamp_ms=at_ms))
    producer.flush(timeout=60)
    for future in sent:
        future.get(timeout=60)
    producer.close()


def same(one: Log, other: Log) -> bool:
    return all(
        [tuple(record) for record in one.records(topic, partition)]
        == [(r.offset, r.timestamp, r.key, r.value) for r in other.records(topic, partition)]
        for topic in TOPICS.values()
        for partition in range(8)
    )


@pytest.mark.parametrize("kind", FORMATS)
def test_a_recording_has_every_record_goes_on_where_it_ended_and_repeats_nothing(
    live: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(recorder, "RECORDS_PER_PART", 30)
    produce(live, 0, 300)
    told: list[tuple[int, int]] = []
    recording = Recording(live, tmp_path, kind, lambda done, wanted, recorded_ms=0: told.append((done, wanted)))
    assert recording.record(EARLIEST, LATEST) == dict.fromkeys(TOPICS, 0) | {"plays": 300, "song-releases": 30}
    assert told[0] == (0, 330) and told[-1] == (330, 330) and told == sorted(told)
    assert recording.record(EARLIEST, LATEST) == dict.fromkeys(TOPICS, 0)

    produce(live, 300, 100)
    assert recording.record(EARLIEST, LATEST) == dict.fromkeys(TOPICS, 0) | {"plays": 100, "song-releases": 10}
    log, damage = read_log(tmp_path, live.contracts)
    assert same(recorded(live), log) and damage.lines == 0
    assert all(parts_end(tmp_path / "plays", p) == len(log.records(PLAYS, p)) for p in log.partitions(PLAYS))
    timeline, _ = Timeline.read(tmp_path, live.contracts)
    assert sum(map(len, timeline.plays)) == timeline.play_records == 400


def test_what_lies_between_two_times_is_recorded_and_nothing_else(live: Settings, tmp_path: Path) -> None:
    produce(live, 0, 200)
    begin, end = (place(f"ts={(NOW + 10_000 * n) // 1_000}", NOW) for n in (50, 120))
    counts = Recording(live, tmp_path).record(begin, end)
    assert counts["plays"] == 70
    log, _ = read_log(tmp_path, live.contracts)
    times = [record.timestamp for p in log.partitions(PLAYS) for record in log.records(PLAYS, p)]
    assert sorted(times) == [NOW + 10_000 * n for n in range(50, 120)]


def test_the_command_line_records_what_it_was_asked_for(
    live: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    produce(live, 0, 60)
    where = ["--brokers", live.kafka.brokers, "--set", f"topics.prefix={live.topics.prefix}"]
    out = tmp_path / "log"
    assert main(["record", "--out", str(out), "--format", "parquet", "--from", "last=2d", "--json", *where]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["records"] == 66 and told["topics"]["plays"] == 60
    assert {path.suffix for path in out.rglob("*") if path.is_file()} == {".parquet"}
    assert main(["record", "--out", str(out), *where]) == 0
    assert "0 records written" in capsys.readouterr().out


def test_where_there_are_none_of_our_topics_it_says_so(kafka_settings: KafkaSettings, tmp_path: Path) -> None:
    nowhere = with_topics(kafka_settings, settings(topics={"prefix": "nowhere-"}).topics)
    with pytest.raises(BadSettings, match="none of our topics with"):
        Recording(nowhere, tmp_path).record(EARLIEST, LATEST)
