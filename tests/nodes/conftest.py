"""A broker for the whole file, and nodes behind it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from cluster import node, together
from engines import Nats
from serving import Server

from servers import RabbitMQ, Redis


@pytest.fixture(scope="module", params=[Redis, RabbitMQ, Nats], ids=["redis", "rabbitmq", "nats"])
def broker(request: pytest.FixtureRequest) -> Iterator[str]:
    server = request.param()
    try:
        server.start()
        yield server.admin_url if request.param is Redis else server.url
    finally:
        server.remove()


@pytest.fixture(scope="module")
def nodes(broker: str) -> Iterator[list[Server]]:
    servers = [node(broker, name=f"n{number}") for number in range(3)]
    try:
        for server in servers:
            server.start()
        together(servers)
        yield servers
    finally:
        for server in servers:
            server.__exit__()


@pytest.fixture(scope="session")
def stories(request: pytest.FixtureRequest) -> Iterator[dict[str, Future[Any]]]:
    """What several tests look at, and what takes its time by waiting (a lease runs out after 15 s): all of it happens at once,
    begun by the first test that wants to know. A module names its own in STORIES. Two at a time: each has a broker, three nodes and
    dozens of clients, and what one of them is late with because of the others says nothing of any fault."""
    modules = {item.module for item in request.session.items if "stories" in item.fixturenames}
    plays = {name: play for module in modules for name, play in module.STORIES.items()}
    with ThreadPoolExecutor(2) as pool:
        yield {name: pool.submit(play) for name, play in plays.items()}
