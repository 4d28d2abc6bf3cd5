"""The TLS tests speak the dialects of the protocol tests, under an authority of their own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "protocol"))
sys.path.insert(0, str(Path(__file__).parent))

import pytest  # noqa: E402
from authority import Authority  # noqa: E402
from secure import SecureNeighbours, SecureServer, base, context  # noqa: E402


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"), "Test Authority")


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority that nobody trusts."""
    return Authority(tmp_path_factory.mktemp("stranger"), "Nobody's Authority")


@pytest.fixture(scope="module")
def server(authority: Authority) -> Iterator[SecureServer]:
    """A server with TLS on the public port."""
    with SecureServer(base(authority.issue("localhost"))) as server:
        yield server


@pytest.fixture
def neighbours(server: SecureServer, authority: Authority) -> Iterator[SecureNeighbours]:
    """Well-behaved clients over TLS, checked after the test."""
    neighbours = SecureNeighbours(server, context(authority))
    yield neighbours
    neighbours.check()
