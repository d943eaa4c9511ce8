"""The parts of a replay, each in a process of its own: what is asked of all of them, they do at the same time."""

import multiprocessing
import traceback
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

from streams.errors import BadSettings, Stop
from streams.replay.lanes import Lane
from streams.replay.parts import Crew, OneProcess, Part

ENDS_WITHIN_S = 10.0


class Processes:
    """A crew. What goes wrong in a part is raised here; then, or when it is closed, all of them end."""

    def __init__(self, lanes: Sequence[Lane], parts: int) -> None:
        spawned = multiprocessing.get_context("spawn")  # a fork would take threads of ours along, and their locks
        self._ways: list[Connection] = []
        self._processes = []
        for n in range(parts):
            ours, theirs = spawned.Pipe()
            process = spawned.Process(target=_work, args=(theirs, lanes, n, parts), daemon=True, name=f"replay-{n}")
            process.start()
            theirs.close()
            self._ways.append(ours)
            self._processes.append(process)

    @property
    def parts(self) -> int:
        return len(self._processes)

    def ask(self, what: str, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        try:
            for way, own in zip(self._ways, arguments, strict=True):
                way.send((what, own))
            answers = [way.recv() for way in self._ways]
        except (EOFError, ConnectionError) as error:
            ended = {process.name: process.exitcode for process in self._processes if not process.is_alive()}
            self.close()
            raise Stop(f"a process of the replay is gone while {what} was asked of it; exit codes {ended}") from error
        for n, (is_good, answer) in enumerate(answers):
            if not is_good:
                self.close()
                raise Stop(f"{self._processes[n].name} cannot say {what}:\n{answer}")
        return [answer for _, answer in answers]

    def close(self) -> None:
        for way in self._ways:
            way.close()
        for process in self._processes:
            process.join(ENDS_WITHIN_S)
            if process.is_alive():
                process.kill()


def crew_of(lanes: Sequence[Lane], workers: int) -> Crew:
    """One worker needs no process but ours; more than there are listener partitions have nothing to do."""
    if workers < 1:
        raise BadSettings(f"{workers} workers are wanted to replay; give 1 or more")
    parts = min(workers, lanes[0].settings.topics.listener_partitions)
    return Processes(lanes, parts) if parts > 1 else OneProcess(lanes)


def _work(way: Connection, lanes: Sequence[Lane], n: int, parts: int) -> None:
    """Until nobody asks any more."""
    part = Part(lanes, n, parts)
    while True:
        try:
            what, arguments = way.recv()
        except (EOFError, ConnectionError, KeyboardInterrupt):
            part.close()
            return
        try:
            answer = True, getattr(part, what)(*arguments)
        except Exception:
            answer = False, traceback.format_exc()
        try:
            way.send(answer)
        except ConnectionError:
            return
