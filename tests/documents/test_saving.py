"""What is edited is saved: through nodes that are killed, applications that fail, and servers that end."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import threading
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from serving import RawWebSocket, Server, free_port, wait_for
from store import Store

HERE = Path(__file__).parent
CONFIG = """
[client]
allow_anonymous_connect_without_token = true
[yjs]
enabled = true
save_interval = "300ms"
[[channel.namespaces]]
name = "doc"
document = "yjs"
allow_subscribe_for_anonymous = true
allow_publish_for_anonymous = true
[rpc.without_namespace]
proxy_enabled = true
[app_link]
driver = "embedded"
[prometheus]
enabled = true
"""
OPERATIONS = int(os.environ.get("JACKFIELD_DOCUMENT_EDITS", "10000")) // 4
SEED = int(os.environ.get("JACKFIELD_TEST_SEED", random.randrange(1 << 30)))
# Yjs' frames: kind, kind of sync message, length.
NOTHING_KNOWN = bytes([0, 0, 1, 0])
# The client 1 writes "a" into the text "text".
UPDATE = bytes([1, 1, 1, 0, 4, 1, 4, *b"text", 1, *b"a", 0])
EDIT = bytes([0, 2, len(UPDATE)]) + UPDATE


class Editors:
    """editors.mjs; what it says is read as it comes."""

    def __init__(self, *arguments: object):
        command = ["node", str(HERE / "editors.mjs"), *map(str, arguments)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.said: list[dict[str, Any]] = []
        self.reading = threading.Thread(target=self.read, daemon=True)
        self.reading.start()

    def read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.said.append(json.loads(line))

    def has_done(self, count: int) -> bool:
        assert self.process.poll() in (None, 0), self.process.stderr and self.process.stderr.read()
        return any(word.get("done", word.get("operations", 0)) >= count for word in self.said)

    def end(self) -> dict[str, Any]:
        """The last word, when it has ended well."""
        code = self.process.wait(300)
        self.reading.join(10)
        assert code == 0, self.process.stderr and self.process.stderr.read()
        return self.said[-1]


def node(*arguments: object) -> dict[str, Any]:
    return Editors(*arguments).end()


def metric(server: Server, name: str) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.internal}/metrics", timeout=10) as page:
        found = re.search(rf"^{re.escape(name)} (\S+)$", page.read().decode(), re.MULTILINE)
    return float(found[1]) if found else 0.0


def is_empty(server: Server) -> bool:
    """Nothing of any document is in memory."""
    return metric(server, "jackfield_documents") == 0 and metric(server, "jackfield_document_bytes") == 0


def killed(server: Server) -> None:
    assert server.process
    server.process.kill()
    server.process.wait()
    server.log.close()
    server.start()


def test_editors_of_two_nodes_converge_when_one_is_killed() -> None:
    port, config = free_port(), CONFIG.replace('driver = "embedded"', 'driver = "redis"\nurl = "{redis}"')
    config = config.replace("{redis}", f"redis://127.0.0.1:{port}") + f'[broker]\ndriver = "redis"\nurl = "redis://127.0.0.1:{port}"\n'
    redis = subprocess.Popen(
        ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"],
        stdout=subprocess.DEVNULL,
    )
    try:
        sets = ("client.allowed_origins=*",)
        with Server(config, sets=sets) as one, Server(config, sets=sets) as other, Store(port) as store:
            editors = Editors("edit", OPERATIONS, SEED, "doc:2", f"{one.port},{other.port}")
            wait_for(lambda: editors.has_done(OPERATIONS // 2), "edits before the kill", 120)
            killed(one)
            assert editors.end()["bytes"] > 0
            wait_for(lambda: is_empty(one) and is_empty(other), "nodes without documents")
            assert store.saves > 0
    finally:
        redis.kill()
        redis.wait()


def test_what_cannot_be_saved_is_kept_until_it_can() -> None:
    with Server(CONFIG) as server, Store(server.embedded) as store:
        url = f"ws://127.0.0.1:{server.port}/yjs"
        store.fault = {"code": 100, "message": "the disk is full", "temporary": True}
        written = node("write", 2000, SEED, "doc:3", url)
        wait_for(lambda: store.refused >= 2, "another try")
        assert metric(server, "jackfield_documents") == 1, "nobody has it open, and nobody else has it"
        assert not store.rows["doc:3"]
        store.fault = None
        wait_for(lambda: is_empty(server), "a server without documents")
        assert node("load", "doc:3", url) == written
        assert metric(server, 'jackfield_document_saves_total{result="failed"}') >= 2
        assert metric(server, 'jackfield_document_saves_total{result="saved"}') >= 1
        # A document that is no more is not kept for ever.
        store.fault, before = {"code": 404, "message": "there is no such document"}, store.refused
        node("write", 100, SEED, "doc:4", url)
        wait_for(lambda: store.refused > before and is_empty(server), "a server without documents")
        assert not store.rows["doc:4"]


def test_a_server_that_ends_saves_first() -> None:
    with Server(CONFIG.replace("300ms", "1h")) as server, Store(server.embedded) as store:
        socket = RawWebSocket(server.port, "/yjs/doc:5")
        assert socket.read() == (2, NOTHING_KNOWN)
        socket.frame(2, EDIT)
        assert socket.read() == (2, EDIT)
        assert store.saves == 0
        server.signal(signal.SIGTERM)
        wait_for(lambda: store.rows.get("doc:5"), "the last word")
        assert server.process and server.process.wait(30) == 0


def test_what_was_stored_in_many_parts_is_stored_anew_as_one() -> None:
    config = CONFIG.replace('save_interval = "300ms"', 'save_interval = "10ms"\ncompact_after = 5')
    with Server(config) as server, Store(server.embedded) as store:
        url = f"ws://127.0.0.1:{server.port}/yjs"
        node("edit", 600, SEED, "doc:6", server.port)
        wait_for(lambda: is_empty(server), "a server without documents")
        assert len(store.rows["doc:6"]) > 5
        before = node("load", "doc:6", url)
        wait_for(lambda: len(store.rows["doc:6"]) == 1, "one row")
        wait_for(lambda: is_empty(server), "a server without documents")
        assert node("load", "doc:6", url) == before


@pytest.mark.parametrize(
    ("path", "code", "words"),
    [
        ("/yjs/none:1", 3501, "unknown channel"),
        ("/yjs/doc:1?token=x", 3500, "invalid token"),
    ],
)
def test_who_may_not_come_in_is_told_why(path: str, code: int, words: str) -> None:
    with Server(CONFIG) as server:
        got, reason = RawWebSocket(server.port, path).closed()
        assert got == code and words in reason
