"""A worker's own web server: what Prometheus, the orchestrator and `bcl status` ask.

/metrics  Prometheus text
/live     200 while every partition moves, 503: start the worker again
/ready    200 once restored and caught up, 503: do not stop the next worker yet
/status   JSON
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from aiohttp import web

from streams.metrics import CONTENT_TYPE, Metrics


class HealthServer:
    def __init__(
        self,
        port: int = 0,  # 0: any free one, then told by `port`
        *,
        metrics: Metrics,
        is_live: Callable[[], bool],
        is_ready: Callable[[], bool],
        status: Callable[[], Mapping[str, Any]],
        host: str = "0.0.0.0",  # an orchestrator probes from outside the container
    ) -> None:
        self.port = port
        self._host = host
        self._metrics, self._is_live, self._is_ready, self._status = metrics, is_live, is_ready, status
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/metrics", self._answer_metrics)
        app.router.add_get("/live", self._answer_live)
        app.router.add_get("/ready", self._answer_ready)
        app.router.add_get("/status", self._answer_status)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self.port).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _answer_metrics(self, request: web.Request) -> web.Response:
        return web.Response(body=self._metrics.exposition(), headers={"Content-Type": CONTENT_TYPE})

    async def _answer_live(self, request: web.Request) -> web.Response:
        return _yes() if self._is_live() else _no("not live: a partition does not move")

    async def _answer_ready(self, request: web.Request) -> web.Response:
        return _yes() if self._is_ready() else _no("not ready: still restoring or catching up")

    async def _answer_status(self, request: web.Request) -> web.Response:
        return web.Response(body=msgspec.json.encode(self._status()), content_type="application/json")


def _yes() -> web.Response:
    return web.Response(text="ok")


def _no(why: str) -> web.Response:
    return web.Response(text=f"{why}; GET /status says which", status=503)
