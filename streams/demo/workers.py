"""The demo's workers: processes of their own, ended with the demo whatever ends it."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from streams.broker import watchdog
from streams.config import variable_of
from streams.errors import Stop

ENDS_WITHIN_S = 30.0
LAST_WORDS = 15  # lines


class WorkerEnded(Stop):
    """A worker ended that nobody had told to."""


class Worker:
    """A process under a watchdog that ends it when the demo is gone, by whatever signal; `remove` goes then too."""

    def __init__(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], log: Path, remove: Path | None
    ) -> None:
        self.name, self.log = name, log
        guard = [sys.executable, "-I", "-S", str(Path(watchdog.__file__)), str(os.getpid()), str(remove or "")]
        with log.open("wb") as words:
            self._guard = subprocess.Popen(
                [*guard, *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=words,
                env=dict(environment),
                start_new_session=True,  # Ctrl-C in a terminal is for the demo alone, which then ends its workers
            )
        assert self._guard.stdout is not None
        line = self._guard.stdout.readline()
        if not line:
            self._close()
            raise WorkerEnded(f"{name} cannot be started:\n{self.last_words()}")
        self.pid = int(line)

    def code(self) -> int | None:
        return self._guard.poll()

    def tell_to_stop(self) -> None:
        self._order("terminate")

    def wait(self) -> int:
        """The exit code; who does not end in time is killed."""
        try:
            self._guard.wait(ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._order("kill")
            self._guard.wait()
        self._close()
        return int(self._guard.returncode)

    def last_words(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-LAST_WORDS:])

    def _order(self, order: str) -> None:
        assert self._guard.stdin is not None
        with suppress(BrokenPipeError, ValueError):  # it has ended already
            self._guard.stdin.write(f"{order}\n".encode())
            self._guard.stdin.flush()

    def _close(self) -> None:
        """The end of the pipe makes the watchdog end its worker, if there still is one."""
        for pipe in (self._guard.stdin, self._guard.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):
                pipe.close()
        self._guard.wait()


class Workers:
    """`keep`: should the demo be killed, the folder with state, logs and models stays."""

    def __init__(self, folder: Path, *, keep: bool) -> None:
        self.running: list[Worker] = []
        self.exit_codes: dict[str, int] = {}
        self._folder, self._keep = folder, keep

    def start(self, name: str, environment: Mapping[str, str], config: Path) -> None:
        data = self._folder / name
        data.mkdir()
        command = [sys.executable, "-m", "streams.cli", "worker", "--config", str(config)]
        said = {**environment, variable_of("worker", "data"): str(data)}
        remove = None if self._keep else data  # and the folder it is in: see the watchdog
        self.running.append(Worker(name, command, said, self._folder / f"{name}.log", remove))

    def raise_if_ended(self) -> None:
        for worker in self.running:
            if (code := worker.code()) is not None:
                raise WorkerEnded(f"{worker.name} ended with code {code}. Its last words:\n{worker.last_words()}")

    def stop(self) -> None:
        """All at once, and again harmless."""
        running, self.running = self.running, []
        for worker in running:
            worker.tell_to_stop()
        for worker in running:
            self.exit_codes[worker.name] = worker.wait()
