"""The pytest plugin: locmem for every test, and fixtures for clients and a live server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

REAL = "jackfield_real: the test talks to the queue that the JACKFIELD setting names"
CONFIG = "jackfield_config(document): more of the configuration of jackfield_live"


def pytest_addoption(parser: pytest.Parser) -> None:
    """The way out of locmem for a whole project."""
    parser.addini(
        "jackfield_locmem",
        "Switch every alias of the JACKFIELD setting to the locmem backend (default: true).",
        type="bool",
        default=True,
    )


def pytest_configure(config: pytest.Config) -> None:
    """The way out of locmem for one test."""
    config.addinivalue_line("markers", REAL)
    config.addinivalue_line("markers", CONFIG)


@pytest.fixture(autouse=True)
def _jackfield_locmem(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every alias is switched to locmem, as Django does with mail; each test begins anew.

    Not so with `jackfield_locmem = false` in the configuration of pytest, nor in a test that is
    marked `@pytest.mark.jackfield_real`.
    """
    if not _wanted(request):
        yield
        return
    from django.test import override_settings

    from django_jackfield.test import locmem_aliases, outbox
    from django_jackfield.testing.server import server

    with override_settings(JACKFIELD=locmem_aliases()):
        server.reset()
        outbox.clear()
        yield
        server.reset()
        outbox.clear()


@pytest.fixture
def jackfield_outbox(settings: Any) -> Iterator[list[Any]]:
    """The list of commands sent in a test; every alias of JACKFIELD is switched to locmem.

    With the `db` fixture nothing commits: use `django_capture_on_commit_callbacks(execute=True)`.
    `settings` is the fixture of pytest-django, so that both are undone in the right order.
    """
    from django_jackfield.test import locmem_aliases, outbox
    from django_jackfield.testing.server import server

    settings.JACKFIELD = locmem_aliases()
    server.reset()
    outbox.clear()
    yield outbox
    server.reset()
    outbox.clear()


@pytest.fixture
def jackfield_client(jackfield_outbox: list[Any]) -> Callable[..., Any]:
    """Makes fake browsers: `jackfield_client(user)`, with what JackfieldClient takes beside."""
    from django_jackfield.test import JackfieldClient

    def make(user: Any = None, *, connect: bool = True, **more: Any) -> JackfieldClient:
        client = JackfieldClient(user, **more)
        return client.connect() if connect else client

    return make


@pytest.fixture
def jackfield_live(request: pytest.FixtureRequest, transactional_db: None) -> Iterator[Any]:
    """A real server on loopback with a worker: `.url`, `.token(user)`, `.connect(user)`.

    The database is that of `transactional_db`, because worker and page are not in the transaction
    of the test. Where `live_server` is used too, the server asks it about cookies, if AUTH says
    so. Skipped where there is no binary. `@pytest.mark.jackfield_config({...})` adds to
    the server's configuration.
    """
    from django_jackfield.testing.live import LiveServer, binary

    if binary() is None:
        pytest.skip("no jackfield binary: install `jackfield`, or name one by JACKFIELD_BIN")
    marker = request.node.get_closest_marker("jackfield_config")
    has_site = "live_server" in request.fixturenames
    site = request.getfixturevalue("live_server").url if has_site else ""
    with LiveServer(config=marker.args[0] if marker else None, site=site) as live:
        yield live


def _wanted(request: pytest.FixtureRequest) -> bool:
    """Whether this is a test of a Django project that has this app and did not opt out."""
    if not request.config.getini("jackfield_locmem"):
        return False
    if request.node.get_closest_marker("jackfield_real"):
        return False
    try:
        from django.apps import apps
        from django.conf import settings
    except ImportError:
        return False
    configured: bool = settings.configured
    return configured and apps.ready and apps.is_installed("django_jackfield")
