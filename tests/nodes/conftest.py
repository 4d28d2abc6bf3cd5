"""A broker for the whole file, and nodes behind it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cluster import node, together
from serving import Server

from servers import RabbitMQ, Redis


@pytest.fixture(scope="module", params=[Redis, RabbitMQ], ids=["redis", "rabbitmq"])
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
