"""Kafka's jars: which ones (kafka.lock), where they are kept, and that each is the one that was locked."""

import hashlib
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from streams.errors import BrokerUnavailable

LOCK = Path(__file__).with_name("kafka.lock")

# Resolved one by one: in one go, the version management of log4j's own POM replaces kafka-clients 4.3.1 by 3.9.1
ENDPOINTS = ("org.apache.kafka:kafka_2.13:4.3.1", "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4")

WAYS_OUT = """Three ways out:
  - a folder with a Kafka 4 distribution: --kafka-home FOLDER, or BCL_KAFKA_HOME=FOLDER
  - a mirror that can be reached, in jgo's own settings (~/.config/jgo.conf): a line `name = URL` under [repositories]
  - a Kafka that runs already: --brokers HOST:PORT"""

Progress = Callable[[int, int], None]  # jars that are there, jars in all


@dataclass(frozen=True, slots=True)
class Jar:
    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def name(self) -> str:
        return f"{self.artifact}-{self.version}.jar"

    @property
    def coordinate(self) -> str:
        return f"{self.group}:{self.artifact}:{self.version}"

    @property
    def path(self) -> Path:
        """Relative to a Maven repository."""
        return Path(*self.group.split("."), self.artifact, self.version, self.name)


def cache_folder() -> Path:
    """BCL_CACHE, or `bcl` in the user's cache folder."""
    if named := os.environ.get("BCL_CACHE"):
        return Path(named).expanduser().absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "bcl"


def class_path(kafka_home: Path | None = None, cache: Path | None = None, progress: Progress | None = None) -> str:
    """The jars of a distribution if one is given or BCL_KAFKA_HOME names one; else the locked, fetched if missing."""
    if kafka_home is None and (named := os.environ.get("BCL_KAFKA_HOME")):
        kafka_home = Path(named)
    paths = jars_of_distribution(kafka_home) if kafka_home else locked_jars(cache or cache_folder(), progress=progress)
    if split := next((path for path in paths if os.pathsep in str(path)), None):
        raise BrokerUnavailable(
            f"Java splits its class path at {os.pathsep!r}, so {split.parent} cannot hold jars; "
            "name another folder with BCL_CACHE, or move the Kafka distribution"
        )
    return os.pathsep.join(map(str, paths))


def jars_of_distribution(home: Path) -> list[Path]:
    libraries = home.expanduser().absolute() / "libs"
    server = next(iter(sorted(libraries.glob("kafka_2.1?-*.jar"))), None)
    version = re.search(r"-(\d+)\.[\d.]+\.jar$", server.name) if server else None
    if version is None:
        raise BrokerUnavailable(f"{home} is no Kafka distribution: there is no libs/kafka_2.13-VERSION.jar in it")
    if int(version[1]) < 4:
        raise BrokerUnavailable(f"{home} holds {server and server.stem}; wanted is Kafka 4 or newer")
    return sorted(libraries.glob("*.jar"))


def read_lock(lock: Path = LOCK) -> list[Jar]:
    lines = [line.split() for line in lock.read_text().splitlines() if line and not line.startswith("#")]
    return [Jar(*_parts(coordinate), sha256) for sha256, coordinate in lines]


def _parts(coordinate: str) -> tuple[str, str, str]:
    group, artifact, version = coordinate.split(":")
    return group, artifact, version


def locked_jars(cache: Path, lock: Path = LOCK, progress: Progress | None = None) -> list[Path]:
    """Every jar of the lock, verified. What the cache lacks comes from the local Maven repository or a remote one."""
    jars, folder = read_lock(lock), cache / "jars"
    kept = {jar: folder / jar.name for jar in jars}
    missing = [jar for jar in jars if not kept[jar].exists()]
    if missing:
        folder.mkdir(parents=True, exist_ok=True)
        for number, _ in enumerate(_fetched(missing, folder), start=len(jars) - len(missing) + 1):
            if progress:
                progress(number, len(jars))
    for jar, path in kept.items():
        verify(jar, path)
    return list(kept.values())


