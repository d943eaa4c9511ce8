"""What was released stays readable: schemas only grow, golden examples decode, documents agree with the code."""

import json
from copy import deepcopy
from pathlib import Path

import jsonschema
import pytest

from streams.contracts.codec import decode, decode_value, encode
from streams.contracts.messages import Message
from streams.contracts.schemas import (
    EXAMPLES,
    NEIGHBOURS,
    RELEASED,
    asyncapi,
    breaks,
    broken_by_code,
    documents,
    schema_of,
)
from streams.contracts.targets import Reason
from streams.contracts.topics import (
    AUDIO_RELEASES,
    PLAYS,
    PUBLISHED_TO_NEIGHBOURS,
    PUSH_SUPPRESSIONS,
    SONG_RELEASES,
    TOPICS,
    Topic,
)
from tests.builders.contracts import NOW, settings

GOLDEN = Path(__file__).parents[2] / "golden"
GOLDEN_EXAMPLES = sorted(GOLDEN.glob("*/v*/*.json"))
LIMITS = settings().contracts


def released(topic: Topic) -> dict:
    return json.loads((RELEASED / topic.name / "v1.json").read_text("utf-8"))


def without_end(file: Path) -> bytes:
    return file.read_bytes().rstrip(b"\n")


@pytest.mark.parametrize("topic", NEIGHBOURS, ids=lambda topic: topic.name)
def test_the_code_has_only_grown_beyond_the_released_schema(topic):
    assert breaks(released(topic), schema_of(topic)) == []


def test_the_code_breaks_no_released_schema():
    assert broken_by_code() == []


def test_what_is_in_the_package_is_what_bcl_contracts_writes_now():
    for path, text in documents(settings().topics).items():
        assert (RELEASED / path).read_text("utf-8") == text, (
            f"{path}: run `bcl contracts --out` over the released folder"
        )


def test_every_neighbours_contract_has_golden_examples():
    assert {file.parts[-3] for file in GOLDEN_EXAMPLES} == {topic.name for topic in NEIGHBOURS}


@pytest.mark.parametrize("file", GOLDEN_EXAMPLES, ids=lambda file: "/".join(file.parts[-3:]))
def test_golden_examples_of_every_version_are_let_in_and_agree_with_their_schema(file):
    name, version = file.parts[-3:-1]
    topic, value = TOPICS[name], without_end(file)
    told = json.loads(value)
    jsonschema.validate(told, json.loads((RELEASED / name / f"{version}.json").read_text("utf-8")))
    key = told.get("song_id" if topic in (SONG_RELEASES, AUDIO_RELEASES) else "listener_id", "ann")
    read = decode(topic, key.encode(), value, NOW, LIMITS)
    assert read is not None or told == {}


@pytest.mark.parametrize(
    "file",
    [file for file in GOLDEN_EXAMPLES if TOPICS[file.parts[-3]] in PUBLISHED_TO_NEIGHBOURS],
    ids=lambda file: "/".join(file.parts[-3:]),
)
def test_what_we_publish_is_written_with_the_same_bytes_as_ever(file):
    topic = TOPICS[file.parts[-3]]
    assert encode(Message(topic, "k", decode_value(topic, without_end(file)), NOW)) == (b"k", without_end(file))


def test_a_new_optional_field_is_growth():
    grown = deepcopy(schema_of(PLAYS))
    grown["$defs"]["Play"]["properties"]["device"] = {"type": "string", "default": ""}
    assert breaks(schema_of(PLAYS), grown) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda play: play["properties"].pop("market"), "$.market is gone"),
        (lambda play: play["required"].append("market"), "$.market is required now"),
        (lambda play: play["required"].remove("song_id"), "$.song_id is no longer certain"),
        (lambda play: play["properties"]["liked"].update(type="integer"), "$.liked was boolean and is integer"),
        (lambda play: play["properties"]["song_id"].update(maxLength=64), "$.song_id has maxLength 64, was 128"),
        (lambda play: play["properties"]["song_id"].update(minLength=2), "$.song_id has minLength 2, was 1"),
        (
            lambda play: play["properties"]["market"].update(anyOf=[{"type": "null"}]),
            "$.market no longer may be string",
        ),
        (lambda play: play["properties"].update(market={"type": "string"}), "$.market no longer may be null"),
    ],
)
def test_what_a_neighbour_would_notice_is_no_growth(change, said):
    now = deepcopy(schema_of(PLAYS))
    change(now["$defs"]["Play"])
    assert breaks(schema_of(PLAYS), now) == [said]


def test_changes_deep_inside_are_seen():
    now = deepcopy(schema_of(PUSH_SUPPRESSIONS))
    now["$defs"]["Neighbour"]["prefixItems"][1] = {"type": "string"}
    now["$defs"]["Reason"]["enum"].remove(Reason.DAY_CAP.value)
    assert sorted(breaks(schema_of(PUSH_SUPPRESSIONS), now)) == [
        "$.because[][1] was number and is string",
        "$.reason no longer may be 'day-cap'",
    ]
    now = deepcopy(schema_of(SONG_RELEASES))
    now["$defs"]["Release"]["properties"]["vectors"]["additionalProperties"]["items"] = {"type": "integer"}
    assert breaks(schema_of(SONG_RELEASES), now) == ["$.vectors[][] was number and is integer"]


def test_a_new_reason_to_suppress_is_growth():
    now = deepcopy(schema_of(PUSH_SUPPRESSIONS))
    now["$defs"]["Reason"]["enum"].append("muted")
    assert breaks(schema_of(PUSH_SUPPRESSIONS), now) == []


def test_every_reference_of_the_asyncapi_document_leads_somewhere():
    document = asyncapi(settings().topics)

    def references(node: object) -> list[str]:
        if isinstance(node, dict):
            here = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
            return here + [one for value in node.values() for one in references(value)]
        return [one for value in node for one in references(value)] if isinstance(node, list) else []

    found = references(document)
    assert found
    for reference in found:
        if reference.startswith("#/"):
            node = document
            for part in reference[2:].split("/"):
                node = node[part]
        else:
            assert (RELEASED / reference).is_file()


def test_the_asyncapi_document_has_a_channel_and_an_operation_for_every_topic_of_a_neighbour():
    document = asyncapi(settings(topics={"prefix": "eu.", "listener_partitions": 12}).topics)
    assert document["asyncapi"] == "3.1.0"
    assert set(document["channels"]) >= {topic.name for topic in NEIGHBOURS}
    plays = document["channels"]["plays"]
    assert plays["address"] == "eu.plays" and plays["bindings"]["kafka"]["partitions"] == 12
    assert {operation["channel"]["$ref"] for operation in document["operations"].values()} == {
        f"#/channels/{name}" for name in document["channels"]
    }


@pytest.mark.parametrize("topic", NEIGHBOURS, ids=lambda topic: topic.name)
def test_the_examples_in_the_document_agree_with_their_schemas(topic):
    message = asyncapi(settings().topics)["components"]["messages"][topic.name]
    [example] = message["examples"]
    jsonschema.validate(json.loads(json.dumps(example["payload"])), schema_of(topic))
    assert EXAMPLES[topic.name] == decode_value(topic, json.dumps(example["payload"]).encode())
