"""Where a benchmark runs: the machine by name, and which of its cores each process may use."""

import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Cores:
    """The subject has its own; the broker and whoever measures have the rest. Empty: nothing is pinned."""

    subject: frozenset[int]
    others: frozenset[int]


def cores(of_subject: int = 1) -> Cores:
    available = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if len(available) <= of_subject:
        return Cores(frozenset(), frozenset())
    return Cores(frozenset(available[-of_subject:]), frozenset(available[:-of_subject]))


def pin(pid: int, to: frozenset[int]) -> None:
    """Threads and children that the process starts from now on stay there too."""
    if to:
        os.sched_setaffinity(pid, to)


def description() -> str:
    found = re.search(r"^model name\s*:\s*(.+)$", _text("/proc/cpuinfo"), re.MULTILINE)
    memory = re.search(r"^MemTotal:\s*(\d+) kB$", _text("/proc/meminfo"), re.MULTILINE)
    size = f", {int(memory[1]) / 2**20:.0f} GiB" if memory else ""
    cpu = found[1] if found else platform.processor() or platform.machine()
    return f"{cpu}, {os.cpu_count()} cores{size}, Python {platform.python_version()}"


def _text(file: str) -> str:
    try:
        return Path(file).read_text()
    except OSError:
        return ""
