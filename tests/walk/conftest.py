"""Fixtures: the three queues, and a stage on each."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

from stage import Stage  # noqa: E402

# The private Redis and RabbitMQ of the package's own tests.
_spec = importlib.util.spec_from_file_location("queue_servers", HERE.parents[1] / "python/tests/servers.py")
assert _spec and _spec.loader
queue_servers: Any = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(queue_servers)


class Pool:
    """One Redis and one RabbitMQ for all tests, started when first asked for, and others for tests that need their own."""

    def __init__(self) -> None:
        self.shared: dict[str, Any] = {}
        self.made: list[Any] = []

    def new(self, kind: str) -> Any:
        """A server that is not started; None for the embedded queue."""
        if kind == "embedded":
            return None
        if kind == "redis" and not shutil.which("redis-server"):
            pytest.skip("redis-server is not installed")
        if kind == "rabbitmq" and not queue_servers.rabbitmq_script():
            pytest.skip("rabbitmq-server is not installed")
        server = {"redis": queue_servers.Redis, "rabbitmq": queue_servers.RabbitMQ}[kind]()
        self.made.append(server)
        return server

    def get(self, kind: str) -> Any:
        """A server that runs."""
        if kind not in self.shared:
            self.shared[kind] = self.new(kind)
            if self.shared[kind]:
                self.shared[kind].start()
        server = self.shared[kind]
        if server and server.process.poll() is not None:
            # A test that failed half-way left it so, or it died; the next test is not to suffer.
            print(f"{kind} was down; its last words:", (server.folder / "out.log").read_text(errors="replace")[-2000:])
            server.start()
        return server


def pytest_configure(config: pytest.Config) -> None:
    """The mark is known also where pytest-xdist is not installed."""
    config.addinivalue_line("markers", "xdist_group(name): tests that one process of `-n` runs")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What `-n ... --dist loadgroup` keeps together: the tests of a file on one queue, which may share a stage."""
    for item in items:
        values = getattr(item, "callspec", None)
        queue = next(iter(values.params.values())) if values else "all"
        item.add_marker(pytest.mark.xdist_group(f"{item.path.stem}-{queue}"))


@pytest.fixture(scope="session")
def pool() -> Iterator[Pool]:
    pool = Pool()
    yield pool
    for server in pool.made:
        server.remove()


@pytest.fixture(scope="module", params=["embedded", "redis", "rabbitmq"])
def life(request: pytest.FixtureRequest, pool: Pool) -> Iterator[Stage]:
    """A server, a worker and gunicorn that live as long as the module's tests on this queue."""
    connect = "[client.proxy.connect]\nenabled = true\ntimeout = \"10s\""
    with Stage(request.param, pool.get(request.param), connect) as stage:
        stage.worker()
        stage.gunicorn()
        yield stage


@pytest.fixture
def make_stage(pool: Pool) -> Iterator[Callable[[str], Stage]]:
    """A stage of the test's own, without a worker."""
    stages: list[Stage] = []

    def make(kind: str) -> Stage:
        stages.append(Stage(kind, pool.get(kind)))
        return stages[-1].__enter__()

    yield make
    for stage in stages:
        stage.__exit__()


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Prints a line that is seen whatever pytest captures."""

    def print_line(text: str) -> None:
        with capsys.disabled():
            print(f"\n    {text}", flush=True)

    return print_line
