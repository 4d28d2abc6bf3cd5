"""The chat and the dev page in Chromium: the browser tests of demos/tests, on servers of their own and on each queue."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from serving import BINARY, ROOT, Server, free_port, wait_for

# The private Redis and RabbitMQ of the package's own tests.
_spec = importlib.util.spec_from_file_location("queue_servers", ROOT / "python/tests/servers.py")
assert _spec and _spec.loader
queue_servers: Any = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(queue_servers)

SCREENSHOTS = os.environ.get("JACKFIELD_SCREENSHOTS", "")


def browse(script: str, **environment: str) -> None:
    """Runs one browser test; what it said is the message of its failure."""
    done = subprocess.run(
        ["node", script],
        cwd=ROOT / "demos/tests",
        env={**os.environ, "SCREENSHOTS": SCREENSHOTS, **environment},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    print(done.stdout)
    assert done.returncode == 0, f"{script}:\n{done.stdout}\n{done.stderr}"


@pytest.fixture
def queue(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """The environment that names a queue which runs."""
    kind = request.param
    if kind == "embedded":
        yield {"JACKFIELD_BACKEND": "embedded"}
        return
    server = {"redis": queue_servers.Redis, "rabbitmq": queue_servers.RabbitMQ}[kind]()
    try:
        server.start()
        yield {"JACKFIELD_BACKEND": kind, "JACKFIELD_URL": getattr(server, "admin_url", server.url)}
    finally:
        server.remove()


@pytest.mark.parametrize("queue", ["embedded", "redis", "rabbitmq"], indirect=True)
def test_two_browsers_and_a_tcp_client_chat(queue: dict[str, str], tmp_path: Path) -> None:
    web, public, lines = free_port(), free_port(), free_port()
    config = tmp_path / "jackfield.toml"
    config.write_text((ROOT / "demos/jackfield.toml").read_text().replace("port = 8403", f"port = {lines}"))
    environment = {
        **os.environ,
        **queue,
        "JACKFIELD_CONFIG": str(config),
        "JACKFIELD_HTTP_SERVER_PORT": str(public),
        "JACKFIELD_HTTP_SERVER_INTERNAL_PORT": str(free_port()),
        "JACKFIELD_EMBEDDED_PORT": str(free_port()),
        "JACKFIELD_PUBLIC_URL": f"ws://127.0.0.1:{public}/connection/websocket",
        "DEMO_STATE": str(tmp_path / "state"),
    }
    for name in ("JACKFIELD_BIN", "JACKFIELD_NODE_MODULES", "JACKFIELD_SCREENSHOTS"):
        environment.pop(name, None)
    if queue["JACKFIELD_BACKEND"] == "embedded":
        environment["JACKFIELD_URL"] = f"redis://127.0.0.1:{environment['JACKFIELD_EMBEDDED_PORT']}/0"
    command = [sys.executable, "demos/run", "--jackfield", str(BINARY), "--port", str(web)]
    told = dict(environment)
    if queue["JACKFIELD_BACKEND"] != "embedded":  # the flag says as much as the two variables
        del told["JACKFIELD_BACKEND"]
        command += ["--queue", told.pop("JACKFIELD_URL")]
    log = tmp_path / "log"
    with log.open("wb") as out:
        demo = subprocess.Popen(
            command,
            cwd=ROOT,
            env=told,
            stdout=out,
            stderr=out,
        )

    def answers() -> bool:
        assert demo.poll() is None, f"demos/run ended:\n{log.read_text()}"
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{web}/server-info/", timeout=2) as page:
                return bool(page.status == 200)
        except OSError:
            return False

    try:
        wait_for(answers, "the demo's pages", 240)
        browse("chat.mjs", DEMO_PORT=str(web), LINES_PORT=str(lines), **queue_of(environment))
    except AssertionError:
        print(log.read_text()[-4000:])
        raise
    finally:
        demo.send_signal(signal.SIGINT)
        demo.wait(60)


def queue_of(environment: dict[str, str]) -> dict[str, str]:
    """What manage.py must know to speak of the same site."""
    names = ("JACKFIELD_BACKEND", "JACKFIELD_URL", "DEMO_STATE", "JACKFIELD_EMBEDDED_PORT")
    return {name: environment[name] for name in names if name in environment}


def test_the_dev_page_and_the_snippet() -> None:
    with Server(dev=True) as server:
        browse(
            "devpage.mjs",
            JACKFIELD_PORT=str(server.port),
            LINES_PORT=str(server.tcp_json),
            RAW_PORT=str(server.tcp_raw),
        )
