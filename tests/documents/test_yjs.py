"""Unmodified y-websocket clients: they converge through kills, load a long paper, and leave nothing behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from serving import Server, free_port, wait_for
from speakers import SECRET, token
from store import Store

HERE = Path(__file__).parent
CONFIG = f"""
[client]
allowed_origins = ["http://127.0.0.1:*"]

[client.token]
hmac_secret_key = "{SECRET}"

[app_link]
driver = "embedded"

[yjs]
enabled = true
save_interval = "500ms"

[rpc.without_namespace]
proxy_enabled = true

[[channel.namespaces]]
name = "doc"
document = "yjs"
subscribe_proxy_enabled = true
subscribe_proxy_name = "app"
"""
EDITS = int(os.environ.get("JACKFIELD_DOCUMENT_EDITS", "10000"))
DOCUMENTS = int(os.environ.get("JACKFIELD_DOCUMENTS", "10000"))
ROUNDS = 5
MEGABYTE = 1 << 20

pytestmark = pytest.mark.skipif(
    not (HERE / "node_modules").exists(), reason="the npm packages are missing: npm ci in tests/documents"
)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(CONFIG) as running:
        yield running


class Script:
    """One of the scripts of this folder: it says JSON, a line each, and is answered by a line."""

    def __init__(self, name: str, told: dict[str, Any]):
        self.name = name
        self.process = subprocess.Popen(
            ["node", name, json.dumps(told)], cwd=HERE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Script:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def line(self) -> str:
        assert self.process.stdout
        line = self.process.stdout.readline().strip()
        assert line, f"{self.name} ended with {self.process.wait()}"
        return line

    def says(self, what: str) -> dict[str, Any]:
        said: dict[str, Any] = json.loads(self.line())
        assert said["say"] == what, said
        return said

    def answer(self) -> None:
        assert self.process.stdin
        self.process.stdin.write("\n")
        self.process.stdin.flush()


def url_of(server: Server) -> str:
    return f"ws://127.0.0.1:{server.port}/yjs"


def metric(server: Server, name: str) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.internal}/metrics", timeout=10) as page:
        found = re.search(rf"^{name}(?:{{[^}}]*}})? ([\d.e+]+)$", page.read().decode(), re.MULTILINE)
    return float(found[1]) if found else 0.0


def resident(server: Server) -> float:
    """Megabytes of memory that the server holds."""
    assert server.process
    text = Path(f"/proc/{server.process.pid}/status").read_text()
    found = re.search(r"^VmRSS:\s+(\d+) kB", text, re.MULTILINE)
    assert found
    return int(found[1]) / 1024


def let_go(server: Server) -> None:
    """Waits until no document is in memory."""
    wait_for(lambda: metric(server, "jackfield_documents") == 0, "a server without documents", 60)


def kill(server: Server) -> None:
    assert server.process
    server.signal(signal.SIGKILL)
    server.process.wait()
    server.start()


def test_three_clients_converge_through_drops_and_kills(server: Server) -> None:
    told = {
        "url": url_of(server),
        "channel": "doc:1",
        "tokens": [token(user) for user in ("ann", "bob", "cy")],
        "count": EDITS,
        "seed": 20261122,
    }
    with Store(server.embedded) as store, Script("converge.mjs", told) as script:
        for _ in range(2):
            script.says("kill")
            kill(server)
            script.answer()
        same = script.says("same")
        let_go(server)
        loads = store.loads
        script.answer()
        late = script.says("late")
        assert store.loads == loads + 1, "it was in memory, though nobody had it open"
    assert same["edits"] >= EDITS
    assert same["drops"] > 3
    assert same["length"] > 100
    for part in ("update", "text", "map"):
        assert late[part] == same[part]
    print(f"{same['edits']} edits, {same['drops']} drops, 2 kills, {store.saves} saves; {len(same['update'])} bytes alike")


def test_a_long_paper_loads(server: Server) -> None:
    """260,000 edits, and what it takes y-websocket's own server in the same run. The times are told, not judged."""
    told = {"url": url_of(server), "token": token("ann"), "port": free_port(), "rounds": ROUNDS}
    with Store(server.embedded) as store, Script("loads.mjs", told) as script:
        paper = script.says("paper")
        for number in range(ROUNDS + 1):
            store.put(f"doc:{number}", paper["updates"])
        script.answer()
        loads = script.says("loads")
        script.answer()
        assert loads["same"]
        # Each was stored in more rows than the server lets a document have: it made one of them.
        wait_for(lambda: all(len(store.rows[f"doc:{number}"]) == 1 for number in range(ROUNDS + 1)), "one row each", 60)
        let_go(server)
    print(
        f"\n{paper['edits']} edits, {paper['length']} characters, {paper['bytes']} bytes, {paper['rows']} rows;"
        f" a new client has it after, ms (medians of {ROUNDS}): y-websocket's server {loads['theirs']:.0f},"
        f" Jackfield with it open {loads['warm']:.0f} ({loads['warm'] / loads['theirs']:.2f}),"
        f" from its rows {loads['cold']:.0f} ({loads['cold'] / loads['theirs']:.2f})"
    )


def test_memory_returns_after_the_last_has_left(server: Server) -> None:
    told = {"url": url_of(server), "token": token("ann"), "from": 0, "count": 40, "size": MEGABYTE, "hold": True}
    with Store(server.embedded), Script("many.mjs", told | {"count": 2, "from": 1000}) as warm:
        assert warm.line() == "open"
        warm.answer()
        assert warm.line() == "left"
        let_go(server)
        before = resident(server)
        with Script("many.mjs", told) as script:
            assert script.line() == "open"
            held, counted = resident(server), metric(server, "jackfield_document_bytes")
            assert metric(server, "jackfield_documents") == 40
            assert counted >= 40 * MEGABYTE
            script.answer()
            assert script.line() == "left"
        let_go(server)
        assert metric(server, "jackfield_document_bytes") == 0
        # The allocator gives pages back when it next looks, some seconds later.
        wait_for(lambda: resident(server) - before < (held - before) / 3, "its memory, given back", 90)
        after = resident(server)
    print(f"\n40 documents of 1 MiB: {before:.0f} MiB before, {held:.0f} with them, {after:.0f} after the last has left")


def test_ten_thousand_documents_leave_nothing(server: Server) -> None:
    told = {"url": url_of(server), "token": token("ann"), "at": 8, "size": 40}
    sizes = []
    with Store(server.embedded) as store:
        for begin in range(0, DOCUMENTS, DOCUMENTS // 5):
            with Script("many.mjs", told | {"from": begin, "count": DOCUMENTS // 5}) as script:
                assert script.line() == "left"
            let_go(server)
            sizes.append(resident(server))
        assert len([rows for rows in store.rows.values() if rows]) == DOCUMENTS
        wait_for(lambda: store.saves >= DOCUMENTS, "all saved")
    print(f"\n{DOCUMENTS} documents one after the other: MiB after each fifth {', '.join(f'{one:.1f}' for one in sizes)}")
    # The first fifth is the warming up; a hundred bytes left of each of the others would be seen here.
    assert sizes[-1] - sizes[0] < 0.8 * DOCUMENTS / 1000 + 2
