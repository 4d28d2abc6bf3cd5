"""One RabbitMQ for all tests of this folder, and a receiver of webhooks that has its moods."""

from __future__ import annotations

import http.server
import importlib.util
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

# The private Redis and RabbitMQ of the package's own tests.
_spec = importlib.util.spec_from_file_location("queue_servers", HERE.parents[1] / "python/tests/servers.py")
assert _spec and _spec.loader
queue_servers: Any = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(queue_servers)


@pytest.fixture(scope="session")
def rabbitmq() -> Iterator[Any]:
    if not queue_servers.rabbitmq_script():
        pytest.skip("rabbitmq-server is not installed")
    server = queue_servers.RabbitMQ()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Any]:
    server = queue_servers.Redis()
    try:
        server.start()
        yield server
    finally:
        server.remove()


class Receiver:
    """Takes webhooks; `answer` says the status for a request. It may be stopped and started at the same port."""

    def __init__(self, port: int, answer: Callable[[int], int] = lambda nth: 200):
        self.port, self.answer = port, answer
        self.requests: list[tuple[dict[str, str], bytes, int]] = []
        self.lock = threading.Lock()
        self.server: http.server.ThreadingHTTPServer | None = None

    def start(self) -> Receiver:
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with receiver.lock:
                    status = receiver.answer(len(receiver.requests))
                    receiver.requests.append((dict(self.headers.items()), body, status))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def stop(self) -> None:
        if self.server:
            self.server.shutdown()
            self.server.server_close()
            self.server = None

    def taken(self) -> list[tuple[dict[str, str], bytes]]:
        """What it has said yes to."""
        with self.lock:
            return [(headers, body) for headers, body, status in self.requests if status < 300]


@pytest.fixture
def receivers() -> Iterator[Callable[..., Receiver]]:
    made: list[Receiver] = []

    def make(port: int, **options: Any) -> Receiver:
        made.append(Receiver(port, **options))
        return made[-1]

    yield make
    for receiver in made:
        receiver.stop()


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Prints a line that is seen whatever pytest captures."""

    def print_line(text: str) -> None:
        with capsys.disabled():
            print(f"\n    {text}", flush=True)

    return print_line
