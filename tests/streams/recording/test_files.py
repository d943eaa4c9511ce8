"""A log that was written comes back byte for byte, and what is damaged is counted and named, never fatal."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as trial
from hypothesis import strategies as st

from streams.contracts.topics import AUDIENCE_SAMPLES, LISTENER_ERASURES, PLAYS, SONG_RELEASES, Topic
from streams.errors import BadSettings
from streams.recording.files import read_log, write_log
from streams.recording.log import Log, Logged
from tests.builders.contracts import NOW, play, settings

CONTRACTS = settings().contracts


def log(topic: Topic, *records: Logged, partition: int = 0) -> Log:
    return Log({topic.name: {partition: list(records)}}, CONTRACTS)


def heard(count: int) -> list[Logged]:
    return [Logged(10 + 3 * n, NOW, b"ann", msgspec.json.encode(play(f"s{n}", by="ann"))) for n in range(count)]


@trial(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.none() | st.binary(max_size=40), st.none() | st.binary(max_size=60))
@pytest.mark.parametrize("topic", [PLAYS, AUDIENCE_SAMPLES])
def test_whatever_a_record_holds_comes_back_as_it_was(tmp_path: Path, topic: Topic, key, value):
    record = Logged(7, NOW, key, value)
    write_log(log(topic, record, partition=2), tmp_path)
    found, damage = read_log(tmp_path, CONTRACTS)
    assert list(found.records(topic, 2)) == [record] and damage.lines == 0


@pytest.mark.parametrize("value", [b"null", b" {}", b'{"a":\n1}', b'{"a": 1.50, "b":"\\u00e9"}', b"{", b""])
def test_json_keeps_its_spelling_and_what_is_no_json_is_kept_too(tmp_path: Path, value: bytes):
    write_log(log(SONG_RELEASES, Logged(0, NOW, b"s1", value)), tmp_path)
    [found] = read_log(tmp_path, CONTRACTS)[0].records(SONG_RELEASES, 0)
    assert found.value == value


def test_a_withdrawal_is_told_from_an_empty_value(tmp_path: Path):
    records = [Logged(0, NOW, b"ann", None), Logged(1, NOW, b"ann", b"")]
    write_log(log(LISTENER_ERASURES, *records), tmp_path)
    assert list(read_log(tmp_path, CONTRACTS)[0].records(LISTENER_ERASURES, 0)) == records


def test_one_damaged_line_in_a_hundred_is_counted_and_the_first_ten_are_named(tmp_path: Path):
    write_log(log(PLAYS, *heard(2_000)), tmp_path)
    file = tmp_path / "plays" / "0.jsonl"
    lines = file.read_bytes().splitlines()
    for n in range(0, len(lines), 100):
        lines[n] = lines[n][:30]
    file.write_bytes(b"\n".join(lines))
    found, damage = read_log(tmp_path, CONTRACTS)
    assert len(found.records(PLAYS, 0)) == 1_980
    assert damage.lines == 20 and len(damage.first) == 10
    assert damage.first[1].startswith(f"{file}, line 101: ")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"topic":"songs","partition":0,"offset":0,"time_ms":1}', "topic is 'songs', wanted one of song-releases"),
        ('{"topic":"plays","partition":0,"offset":-1,"time_ms":1}', "partition, offset or time_ms is below 0"),
        ('{"topic":"plays","partition":0,"offset":0,"time_ms":1,"value_base64":"?"}', "value_base64 is '?'"),
        ('{"topic":"plays","partition":0,"offset":"1","time_ms":1}', "offset"),
    ],
)
def test_a_line_is_refused_with_the_reason(tmp_path: Path, line: str, reason: str):
    (tmp_path / "some.jsonl").write_text(line + "\n")
    _, damage = read_log(tmp_path, CONTRACTS)
    assert damage.lines == 1 and reason in damage.first[0]


def test_records_stand_in_the_order_of_their_offsets_and_each_once(tmp_path: Path):
    write_log(log(PLAYS, *heard(6)), tmp_path)
    lines = (tmp_path / "plays" / "0.jsonl").read_text().splitlines()
    (tmp_path / "plays" / "0.jsonl").write_text("\n".join([*lines[3:], *lines[:4]]))
    assert list(read_log(tmp_path, CONTRACTS)[0].records(PLAYS, 0)) == heard(6)


def test_a_folder_without_a_log_is_named(tmp_path: Path):
    with pytest.raises(BadSettings, match="holds no log"):
        read_log(tmp_path, CONTRACTS)
