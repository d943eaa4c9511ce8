"""A worker answers its orchestrator over HTTP."""

import json

import aiohttp
import pytest

from streams.metrics import Metrics
from streams.web.health import HealthServer


class Worker:
    """What a worker says of itself."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.is_live, self.is_ready = True, False

    def server(self, port: int = 0) -> HealthServer:
        return HealthServer(
            port,
            metrics=self.metrics,
            is_live=lambda: self.is_live,
            is_ready=lambda: self.is_ready,
            status=lambda: {"songs": 5, "lag": {"plays": {3: 0}}},
            host="127.0.0.1",
        )


@pytest.fixture
async def worker():
    worker = Worker()
    server = worker.server()
    await server.start()
    worker.port = server.port
    yield worker
    await server.stop()


async def get(worker, path):
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{worker.port}{path}") as answer:
        return answer.status, answer.headers["Content-Type"], await answer.text()


async def test_a_free_port_is_found_and_told(worker):
    assert worker.port > 0


async def test_probes_say_yes_or_no(worker):
    assert (await get(worker, "/live"))[::2] == (200, "ok")
    assert (await get(worker, "/ready"))[0] == 503
    worker.is_live, worker.is_ready = False, True
    assert (await get(worker, "/live"))[0] == 503
    assert (await get(worker, "/ready"))[::2] == (200, "ok")


async def test_metrics_are_in_the_format_that_prometheus_reads(worker):
    worker.metrics.consumed("plays", 7)
    status, kind, text = await get(worker, "/metrics")
    assert status == 200 and kind.startswith("text/plain; version=0.0.4")
    assert 'bcl_consumed_records_total{topic="plays"} 7.0' in text


async def test_status_is_json(worker):
    status, kind, text = await get(worker, "/status")
    assert (status, kind) == (200, "application/json")
    assert json.loads(text) == {"songs": 5, "lag": {"plays": {"3": 0}}}


async def test_a_stopped_server_frees_its_port_and_stops_twice_without_harm():
    server = Worker().server()
    await server.start()
    again = Worker().server(server.port)
    with pytest.raises(OSError, match="in use"):
        await again.start()
    await again.stop()
    await server.stop()
    await server.stop()
    await again.start()
    await again.stop()
