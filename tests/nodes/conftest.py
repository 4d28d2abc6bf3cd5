"""A broker for the whole file, and nodes behind it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cluster import node, together
from serving import Server

from servers import Redis


@pytest.fixture(scope="module")
def broker() -> Iterator[str]:
    server = Redis()
    server.start()
    try:
        yield server.admin_url
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
