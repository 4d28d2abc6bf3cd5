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
        # What a page shows is waited for, and many pages share a small machine.
        env={**os.environ, "SCREENSHOTS": SCREENSHOTS, "PATIENCE_MS": "60000", **environment},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    print(done.stdout)
    assert done.returncode == 0, f"{script}:\n{done.stdout}\n{done.stderr}"


@pytest.fixture(scope="module")
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


@pytest.fixture(scope="module")
def demo(queue: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """`demos/run` on a queue and ports of its own; what the browser tests must know of it."""
    folder = tmp_path_factory.mktemp("demo")
    web, public, lines, bots, feed = (free_port() for _ in range(5))
    config = folder / "jackfield.toml"
    said = (ROOT / "demos/jackfield.toml").read_text()
    for old, new in [("port = 8403", f"port = {lines}"), ("port = 8404", f"port = {bots}"), (":8406", f":{feed}")]:
        said = said.replace(old, new)
    config.write_text(said)
    environment = {
        **os.environ,
        **queue,
        "JACKFIELD_CONFIG": str(config),
        "JACKFIELD_HTTP_SERVER_PORT": str(public),
        "JACKFIELD_HTTP_SERVER_INTERNAL_PORT": str(free_port()),
        "JACKFIELD_EMBEDDED_PORT": str(free_port()),
        "DEMO_STATE": str(folder / "state"),
        "GAME_ROUND": "40",
        "DEMO_FEED_PORT": str(feed),
        "DEMO_SLOW_PORT": str(free_port()),
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
    log = folder / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=ROOT, env=told, stdout=out, stderr=out)

    def answers() -> bool:
        assert process.poll() is None, f"demos/run ended:\n{log.read_text()}"
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{web}/server-info/", timeout=2) as page:
                return bool(page.status == 200)
        except OSError:
            return False

    try:
        wait_for(answers, "the demo's pages", 240)
        yield {"DEMO_PORT": str(web), "LINES_PORT": str(lines), "BOTS_PORT": str(bots), "DEMO_LOG": str(log), **queue_of(environment)}
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


def browse_demo(script: str, demo: dict[str, str]) -> None:
    """Runs one browser test; if it fails, what the demo said is told as well."""
    try:
        browse(script, **demo)
    except AssertionError:
        print(Path(demo["DEMO_LOG"]).read_text()[-4000:])
        raise


on_each_queue = pytest.mark.parametrize("queue", ["embedded", "redis", "rabbitmq"], indirect=True, scope="module")
on_the_embedded_queue = pytest.mark.parametrize("queue", ["embedded"], indirect=True, scope="module")


@on_each_queue
def test_two_browsers_and_a_tcp_client_chat(demo: dict[str, str]) -> None:
    browse_demo("chat.mjs", demo)


@on_each_queue
def test_three_people_edit_a_document(demo: dict[str, str]) -> None:
    browse_demo("editor.mjs", demo)


@on_each_queue
def test_a_dashboard_by_websocket_and_by_eventsource(demo: dict[str, str]) -> None:
    browse_demo("dashboard.mjs", demo)


# What these say goes the same way through any queue as the dashboard's: once is enough.
@on_the_embedded_queue
def test_an_arena_of_browsers_and_bots(demo: dict[str, str]) -> None:
    browse_demo("game.mjs", demo)


@on_the_embedded_queue
def test_a_market_by_a_fast_and_a_slow_line(demo: dict[str, str]) -> None:
    browse_demo("market.mjs", demo)


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
