"""The command line: examples that work, exit codes 0, 1 and 2, errors that name thing, value and what to do."""

import importlib
import io
import json
import shlex

import pytest

from streams.cli import VERBS, main
from streams.commands.records import Written, publish
from streams.contracts.codec import dead_letter_record, decode_batch, encode
from streams.contracts.dead_letters import DeadLetter
from streams.contracts.messages import Message
from streams.contracts.topics import AUDIENCE_QUERIES, PLAYS, READ_FROM_NEIGHBOURS, SONG_RELEASES, Shard, group_of
from streams.settings import ContractSettings
from tests.builders.contracts import NOW, Logged, play, query, release, settings
from tests.builders.kafka import read
from tests.builders.malformed import malformed

MINE = ["release", "play", "config", "contracts", "dead-letters", "status", "embed"]


@pytest.fixture(autouse=True)
def no_settings_of_the_shell(monkeypatch):
    import os

    for name in [name for name in os.environ if name.startswith("BCL__")]:
        monkeypatch.delenv(name)


def bcl(*words: str) -> int:
    """The exit code, also where argparse ends the process."""
    try:
        return main(words)
    except SystemExit as ended:
        return int(ended.code or 0)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_that_is_there_has_an_example_that_its_parser_accepts(verb, capsys):
    try:
        module = importlib.import_module(f"streams.commands.{verb.replace('-', '_')}")
    except ModuleNotFoundError as missing:
        assert missing.name == f"streams.commands.{verb.replace('-', '_')}", missing
        assert verb not in MINE
        pytest.skip(f"bcl {verb} is not there")
    assert bcl(verb, "--help") == 0
    assert "example: bcl" in capsys.readouterr().out
    import argparse

    for example in module.EXAMPLE.split(";"):
        words = shlex.split(example)
        assert words[:2] == ["bcl", verb]
        parser = argparse.ArgumentParser(exit_on_error=False)
        module.arguments(parser)
        parser.parse_args(words[2:])


@pytest.mark.parametrize("words", [[], ["realease"], ["config"], ["release", "--budget", "many"]])
def test_wrong_usage_ends_with_2(words, capsys):
    assert bcl(*words) == 2
    assert "usage: bcl" in capsys.readouterr().err


def test_wrong_settings_end_with_2_and_are_named(capsys):
    assert bcl("config", "check", "--set", "scoring.rul=max") == 2
    assert "[scoring] rul is unknown; did you mean rule?" in capsys.readouterr().err
    assert bcl("config", "check", "--set", "rule") == 2
    assert bcl("config", "check", "--config", "nowhere.toml") == 2


def test_config_check_shows_what_is_in_force_and_what_is_not_default(tmp_path, capsys, monkeypatch):
    overlay = tmp_path / "mine.toml"
    overlay.write_text("[matching]\nbudget = 7\n")
    monkeypatch.setenv("BCL__KAFKA__SASL_PASSWORD", "correct horse")
    assert bcl("config", "check", "--config", str(overlay), "--brokers", "kafka:1") == 0
    said = capsys.readouterr().out
    assert "budget = 7  # default: 1000" in said and 'brokers = "kafka:1"  # default' in said and "horse" not in said
    assert bcl("config", "check", "--json", "--set", "matching.budget=9") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["matching"]["budget"] == 9 and told["kafka"]["sasl_password"] == "***"


def test_contracts_are_printed_written_and_checked(tmp_path, capsys):
    assert bcl("contracts") == 0
    assert json.loads(capsys.readouterr().out)["asyncapi"] == "3.1.0"
    assert bcl("contracts", "--out", str(tmp_path)) == 0
    assert (tmp_path / "plays" / "v1.json").is_file() and (tmp_path / "asyncapi.json").is_file()
    assert bcl("contracts", "--check") == 0
    capsys.readouterr()
    assert bcl("contracts", "--json") == 0
    assert "song-releases/v1.json" in json.loads(capsys.readouterr().out)


