"""The process around the worker: structured logs, signals, a drain with a limit, the exit code."""

import asyncio
import gc
import json
import logging
import os
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime

import faust

from streams.agents.app import create_app
from streams.agents.bare_records import hand_over_bare_records
from streams.agents.light_compression import compress_lightly
from streams.settings import Settings

log = logging.getLogger("bcl.worker")


class JsonLines(logging.Formatter):
    """One object a line: machines read it, and people do too."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


class _Process(faust.Worker):
    """Faust installs the signal handlers; a drain that does not end is ended."""

    def __init__(self, app: faust.App, settings: Settings, level: int) -> None:
        super().__init__(app, loglevel=level, quiet=True, redirect_stdouts=False, override_logging=False)
        self._drain_within_s = settings.worker.drain_within_s

    async def on_stop(self) -> None:
        self._give_up_later()
        await super().on_stop()

    def _on_sigterm(self) -> None:
        self._give_up_later()
        super()._on_sigterm()

    def _on_sigint(self) -> None:
        self._give_up_later()
        super()._on_sigint()

    def _give_up_later(self) -> None:
        """State is whole after every commit: what a slow stop leaves undone is delivered again."""

        def give_up() -> None:
            log.critical("worker ends: not drained within %.0f s", self._drain_within_s)
            os._exit(1)

        if not hasattr(self, "_timer"):
            self._timer = threading.Timer(self._drain_within_s, give_up)
            self._timer.daemon = True
            self._timer.start()


def run_worker(
    settings: Settings, create: Callable[[Settings], faust.App] = create_app, *, level: int = logging.INFO
) -> int:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for noisy in ("aiokafka", "kafka", "faust", "mode"):
        logging.getLogger(noisy).setLevel(max(level, logging.WARNING))
    hand_over_bare_records()
    compress_lightly()
    # Records live for one batch and hold no cycles: looking through them for some, every 700, costs a fifth of a play.
    gc.set_threshold(100_000, 50, 100)
    gc.freeze()
    asyncio.set_event_loop(asyncio.new_event_loop())
    process = _Process(create(settings), settings, level)
    try:
        process.execute_from_commandline()
    except SystemExit as end:
        return int(end.code or 0)
    return 0
