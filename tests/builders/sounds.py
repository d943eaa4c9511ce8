"""Sounds as bytes, and a host on loopback that serves them, well or badly."""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from wave import open as open_wave

import numpy as np

RATE = 16_000


def wav(seconds: float = 1.0, pitch: float = 440.0, *, rate: int = RATE, channels: int = 1) -> bytes:
    time_s = np.arange(round(seconds * rate)) / rate
    samples = np.round(np.sin(2 * np.pi * pitch * time_s) * 20_000).astype("<i2")
    out = BytesIO()
    with open_wave(out, "wb") as sound:
        sound.setnchannels(channels)
        sound.setsampwidth(2)
        sound.setframerate(rate)
        sound.writeframes(np.repeat(samples, channels).tobytes())
    return out.getvalue()


@dataclass
class Answer:
    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    after_s: float = 0.0  # before anything is said
    pause_s: float = 0.0  # between two pieces
    says_length: int | None = None  # another than the body's
    fails_first: int = 0  # so many attempts are answered with 503


@dataclass
class Host:
    port: int
    answers: dict[str, Answer]
    asked: list[str]

    @property
    def name(self) -> str:
        return f"127.0.0.1:{self.port}"

    def uri(self, path: str) -> str:
        return f"http://{self.name}{path}"


@contextmanager
def serving(answers: Mapping[str, Answer]) -> Iterator[Host]:
    host = Host(0, dict(answers), [])

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            host.asked.append(self.path)
            answer = host.answers.get(self.path, Answer(status=404))
            time.sleep(answer.after_s)
            status = 503 if host.asked.count(self.path) <= answer.fails_first else answer.status
            self.send_response(status)
            length = len(answer.body) if answer.says_length is None else answer.says_length
            for name, value in {"Content-Length": str(length), **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            try:
                for at in range(0, len(answer.body), 1_000 if answer.pause_s else 1 << 20):
                    self.wfile.write(answer.body[at : at + (1_000 if answer.pause_s else 1 << 20)])
                    time.sleep(answer.pause_s)
            except OSError:  # whoever asked has gone
                pass
            self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    host.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield host
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