def test_a_release_is_checked_before_anything_is_sent(capsys, monkeypatch):
    assert bcl("release", "--song-id", "s1", "--attribute", "genre=folk", "--vector", "audio=1,0", "--dry-run") == 0
    assert capsys.readouterr().out == "s1 checked\n"
    assert bcl("release", "--song-id", "s1", "--budget", "0", "--dry-run") == 1
    assert "release 1: budget is 0: Expected `int` >= 1; nothing was published" in capsys.readouterr().err
    assert bcl("release", "--song-id", "s1", "--released", "2099-01-01", "--dry-run") == 1
    assert "released_ms is" in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin", io.StringIO('{"song_id": "s1", "released_ms": 5}\n\n{"song_id": "s2"}\n'))
    assert bcl("release", "-", "--dry-run") == 1
    assert "release 2: released_ms is missing" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["release"],
        ["release", "f.json", "--song-id", "s1"],
        ["release", "--song-id", "s1", "--attribute", "folk", "--dry-run"],
        ["release", "--song-id", "s1", "--vector", "audio=a,b", "--dry-run"],
        ["release", "--song-id", "s1", "--released", "soon", "--dry-run"],
        ["play", "--listener", "ann"],
    ],
)
def test_words_that_make_no_sense_together_end_with_2(words, capsys):
    assert bcl(*words) == 2
    assert capsys.readouterr().err


def test_documents_that_are_not_there_or_not_json_end_with_1(tmp_path, capsys):
    assert bcl("play", str(tmp_path / "missing.json"), "--dry-run") == 1
    broken = tmp_path / "plays.jsonl"
    broken.write_text('{"play_id": "p"}\n{oops\n')
    assert bcl("play", str(broken), "--dry-run") == 1
    assert "plays.jsonl, line 2" in capsys.readouterr().err
    broken.write_text('["ann"]')
    assert bcl("play", str(broken), "--dry-run") == 1
    assert "play 1: value is 'ann': Expected `object`, got `str`" in capsys.readouterr().err


def test_a_broker_that_is_not_there_ends_with_1_and_is_named(capsys):
    assert bcl("play", "--listener", "ann", "--song", "s1", "--brokers", "127.0.0.1:1") == 1
    assert "127.0.0.1:1" in capsys.readouterr().err


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    """An artifact of an encoder that was never trained."""
    from bcl_model.artifact import Artifact, write_artifact
    from bcl_model.encoder import Encoder
    from bcl_model.settings import EncoderSettings, TrainSettings
    from tests.builders.songs import FIELDS, content

    model = TrainSettings(encoder=EncoderSettings((8,), ()))
    encoder = Encoder(FIELDS.learned([content()]), model.encoder, seed=4)
    weights = {name: weight.numpy() for name, weight in encoder.state_dict().items()}
    return write_artifact(tmp_path_factory.mktemp("models"), Artifact.of(weights, model, encoder.fields, {}))


CATALOGUE = [
    {"song_id": "s1", "released_ms": 5, "attributes": {"language": "de"}, "vectors": {"audio": [1.0, 2.0, 2.0]}},
    {"song_id": "s2", "released_ms": 5, "attributes": {"language": "it"}},
]


def test_a_catalogue_is_embedded_and_what_does_not_fit_the_model_is_named(artifact, tmp_path, capsys):
    file = tmp_path / "catalogue.jsonl"
    spoilt = {"song_id": "s3", "released_ms": 5, "vectors": {"audio": [1.0]}}
    file.write_text("\n".join(map(json.dumps, [*CATALOGUE, spoilt, {"song_id": ""}])))
    assert bcl("embed", str(file), "--artifact", str(artifact), "--dry-run", "--json") == 1
    said = capsys.readouterr()
    assert json.loads(said.out) == {"embedded": 2, "refused": 2, "artifact": artifact.name, "topic": None}
    assert said.err.splitlines() == [
        "bcl embed: release 3: field 'audio' holds a vector of size 1, wanted size 3",
        "bcl embed: release 4: song_id is '': Expected `str` of length >= 1",
    ]


