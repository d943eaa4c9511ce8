"""Every topic as Kafka is to hold it: planned from contracts and settings, created, and compared with what is there."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from streams.broker.security import kafka_python_arguments, reachable_now
from streams.contracts.topics import DAY_MS, HOUR_MS, READ_BY_STAGES, TOPICS, Shard, Topic
from streams.errors import BrokerUnavailable, TopicMismatch
from streams.settings import KafkaSettings, TopicSettings

MAX_MESSAGE_BYTES = 8 * 2**20  # a batch of audience samples; what neighbours may send is bounded by the contracts
KEEP_DEAD_LETTERS_MS = 30 * DAY_MS
SEEN_WITHIN_S = 10.0
UNKNOWN_TOPIC, TOPIC_EXISTS = 3, 36  # Kafka's error codes


@dataclass(frozen=True, slots=True)
class Plan:
    name: str
    partitions: int
    replication: int
    configs: dict[str, str]


def plans(topics: TopicSettings) -> list[Plan]:
    return [
        *(_plan(topic, topics) for topic in TOPICS.values()),
        *(_plan_of_dead_letters(topic, topics) for topic in READ_BY_STAGES),
    ]


def create(kafka: KafkaSettings, topics: TopicSettings, *, alter: bool = False) -> list[str]:
    """Make what is missing, then check everything; the names of what was made.

    `alter` also brings the configs of topics that are there in line. Partitions and copies are never altered: keys
    would move to partitions that do not have their state.
    """
    with _admin(kafka) as admin:
        there = set(admin.list_topics())
        missing = [plan for plan in plans(topics) if plan.name not in there]
        if missing:
            _create(admin, missing)
        if alter and there:
            _alter(admin, [plan for plan in plans(topics) if plan.name in there])
    until = time.monotonic() + (SEEN_WITHIN_S if missing or alter else 0)
    while True:  # the broker that is asked may hear of a change a moment after the controller has made it
        try:
            check(kafka, topics)
        except TopicMismatch:
            if time.monotonic() >= until:
                raise
            time.sleep(0.1)
        else:
            return [plan.name for plan in missing]


def check(kafka: KafkaSettings, topics: TopicSettings) -> list[str]:
    """The names of all topics, each as planned; TopicMismatch with every difference otherwise."""
    with _admin(kafka) as admin:
        wanted = plans(topics)
        there = _topics_there(admin, [plan.name for plan in wanted])
        configs = _configs_there(admin, list(there))
        differences = [
            line for plan in wanted for line in _differences(plan, there.get(plan.name), configs.get(plan.name, {}))
        ]
    if differences:
        raise TopicMismatch("topics are not as configured:\n  " + "\n  ".join(differences))
    return [plan.name for plan in wanted]


def drop(kafka: KafkaSettings, topics: TopicSettings) -> None:
    """With all they hold. For tests and trials; no command of ours calls it."""
    with _admin(kafka) as admin:
        answer = admin.delete_topics([plan.name for plan in plans(topics)], raise_errors=False)
        _refuse_errors(answer["topics"], but_not=UNKNOWN_TOPIC)


def _plan(topic: Topic, topics: TopicSettings) -> Plan:
    partitions = topics.song_partitions if topic.shard is Shard.SONG else topics.listener_partitions
    return Plan(topics.prefix + topic.name, partitions, topics.replication, _configs(topic, topics))


def _plan_of_dead_letters(topic: Topic, topics: TopicSettings) -> Plan:
    """One partition: they are few, and read by a person in the order in which they came."""
    configs = _common(topics) | _kept_for(KEEP_DEAD_LETTERS_MS)
    return Plan(topics.prefix + topic.dead_letters, 1, topics.replication, configs)


def _configs(topic: Topic, topics: TopicSettings) -> dict[str, str]:
    return _common(topics) | (_compacted() if topic.compacted else _kept_for(topic.keep_ms))


def _common(topics: TopicSettings) -> dict[str, str]:
    return {"min.insync.replicas": str(topics.min_insync), "max.message.bytes": str(MAX_MESSAGE_BYTES)}


def _compacted() -> dict[str, str]:
    """Read from the beginning by every worker that starts, so it must stay near one record for each key."""
    return {
        "cleanup.policy": "compact",
        "segment.ms": str(HOUR_MS),  # the segment that is written to is never compacted; by default it lasts a week
        "min.cleanable.dirty.ratio": "0.1",  # default 0.5: a view could be read twice over
        "max.compaction.lag.ms": str(DAY_MS),  # an overwritten or withdrawn value is gone from the disk by then
        "delete.retention.ms": str(7 * DAY_MS),  # a worker that was down for less than this sees every withdrawal
    }


def _kept_for(keep_ms: int | None) -> dict[str, str]:
    if keep_ms is None:
        return {"cleanup.policy": "delete", "retention.ms": "-1"}
    # Whole segments are deleted, so a segment must not span much more than what is kept
    return {
        "cleanup.policy": "delete",
        "retention.ms": str(keep_ms),
        "segment.ms": str(min(7 * DAY_MS, max(HOUR_MS, keep_ms // 7))),
    }


def _differences(plan: Plan, there: dict[str, Any] | None, configs: dict[str, str]) -> Iterator[str]:
    if there is None:
        yield f"{plan.name}: found none, wanted {plan.partitions} partitions; run `bcl topics create`"
        return
    partitions, replication = len(there["partitions"]), min(len(one["replica_nodes"]) for one in there["partitions"])
    if partitions != plan.partitions:
        yield (
            f"{plan.name}: found {partitions} partitions, wanted {plan.partitions}; set it so in [topics], "
            "or record it and replay it into a new prefix: a count is never changed under state"
        )
    if replication != plan.replication:
        yield (
            f"{plan.name}: found replication {replication}, wanted {plan.replication}; set [topics] replication, "
            "or reassign the partitions with Kafka's own tools"
        )
    for key, wanted in plan.configs.items():
        if (found := configs.get(key)) != wanted:
            yield f"{plan.name}: found {key} = {found}, wanted {wanted}; run `bcl topics create --alter`"


def _topics_there(admin: Any, names: list[str]) -> dict[str, dict[str, Any]]:
    found = {topic["name"]: topic for topic in admin.describe_topics()}
    return {name: found[name] for name in names if name in found}


def _configs_there(admin: Any, names: list[str]) -> dict[str, dict[str, str]]:
    from kafka.admin import ConfigResource, ConfigResourceType

    if not names:
        return {}
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    found = admin.describe_configs(resources, config_filter="all")["topic"]
    return {name: {key: value["value"] for key, value in configs.items()} for name, configs in found.items()}


def _create(admin: Any, missing: list[Plan]) -> None:
    wanted = {
        plan.name: {"num_partitions": plan.partitions, "replication_factor": plan.replication, "configs": plan.configs}
        for plan in missing
    }
    answer = admin.create_topics(wanted, raise_errors=False)
    _refuse_errors(
        answer["topics"], but_not=TOPIC_EXISTS
    )  # made by someone else meanwhile: the check says if as planned
    admin.wait_for_topics(list(wanted))


def _alter(admin: Any, wanted: list[Plan]) -> None:
    from kafka.admin import ConfigResource, ConfigResourceType

    resources = [ConfigResource(ConfigResourceType.TOPIC, plan.name, configs=dict(plan.configs)) for plan in wanted]
    answers = admin.alter_configs(resources)["topic"]
    if refused := {name: answer for name, answer in answers.items() if answer != "OK"}:
        raise TopicMismatch(f"Kafka does not alter {refused}")


def _refuse_errors(answers: list[dict[str, Any]], *, but_not: int) -> None:
    from kafka.errors import for_code

    reasons = [
        f"{answer['name']}: {for_code(answer['error_code']).__name__}, {answer['error_message']}"
        for answer in answers
        if answer["error_code"] not in (0, but_not)
    ]
    if reasons:
        raise TopicMismatch("Kafka refuses:\n  " + "\n  ".join(reasons))


@contextmanager
def _admin(kafka: KafkaSettings) -> Iterator[Any]:
    from kafka import KafkaAdminClient
    from kafka.errors import KafkaError

    reachable_now(kafka)
    try:
        admin = KafkaAdminClient(**kafka_python_arguments(kafka))
        try:
            yield admin
        finally:
            admin.close()
    except KafkaError as error:
        raise BrokerUnavailable(f"Kafka at {kafka.brokers} does not do it: {type(error).__name__} {error}") from error
