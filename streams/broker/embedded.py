"""Apache Kafka as child processes on loopback ports: started, awaited, killed, restarted, and never left behind."""

import base64
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from streams.broker.certificates import Certificates
from streams.broker.jars import Progress, class_path
from streams.broker.java import java
from streams.broker.properties import Node, as_text, checked_folder, server_properties
from streams.errors import BrokerUnavailable

HERE = Path(__file__).parent
ANSWERS_WITHIN_S = 90.0
ENDS_WITHIN_S = 30.0
FREE_WITHIN_S = 5.0  # the Java of a parent that was killed a moment ago needs 2 s to end

Thing = TypeVar("Thing")


class EmbeddedKafka:
    """One node or three, each a broker and a controller.

    `data` keeps what is written from one start to the next; without it everything goes when the cluster stops.
    `scram` maps users to passwords. Nodes are counted from 1, as Kafka's own broker ids.
    """

    def __init__(
        self,
        nodes: int = 1,
        data: Path | None = None,
        tls: Certificates | None = None,
        scram: Mapping[str, str] | None = None,
        *,
        port: int | None = None,
        kafka_home: Path | None = None,
        heap_mb: int = 512,
        progress: Progress | None = None,
    ) -> None:
        self._count = nodes
        self._data = checked_folder(data) if data else None
        self._tls = tls
        self._scram = dict(scram or {})
        self._port = port
        self._kafka_home = kafka_home
        self._heap_mb = heap_mb
        self._progress = progress
        self._folder = Path()
        self._nodes: dict[int, Node] = {}
        self._running: dict[int, _Process] = {}
        self._ports = _Ports()

    @property
    def bootstrap(self) -> str:
        return ",".join(node.client for node in self._nodes.values())

    @property
    def pids(self) -> dict[int, int]:
        """Of the nodes' Java processes; a node that was killed or terminated has none."""
        return {node: process.pid for node, process in self._running.items()}

    @property
    def folder(self) -> Path:
        """With the logs of Kafka and of its data, node by node."""
        return self._folder

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Returns when every node answers. What was started is gone again if that fails."""
        self._java = [
            str(java()),
            *_options(self._heap_mb),
            "-cp",
            class_path(self._kafka_home, progress=self._progress),
        ]
        self._folder = self._data or checked_folder(Path(tempfile.mkdtemp(prefix="bcl-kafka-")))
        try:
            cluster = _cluster_id(self._folder, self._count)
            _wait_until_free(self._folder)
            self._start_all(cluster)
        except OSError as error:
            self.stop()
            raise BrokerUnavailable(f"Kafka cannot keep its data in {self._folder}: {error}") from error
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        self._stop_all()
        self._ports.close()
        if self._data is None and self._folder != Path():
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = Path()

    def kill(self, node: int) -> None:
        """As a power cut: SIGKILL. Returns when the process is gone."""
        self._running.pop(node).end("kill")

    def terminate(self, node: int) -> None:
        """As an orderly restart: SIGTERM. Its partitions have other leaders when it is gone."""
        self._running.pop(node).end("terminate")

    def restart(self, node: int) -> None:
        """On the same ports: start a node that was killed or terminated, or terminate and start one that runs."""
        if node in self._running:
            self.terminate(node)
        self._launch(self._nodes[node])
        self._wait_for_answers()

    def raise_if_ended(self) -> None:
        """BrokerUnavailable if a node has ended that was neither killed nor terminated by us."""
        for number, process in self._running.items():
            if (code := process.code()) is not None:
                raise BrokerUnavailable(
                    f"Kafka's node {number} ended with code {code}. Its last words:\n{self._words_of(number)}"
                )

    def wait_until_in_sync(self) -> None:
        """Until every partition has all its copies: what an operator waits for before the next node is restarted."""
        until = time.monotonic() + ANSWERS_WITHIN_S
        with closing(self._admin(until)) as admin:
            self._wait(until, lambda: _are_in_sync(admin))

    def _start_all(self, cluster: str) -> None:
        self._nodes = {
            number: Node(
                id=number,
                folder=self._folder / f"node-{number}",
                client_port=self._ports.take(self._port + number - 1 if self._port else 0),
                broker_port=self._ports.take(),
                controller_port=self._ports.take(),
            )
            for number in range(1, self._count + 1)
        }
        _at_once(lambda node: self._prepare(node, cluster), self._nodes.values())
        self._ports.let_java_bind()
        for node in self._nodes.values():
            self._launch(node)
        self._wait_for_answers()

    def _prepare(self, node: Node, cluster: str) -> None:
        """Write the node's settings, and format its folder unless that was done at an earlier start."""
        (node.folder / "tmp").mkdir(parents=True, exist_ok=True)
        text = as_text(server_properties(node, list(self._nodes.values()), self._tls, bool(self._scram)))
        _settings(node).write_text(text, encoding="latin-1")
        if (node.folder / "log" / "meta.properties").exists():
            return
        tool = [*self._java, "kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(_settings(node))]
        done = subprocess.run(tool, capture_output=True, text=True, env=_environment(), check=False)
        if done.returncode != 0:
            raise BrokerUnavailable(f"Kafka cannot prepare {node.folder}:\n{_last_words(done.stdout + done.stderr)}")

    def _launch(self, node: Node) -> None:
        command = [*self._java[:1], f"-Djava.io.tmpdir={node.folder / 'tmp'}", *self._java[1:]]
        remove = str(node.folder) if self._data is None else ""
        self._running[node.id] = _Process([*command, "kafka.Kafka", str(_settings(node))], _log(node), remove)

    def _wait_for_answers(self) -> None:
        until = time.monotonic() + ANSWERS_WITHIN_S
        for node in map(self._nodes.__getitem__, self._running):
            for port in (node.client_port, node.broker_port):
                self._wait(until, partial(_accepts, port))
        with closing(self._admin(until)) as admin:
            self._wait(until, lambda: _brokers(admin) >= self._running.keys())
            if self._scram:
                _set_passwords(admin, self._scram)

    def _admin(self, until: float) -> Any:
        """Through the brokers' own listener. Its patience is short, so that a node that ends meanwhile is seen."""
        from kafka import KafkaAdminClient
        from kafka.errors import KafkaError

        brokers, connected = [self._nodes[number].broker for number in self._running], []

        def connects() -> bool:
            with suppress(KafkaError):
                connected.append(
                    KafkaAdminClient(bootstrap_servers=brokers, bootstrap_timeout_ms=2000, request_timeout_ms=3000)
                )
            return bool(connected)

        self._wait(until, connects)
        return connected[0]

    def _wait(self, until: float, is_there: Callable[[], bool]) -> None:
        while not is_there():
            self.raise_if_ended()
            if time.monotonic() > until:
                words = "\n".join(map(self._words_of, self._running))
                raise BrokerUnavailable(
                    f"Kafka does not answer after {ANSWERS_WITHIN_S:.0f} s. Its last words:\n{words}"
                )
            time.sleep(0.05)

    def _words_of(self, node: int) -> str:
        return _last_words(_log(self._nodes[node]).read_text(errors="replace"))

    def _stop_all(self) -> None:
        """Three that end at once wait 5 s for each other in vain, so where no data is kept they are killed."""
        running, self._running = self._running, {}
        order = "terminate" if self._data else "kill"
        _at_once(lambda process: process.end(order), running.values())


class _Ports:
    """Loopback ports that stay ours while a node is down: bound, never listening, so on Linux Java may bind them too.

    Elsewhere they are given back before Java starts.
    """

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []

    def take(self, port: int = 0) -> int:
        one = socket.socket()
        self._sockets.append(one)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind(("127.0.0.1", port))
        except OSError as error:
            raise BrokerUnavailable(f"port {port} is taken ({error}); name another, or none for a free one") from error
        return int(one.getsockname()[1])

    def let_java_bind(self) -> None:
        if sys.platform != "linux":
            self.close()

    def close(self) -> None:
        for one in self._sockets:
            one.close()


class _Process:
    """A watchdog and its Java. See streams/broker/watchdog.py for what they tell each other."""

    def __init__(self, command: Sequence[str], log: Path, remove: str) -> None:
        watchdog = [sys.executable, "-I", "-S", str(HERE / "watchdog.py"), str(os.getpid()), remove]
        with log.open("ab") as words:
            self._watchdog = subprocess.Popen(
                [*watchdog, *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=words,
                env=_environment(),
                start_new_session=True,  # Ctrl-C in a terminal is for the parent alone, which then stops Kafka cleanly
            )
        assert self._watchdog.stdout is not None
        line = self._watchdog.stdout.readline()
        if not line:
            self._close()
            raise BrokerUnavailable(f"Java cannot be started: {_last_words(log.read_text(errors='replace'))}")
        self.pid = int(line)

    def code(self) -> int | None:
        return self._watchdog.poll()

    def end(self, order: str) -> None:
        assert self._watchdog.stdin is not None
        with suppress(BrokenPipeError):
            self._watchdog.stdin.write(f"{order}\n".encode())
            self._watchdog.stdin.flush()
            with suppress(subprocess.TimeoutExpired):
                self._watchdog.wait(ENDS_WITHIN_S)
        self._close()

    def _close(self) -> None:
        """The end of the pipe makes the watchdog terminate Java, and kill it if that does not help."""
        for pipe in (self._watchdog.stdin, self._watchdog.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):
                pipe.close()
        self._watchdog.wait()


def _options(heap_mb: int) -> list[str]:
    return [
        f"-Xmx{heap_mb}m",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",  # up in half the time; a broker at rest beside a worker on the same cores
        "-XX:-UsePerfData",
        "-XX:+ExitOnOutOfMemoryError",
        f"-Dlog4j2.configurationFile={(HERE / 'log4j2.properties').as_uri()}",
    ]


def _environment() -> dict[str, str]:
    """Under the POSIX locale Java cannot open a file whose name is not ASCII."""
    return {**os.environ, **({"LC_ALL": "C.UTF-8"} if sys.platform == "linux" else {})}


def _settings(node: Node) -> Path:
    return node.folder / "server.properties"


def _log(node: Node) -> Path:
    return node.folder / "server.log"


def _cluster_id(folder: Path, nodes: int) -> str:
    """Of the cluster whose data this folder has; a new one if it is empty."""
    folder.mkdir(parents=True, exist_ok=True)
    facts = folder / "cluster.json"
    if facts.exists():
        found = json.loads(facts.read_text())
        if found["nodes"] != nodes:
            raise BrokerUnavailable(
                f"{folder} has the data of a cluster of {found['nodes']}; start it with --nodes {found['nodes']}, "
                f"or name an empty folder for {nodes}"
            )
        return str(found["cluster"])
    if any(folder.iterdir()):
        raise BrokerUnavailable(f"{folder} is neither empty nor the data of this broker; name another folder")
    # A leading zero byte gives a leading "A": an id that begins with "-" would be read as an option
    cluster = base64.urlsafe_b64encode(b"\0" + uuid.uuid4().bytes[1:]).decode().rstrip("=")
    facts.write_text(json.dumps({"cluster": cluster, "nodes": nodes}))
    return cluster


def _wait_until_free(folder: Path) -> None:
    """Tries Kafka's own lock: a second Kafka would see it only after it had spoilt files of the first."""
    until = time.monotonic() + FREE_WITHIN_S
    while locked := next((lock for lock in folder.glob("node-*/log/.lock") if _is_locked(lock)), None):
        if time.monotonic() > until:
            raise BrokerUnavailable(
                f"another Kafka uses {folder} (it locked {locked}); stop it, or name another folder"
            )
        time.sleep(0.1)


def _is_locked(lock: Path) -> bool:
    try:
        import fcntl
    except ImportError:  # Windows, where Kafka's own word must do
        return False
    with lock.open("r+b") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _brokers(admin: Any) -> set[int]:
    """The brokers that serve now."""
    from kafka.errors import KafkaError

    try:
        found = admin.describe_cluster()["brokers"]
    except KafkaError:
        return set()
    return {broker["broker_id"] for broker in found if not broker.get("is_fenced")}


def _are_in_sync(admin: Any) -> bool:
    from kafka.errors import KafkaError

    try:
        partitions = [partition for topic in admin.describe_topics() for partition in topic["partitions"]]
    except KafkaError:
        return False
    return all(set(one["isr_nodes"]) == set(one["replica_nodes"]) for one in partitions)


def _set_passwords(admin: Any, scram: Mapping[str, str]) -> None:
    """Through the brokers' own listener and not when formatting, where they would be seen among the processes."""
    from kafka.admin import ScramMechanism, UserScramCredentialUpsertion

    for mechanism in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512):  # one of a user in a request
        wanted = [UserScramCredentialUpsertion(user, mechanism, password) for user, password in scram.items()]
        answers = admin.alter_user_scram_credentials(wanted)
        if refused := {user: reason for user, reason in answers.items() if reason}:
            raise BrokerUnavailable(f"Kafka refuses users: {refused}")


def _at_once(do: Callable[[Thing], None], things: Iterable[Thing]) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(do, things))


def _last_words(log: str) -> str:
    """What Kafka said of errors, else its last lines; stack frames say nothing to a person."""
    lines = [line.rstrip() for line in log.splitlines() if line.strip() and not line.startswith(("\tat ", "\t..."))]
    told = [line for line in lines if " ERROR " in line or " FATAL " in line or "Exception" in line or "Error" in line]
    return "\n".join(f"  {line}" for line in (told or lines)[-6:]) or "  (nothing)"