def test_a_parquet_catalogue_gives_the_embeddings_of_the_same_releases(
    artifact, here, kafka_settings, topics, tmp_path, capsys
):
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    from streams.contracts.topics import SONG_EMBEDDINGS

    file = tmp_path / "catalogue.parquet"
    rows = [
        {"song_id": "s1", "released_ms": 5, "language": "de", "audio": [1.0, 2.0, 2.0]},
        {"song_id": "s2", "released_ms": 5, "language": "it", "audio": None},
    ]
    parquet.write_table(arrow.Table.from_pylist(rows), file)
    assert bcl("embed", str(file), "--artifact", str(artifact), *here) == 0
    lines = tmp_path / "catalogue.json"
    lines.write_text(json.dumps(CATALOGUE))
    assert bcl("embed", str(lines), "--artifact", str(artifact), *here) == 0
    assert "2 songs embedded and published to" in capsys.readouterr().out
    found = read_back(kafka_settings, topics, SONG_EMBEDDINGS, 4)
    embeddings = {(song.song_id, song.embedding, song.artifact) for _, song in found}
    assert len(found) == 4 and len(embeddings) == 2


@pytest.fixture
def here(kafka, topics):
    """The options that name the broker and the topics of this test."""
    return [
        "--brokers", kafka, "--set", f"topics.prefix={topics.prefix}",
        "--set", f"topics.listener_partitions={topics.listener_partitions}",
        "--set", f"topics.song_partitions={topics.song_partitions}",
    ]  # fmt: skip


def read_back(kafka_settings, topics, topic, at_least):
    """Through the door, as a worker reads it."""
    found = []
    by_partition: dict[int, list] = {}
    for record in read(kafka_settings, topics.prefix + topic.name, at_least=at_least):
        by_partition.setdefault(record.partition, []).append(record)
    for partition, records in by_partition.items():
        batch, refused = decode_batch(topic, partition, records, settings().contracts)
        assert not refused
        found += zip(batch.keys, batch.values, strict=True)
    return found


def test_releases_and_withdrawals_arrive_as_a_worker_reads_them(here, kafka_settings, topics, tmp_path, capsys):
    file = tmp_path / "two.jsonl"
    file.write_text('{"song_id": "s1", "released_ms": 5, "title": "One"}\n{"song_id": "s2", "released_ms": 6}\n')
    assert bcl("release", str(file), "--json", *here) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["released"] == ["s1", "s2"] and len(told["at"]) == 2
    assert bcl("release", "--withdraw", "s1", *here) == 0
    assert capsys.readouterr().out.startswith("s1 withdrawn at ")
    arrived = read_back(kafka_settings, topics, SONG_RELEASES, 3)
    assert [value.title for key, value in arrived if key == b"s1" and value] == ["One"]
    assert [value for key, value in arrived if key == b"s1"][-1] is None


def test_a_play_from_the_shell_arrives_as_a_worker_reads_it(here, kafka_settings, topics, capsys):
    words = ["--listener", "ann", "--song", "s1", "--listened", "31", "--played", "2026-01-01T10:00", "--market", "de"]
    assert bcl("play", *words, *here) == 0
    [(key, heard)] = read_back(kafka_settings, topics, PLAYS, 1)
    assert (key, heard.listener_id, heard.song_id, heard.listened_ms, heard.market) == (
        b"ann",
        "ann",
        "s1",
        31_000,
        "de",
    )
    assert heard.played_ms == 1_767_261_600_000


def test_a_topic_that_is_not_there_is_named_at_once(kafka, capsys):
    assert bcl("play", "--listener", "a", "--song", "s", "--brokers", kafka, "--set", "topics.prefix=nowhere-") == 1
    assert "has no topic nowhere-plays; run `bcl topics create`" in capsys.readouterr().err


TIGHT = ContractSettings(max_record_bytes=40_000, max_ahead_h=1, max_release_ahead_days=365)


def buried(kafka_settings, topics, *logs):
    """Dead letters as a worker publishes them."""
    records = []
    for topic, log in logs:
        _, letters = decode_batch(topic, 1, log, TIGHT)
        for letter in letters:
            name, key, value, headers = dead_letter_record(letter)
            records.append(Written(topics.prefix + name, key, value, letter.time_ms, headers))
    publish(kafka_settings, records)


