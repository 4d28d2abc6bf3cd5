"""Fixtures: an authority, a browser that trusts it, a Redis, and a copy of the site with its venv."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "tls"), str(HERE)]

from authority import Authority  # noqa: E402
from browser import Browser, trusting  # noqa: E402

_spec = importlib.util.spec_from_file_location("queue_servers", ROOT / "python/tests/servers.py")
assert _spec and _spec.loader
queue_servers: Any = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(queue_servers)

PYTHON = os.environ.get("JACKFIELD_SITE_PYTHON", "/usr/bin/python3")


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"), "Test Authority")


@pytest.fixture(scope="session")
def browser(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if not shutil.which("certutil") or not shutil.which("node"):
        pytest.skip("there is no certutil (libnss3-tools) or no node")
    if not os.path.exists(os.environ.get("JACKFIELD_CHROMIUM", "/usr/bin/chromium")):
        pytest.skip("there is no Chromium")
    with Browser(trusting(authority, tmp_path_factory.mktemp("home"))) as browser:
        yield browser


@pytest.fixture(scope="session")
def redis() -> Iterator[Any]:
    if not shutil.which("redis-server"):
        pytest.skip("redis-server is not installed")
    server = queue_servers.Redis()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that the user of Apache may read, unlike those of pytest."""
    folder = Path(tempfile.mkdtemp(prefix="jackfield-site-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as a site installs it: a wheel, hence files that Apache's user may read."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder), str(ROOT / "python")],
        check=True,
        timeout=240,
    )
    return next(folder.glob("django_jackfield-*.whl"))
