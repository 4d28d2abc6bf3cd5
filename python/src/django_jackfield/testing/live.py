"""A real server for a test: the binary on loopback ports of its own, and a worker in a thread."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import random
import secrets
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.db import connections
from django.test import override_settings

from django_jackfield.aliases import brokers
from django_jackfield.conf import EMBEDDED, raw_aliases
from django_jackfield.errors import JackfieldError
from django_jackfield.registry import Registry, discover
from django_jackfield.testing.live_client import LiveClient
from django_jackfield.testing.live_config import (
    asked_by_cookie,
    connect_path,
    merged,
    server_document,
)
from django_jackfield.tokens import token
from django_jackfield.worker.worker import Worker

START_SECONDS = 30.0


class NoBinary(JackfieldError):
    """There is no server to start."""


def binary() -> str | None:
    """The server: JACKFIELD_BIN, the package `jackfield`, or what is on the PATH."""
    named = os.environ.get("JACKFIELD_BIN")
    if named:
        return named if os.access(named, os.X_OK) else None
    with contextlib.suppress(ImportError, AttributeError, FileNotFoundError):
        return str(importlib.import_module("jackfield").find_bin())
    return shutil.which("jackfield")


class LiveServer:
    """Starts on entry, ends on exit; meanwhile the JACKFIELD setting points to it.

    Every alias is switched to the queue inside the server. The worker reads `default` and runs
    the handlers in threads of this process, with database connections of their own: what they are
    to see must have been committed (TransactionTestCase, `transactional_db`).

    With AUTH "session" or "both" the server asks the Django at `site`, the URL of a live server of
    the test, about cookies.
    """

    def __init__(
        self,
        *,
        config: Mapping[str, Any] | None = None,
        threads: int = 2,
        registry: Registry | None = None,
        site: str = "",
    ) -> None:
        self.config = config or {}
        self.threads = threads
        self.site = site
        self.registry = registry or discover()
        self.clients: list[LiveClient] = []
        self.url = ""
        self._key = secrets.token_urlsafe(32)
        self._ending = contextlib.ExitStack()

    def __enter__(self) -> LiveServer:
        path = binary()
        if path is None:
            raise NoBinary(
                "there is no jackfield binary: install the package `jackfield`, or name one by "
                "JACKFIELD_BIN"
            )
        try:
            self._start(path)
            self._ending.enter_context(override_settings(JACKFIELD=self._setting()))
            self._ending.callback(brokers.close_all)
            self._work()
        except BaseException:
            self._ending.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.close()

    def token(self, user: Any, **more: Any) -> str:
        """A token with which a client of this server connects as a user."""
        return token(user, **more)

    def connect(self, user: Any = None, *, data: Any = None, token: str = "") -> LiveClient:
        """A client of a user, or one without a token."""
        if user is not None and not token:
            token = self.token(user)
        client = LiveClient(self.url, token, data)
        self.clients.append(client)
        return client

    def logged(self) -> str:
        """What the server has written to its log."""
        return self._log.read_text(errors="replace")

    def _start(self, path: str) -> None:
        self._ports = {name: _free_port() for name in ("public", "internal", "embedded")}
        self.url = f"ws://127.0.0.1:{self._ports['public']}/connection/websocket"
        folder = Path(self._ending.enter_context(tempfile.TemporaryDirectory(prefix="jackfield-")))
        self._log = folder / "log"
        document = merged(
            server_document(self.registry, self._ports, self._key),
            asked_by_cookie(self._setting()["default"]),
        )
        (folder / "jackfield.json").write_text(json.dumps(merged(document, self.config)))
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("JACKFIELD_")
        }
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 (the binary that the project named)
                [path, "serve", "-c", str(folder / "jackfield.json"), "--workers", "1"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                cwd=folder,
            )
        self._ending.callback(self._stop)
        end = time.monotonic() + START_SECONDS
        while not self._healthy():
            if self._process.poll() is not None or time.monotonic() > end:
                raise JackfieldError(f"the server did not start:\n{self.logged()[-3000:]}")
            time.sleep(0.02)

    def _healthy(self) -> bool:
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", self._ports["public"]), 1) as probe,
        ):
            probe.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            return probe.recv(64).startswith(b"HTTP/1.1 200")
        return False

    def _stop(self) -> None:
        for client in self.clients:
            client.disconnect()
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _setting(self) -> dict[str, Any]:
        options = {"host": "127.0.0.1", "port": self._ports["embedded"]}
        given = {
            "BACKEND": EMBEDDED,
            "OPTIONS": options,
            "KEYS": [self._key],
            "PUBLIC_URL": self.url,
            "PREFIX": "jackfield",
            "PARTITIONS": 8,
            # Why: a busy test machine is slower than a server in earnest.
            "TIMEOUT": 10.0,
            "CONNECT_URL": f"{self.site}{connect_path()}" if self.site else None,
        }
        return {alias: dict(raw) | given for alias, raw in raw_aliases().items()}

    def _work(self) -> None:
        worker = Worker(brokers["default"], self.registry, threads=self.threads, grace_seconds=5)

        def run() -> None:
            try:
                worker.run()
            finally:
                connections.close_all()

        thread = threading.Thread(target=run, name="jackfield-worker", daemon=True)
        thread.start()

        def end() -> None:
            for client in self.clients:
                client.disconnect()
            worker.stop()
            thread.join(START_SECONDS)

        self._ending.callback(end)


def _free_port() -> int:
    """A port that nobody has, below those that outgoing connections get."""
    while True:
        port = random.randrange(10_000, 30_000)  # noqa: S311 (a port is no secret)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