def test_dead_letters_are_listed_with_reasons_counted_by_cause_and_filtered(here, kafka_settings, topics, capsys):
    bad = malformed(40, seed=1, at_ms=NOW, limits=TIGHT)
    logs = {topic: [] for topic in READ_FROM_NEIGHBOURS}
    for n, one in enumerate(bad):
        logs[one.topic].append(Logged(n, NOW, one.key, one.value))
    buried(kafka_settings, topics, *logs.items())
    assert bcl("dead-letters", "list", *here) == 0
    assert "40 dead letters of" in capsys.readouterr().out
    assert bcl("dead-letters", "list", "--json", "--topic", "plays", *here) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(told) == sum(one.topic is PLAYS for one in bad)
    assert all(one["reason"].startswith(bad[one["offset"]].field) for one in told)
    assert bcl("dead-letters", "list", "--json", "--cause", told[0]["cause"], "--limit", "1", *here) == 0
    assert json.loads(capsys.readouterr().out)["cause"] == told[0]["cause"]
    assert bcl("dead-letters", "list", "--topic", "songs", *here) == 2


def test_only_what_can_be_read_now_is_replayed_to_its_topic(here, kafka_settings, topics, capsys):
    _, long = encode(Message(SONG_RELEASES, "s1", release(lyrics="漢" * 15_000), NOW))
    _, right = encode(Message(PLAYS, "ann", play(), NOW))
    buried(
        kafka_settings,
        topics,
        (PLAYS, [Logged(5, NOW - 2 * 3_600_000, b"ann", right), Logged(6, NOW, b"ann", b"{oops")]),
        (SONG_RELEASES, [Logged(7, NOW, b"s1", long)]),
    )
    allowed = ["--set", "contracts.max_ahead_h=3", *here]  # the clocks of those phones are believed from now on
    assert bcl("dead-letters", "replay", "--dry-run", "--json", *allowed) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["replayed"] == 1
    assert [line.split(":")[0] for line in told["still_refused"]] == ["song-releases[1] 7", "plays[1] 6"]
    assert bcl("dead-letters", "replay", "--topic", "plays", *allowed) == 0
    assert "1 sent again, 1 still refused" in capsys.readouterr().out
    [record] = read(kafka_settings, topics.prefix + "plays", at_least=1)
    assert (record.key, record.value, record.timestamp) == (b"ann", right, NOW - 2 * 3_600_000)
    assert dict(record.headers) == {"replayed-from": b"plays[1] 5"}


def test_a_record_of_our_own_goes_back_to_the_partition_it_came_from(here, kafka_settings, topics, capsys):
    key, value = encode(Message(AUDIENCE_QUERIES, "s1", query(), NOW))
    for partition in range(topics.listener_partitions):
        letter = DeadLetter(AUDIENCE_QUERIES.name, partition, 5, NOW, key, value, "the model was another one")
        name, *record, headers = dead_letter_record(letter)
        publish(kafka_settings, [Written(topics.prefix + name, *record, NOW, headers)])
    assert bcl("dead-letters", "replay", "--topic", AUDIENCE_QUERIES.name, *here) == 0
    records = read(kafka_settings, topics.prefix + AUDIENCE_QUERIES.name, at_least=topics.listener_partitions)
    assert sorted(record.partition for record in records) == list(range(topics.listener_partitions))


def test_status_tells_how_far_a_group_is_behind(here, kafka_settings, topics, capsys):
    from kafka import KafkaConsumer, TopicPartition

    from streams.broker.security import kafka_python_arguments

    heard = [encode(Message(PLAYS, f"l{n}", play(by=f"l{n}"), NOW)) for n in range(20)]
    places = publish(kafka_settings, [Written(topics.prefix + "plays", *one, NOW, []) for one in heard])
    group = group_of(Shard.LISTENER, topics.prefix)
    consumer = KafkaConsumer(**kafka_python_arguments(kafka_settings), group_id=group, enable_auto_commit=False)
    from kafka.structs import OffsetAndMetadata

    at = TopicPartition(topics.prefix + "plays", places[0][0])
    consumer.assign([at])
    consumer.commit({at: OffsetAndMetadata(1, "", -1)})
    consumer.close()
    behind = sum(partition == at.partition for partition, _ in places) - 1

    assert bcl("status", "--json", "--set", "worker.http_port=0", *here) == 0
    told = json.loads(capsys.readouterr().out)
    assert [(row["topic"], row["partition"], row["lag"]) for row in told["lag"]] == [(*at, behind)]
    assert bcl("status", "--max-lag", "0", "--set", "worker.http_port=0", *here) == (1 if behind else 0)
    assert bcl("status", "--worker", "http://127.0.0.1:1", *here) == 1
