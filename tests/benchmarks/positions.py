"""How far a consumer group has come, asked of Kafka while it works: the log's own word, the same for every subject."""

import time
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import psutil
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.errors import CoordinatorLoadInProgressError, CoordinatorNotAvailableError, NotCoordinatorError

from streams.broker.security import kafka_python_arguments
from streams.settings import KafkaSettings

ASKED_EVERY_S = 0.05
BEGIN, END = 0.2, 0.95  # of the time from the first commit to the last: what lies between is measured

Offsets = Mapping[tuple[str, int], int]  # topic, partition


class Point(NamedTuple):
    at_s: float
    cpu_s: float  # of the subject's process
    delayed_s: float  # its first thread was ready to run and had no core: others disturb the measurement
    records: int


@dataclass
class Progress:
    """One point for each moment at which the group had committed more than before."""

    before: Point  # the last look that found nothing new
    points: list[Point] = field(default_factory=list)

    def per_second(self) -> float:
        first, last = self._middle()
        return (last.records - first.records) / (last.at_s - first.at_s)

    def cpu_us_per_record(self) -> float:
        first, last = self._middle()
        return (last.cpu_s - first.cpu_s) / (last.records - first.records) * 1e6

    def undisturbed_per_second(self) -> float:
        """Were the core the subject's alone: an estimate, as the broker was disturbed as well."""
        first, last = self._middle()
        return (last.records - first.records) / (last.at_s - first.at_s - last.delayed_s + first.delayed_s)

    def _middle(self) -> tuple[Point, Point]:
        if len(self.points) < 2:  # too few records for a middle: from when nothing was committed yet
            return self.before, self.points[0]
        begin, end = self.points[0].at_s, self.points[-1].at_s
        begin, end = begin + BEGIN * (end - begin), begin + END * (end - begin)
        middle = [point for point in self.points if begin <= point.at_s <= end]
        return (middle[0], middle[-1]) if len(middle) > 1 else (self.points[0], self.points[-1])


def ends_of(kafka: KafkaSettings, topic: str, partitions: int) -> Offsets:
    with closing(KafkaConsumer(**kafka_python_arguments(kafka), enable_auto_commit=False)) as consumer:
        ends = consumer.end_offsets([TopicPartition(topic, number) for number in range(partitions)])
    return {(at.topic, at.partition): end for at, end in ends.items()}


class Group:
    """What a consumer group has committed of some partitions; 0 where nothing."""

    def __init__(self, kafka: KafkaSettings, name: str, partitions: Iterable[tuple[str, int]]) -> None:
        self.name, self._kafka, self._partitions = name, kafka, list(partitions)
        self._admin = KafkaAdminClient(**kafka_python_arguments(kafka))

    def committed(self) -> Offsets:
        for _ in range(100):
            try:
                found = self._admin.list_group_offsets({self.name: None})[self.name]
                by = {(at.topic, at.partition): meta.offset for at, meta in found.items()}
                return {at: by.get(at, 0) for at in self._partitions}
            except (NotCoordinatorError, CoordinatorNotAvailableError, CoordinatorLoadInProgressError):
                time.sleep(0.1)  # a broker that has just started is still reading its groups
                self._admin.close()
                self._admin = KafkaAdminClient(**kafka_python_arguments(self._kafka))
        raise AssertionError(f"Kafka does not say what group {self.name} has committed")

    def close(self) -> None:
        self._admin.close()


def watch(group: Group, begins: Offsets, ends: Offsets, *, for_s: float, start_within_s: float, pid: int) -> Progress:
    """Until the group has committed all, or for `for_s` after the first commit beyond where it began."""
    process, started_s = psutil.Process(pid), time.perf_counter()
    total = sum(ends.values())
    progress = Progress(Point(started_s, 0.0, 0.0, sum(begins.values())))
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        done, now_s, cpu = sum(group.committed().values()), time.perf_counter(), process.cpu_times()
        point = Point(now_s, cpu.user + cpu.system, _delayed_s(pid), done)
        if done > (progress.points or [progress.before])[-1].records:
            progress.points.append(point)
        elif not progress.points:
            progress.before = point
        if done >= total or (progress.points and now_s - progress.points[0].at_s > for_s):
            return progress
        if not progress.points and now_s - started_s > start_within_s:
            raise AssertionError(f"group {group.name} has committed nothing within {start_within_s:.0f} s")
        time.sleep(ASKED_EVERY_S)
    raise AssertionError(f"the consumer of group {group.name} ended by itself")


def _delayed_s(pid: int) -> float:
    """Linux counts it in nanoseconds; elsewhere 0."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    except OSError:
        return 0.0
