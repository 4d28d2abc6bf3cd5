"""One server per module and number of workers, and the neighbours that every test leaves unharmed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from serving import Server
from speakers import BASE, Neighbours


@pytest.fixture(scope="module", params=[1, 2], ids=["1-worker", "2-workers"])
def workers(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest, workers: int) -> Iterator[Server]:
    """A server with the shared configuration; a module may set `CONFIG` and `SETS` for one of its own."""
    config, sets = getattr(request.module, "CONFIG", BASE), getattr(request.module, "SETS", ())
    with Server(config, workers=workers, sets=sets) as server:
        yield server


@pytest.fixture
def neighbours(server: Server) -> Iterator[Neighbours]:
    """Well-behaved clients, checked after the test."""
    neighbours = Neighbours(server)
    yield neighbours
    neighbours.check()