def verify(jar: Jar, path: Path) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != jar.sha256:
        raise BrokerUnavailable(
            f"{path} is not the jar that was locked: found sha256 {found}, wanted {jar.sha256} for {jar.coordinate}. "
            "Nothing was started. Find out who changed it; then remove the file, and the next start fetches it again"
        )


def _fetched(missing: list[Jar], folder: Path) -> Iterator[Path]:
    """Each jar is written aside, verified and renamed: a start that is killed leaves nothing half-written behind."""
    with tempfile.TemporaryDirectory(dir=folder, prefix="fetching-") as aside, ThreadPoolExecutor(6) as pool:
        try:
            yield from pool.map(lambda jar: _fetch(jar, folder, Path(aside)), missing)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _fetch(jar: Jar, folder: Path, aside: Path) -> Path:
    from jgo.config import GlobalSettings
    from jgo.constants import MAVEN_CENTRAL_URL

    settings, reasons = GlobalSettings.load(), []
    at_hand = Path(settings.repo_cache) / jar.path
    if at_hand.exists() and hashlib.sha256(at_hand.read_bytes()).hexdigest() == jar.sha256:
        fetched = aside / jar.name
        fetched.write_bytes(at_hand.read_bytes())
        return fetched.replace(folder / jar.name)
    mirrors = dict(settings.repositories)
    mirrors.setdefault("central", MAVEN_CENTRAL_URL)  # last
    for name, url in mirrors.items():
        try:
            fetched = _resolved(jar, aside / name, {name: url})
        except (OSError, RuntimeError) as error:  # requests' errors are OSErrors; jgo says RuntimeError for "not there"
            reasons.append(f"{name}: {error}")
        else:
            verify(jar, fetched)
            return fetched.replace(folder / jar.name)
    if "CERTIFICATE_VERIFY_FAILED" in (told := "; ".join(reasons)):
        told += "; REQUESTS_CA_BUNDLE names a file of authorities, if your network has its own"
    raise BrokerUnavailable(f"{jar.coordinate} is neither in {folder} nor can it be fetched ({told}).\n{WAYS_OUT}")


def _resolved(jar: Jar, repository: Path, remotes: dict[str, str]) -> Path:
    from jgo.maven import MavenContext

    context = MavenContext(repo_cache=repository, remote_repos=remotes)
    return Path(context.project(jar.group, jar.artifact).at_version(jar.version).artifact().resolve())


def _resolve_endpoints() -> Iterator[Jar]:
    """What ENDPOINTS need, anew from the POMs. Only for a new lock."""
    from jgo.env import EnvironmentBuilder, LinkStrategy
    from jgo.maven import MavenContext

    with tempfile.TemporaryDirectory() as folder:
        repository = Path(folder).resolve() / "repository"
        for endpoint in ENDPOINTS:
            builder = EnvironmentBuilder(
                context=MavenContext(repo_cache=repository), cache_dir=Path(folder), link_strategy=LinkStrategy.SOFT
            )
            for path in builder.from_endpoint(endpoint).all_jars:
                real = Path(path).resolve()
                *group, artifact, version, _ = real.relative_to(repository).parts
                yield Jar(".".join(group), artifact, version, hashlib.sha256(real.read_bytes()).hexdigest())


@contextmanager
def progress_on_terminal() -> Iterator[Progress]:
    """A bar on standard error if that is a terminal: the first fetch takes about 20 s."""
    from rich.console import Console
    from rich.progress import Progress as Bar

    with Bar(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("fetching Kafka (once)", total=None, visible=False)
        yield lambda there, of: bar.update(task, completed=there, total=of, visible=True)


if __name__ == "__main__":  # python -m streams.broker.jars > streams/broker/kafka.lock
    print("# sha256 and Maven coordinate of every jar of Apache Kafka's class path, in its order.")
    print(f"# Made by `python -m streams.broker.jars` from {' and '.join(ENDPOINTS)}.")
    for locked in dict.fromkeys(_resolve_endpoints()):
        print(f"{locked.sha256} {locked.coordinate}")
