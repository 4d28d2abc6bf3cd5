"""Documents: unmodified y-websocket clients against the real server, with an application that stores what it is told."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from archive import Archive
from serving import RawWebSocket, Server, free_port, wait_for

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
call_timeout = "10s"
[client.proxy.connect]
enabled = false
[prometheus]
enabled = true
"""
OPERATIONS = int(os.environ.get("JACKFIELD_TEST_OPERATIONS", "10000"))
SEED = int(os.environ.get("JACKFIELD_TEST_SEED", random.randrange(1 << 30)))
# Yjs' frames: kind, kind of sync message, length.
NOTHING_KNOWN = bytes([0, 0, 1, 0])


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
        found = re.search(rf"^{re.escape(name)} (\S+)$", page.read().decode(), re.M)
    return float(found[1]) if found else 0.0


def memory(server: Server) -> int:
    """Bytes of the process that are in memory."""
    assert server.process
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024  # type: ignore[index]


def is_empty(server: Server) -> bool:
    """Nothing of any document is in memory."""
    return metric(server, "jackfield_documents") == 0 and metric(server, "jackfield_document_bytes") == 0


def killed(server: Server) -> None:
    assert server.process
    server.process.kill()
    server.process.wait()
    server.log.close()
    server.start()


def test_editors_converge_through_drops_and_killed_servers() -> None:
    """Two clients in Node, one in Chromium; whoever comes last and whatever is stored is the same, byte for byte."""
    print(f"seed {SEED}")
    with Server(CONFIG, sets=("client.allowed_origins=*",)) as server, Archive(server.embedded) as archive:
        editors = Editors("edit", OPERATIONS, SEED, "doc:1", server.port)
        for part in (3, 2):
            wait_for(lambda part=part: editors.has_done(OPERATIONS // part), "edits before the kill", 120)
            killed(server)
        end = editors.end()
        assert end["operations"] >= OPERATIONS and end["drops"] > 0
        wait_for(lambda: is_empty(server), "a server without documents")
        # What is stored is all there is: a server that has never heard of it shows the same.
        killed(server)
        stored = node("load", 1, "doc:1", f"ws://127.0.0.1:{server.port}/yjs")
        assert stored["length"] > 0 and archive.saves("doc:1")
        wait_for(lambda: is_empty(server), "a server without documents")
    print(f"{end['operations']} operations, {end['drops']} drops, 2 kills: {end['bytes']} bytes")


def test_editors_of_two_nodes_converge_when_one_is_killed() -> None:
    port, config = free_port(), CONFIG.replace('driver = "embedded"', 'driver = "redis"\nurl = "{redis}"')
    config = config.replace("{redis}", f"redis://127.0.0.1:{port}") + f'[broker]\ndriver = "redis"\nurl = "redis://127.0.0.1:{port}"\n'
    redis = subprocess.Popen(
        ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"],
        stdout=subprocess.DEVNULL,
    )
    try:
        sets = ("client.allowed_origins=*",)
        with Server(config, sets=sets) as one, Server(config, sets=sets) as other, Archive(port) as archive:
            editors = Editors("edit", OPERATIONS // 4, SEED, "doc:2", f"{one.port},{other.port}")
            wait_for(lambda: editors.has_done(OPERATIONS // 8), "edits before the kill", 120)
            killed(one)
            assert editors.end()["bytes"] > 0
            wait_for(lambda: is_empty(one) and is_empty(other), "nodes without documents")
            assert archive.saves("doc:2")
    finally:
        redis.kill()
        redis.wait()


def test_what_cannot_be_saved_is_kept_until_it_can() -> None:
    with Server(CONFIG) as server, Archive(server.embedded) as archive:
        url = f"ws://127.0.0.1:{server.port}/yjs"
        archive.fault = {"code": 100, "message": "the disk is full", "temporary": True}
        written = node("write", 2000, SEED, "doc:3", url)
        wait_for(lambda: len(archive.saves("doc:3")) >= 2, "another try")
        assert metric(server, "jackfield_documents") == 1, "nobody has it open, and nobody else has it"
        assert not archive.rows["doc:3"]
        archive.fault = None
        wait_for(lambda: is_empty(server), "a server without documents")
        assert node("load", 1, "doc:3", url)["length"] == written["length"]
        failed = metric(server, 'jackfield_document_saves_total{result="failed"}')
        assert failed >= 2 and metric(server, 'jackfield_document_saves_total{result="saved"}') >= 1
        # A document that is no more is not kept for ever.
        archive.fault = {"code": 404, "message": "there is no such document"}
        node("write", 100, SEED, "doc:4", url)
        wait_for(lambda: is_empty(server), "a server without documents")
        assert len(archive.saves("doc:4")) <= 2 and not archive.rows["doc:4"]


def test_a_server_that_ends_saves_first() -> None:
    with Server(CONFIG.replace("300ms", "1h")) as server, Archive(server.embedded) as archive:
        socket = RawWebSocket(server.port, "/yjs/doc:5")
        assert socket.read() == (2, NOTHING_KNOWN)
        # The letter "a" by the client 1, as an update.
        update = bytes.fromhex("010101000401047465787401610" + "0")
        socket.frame(2, bytes([0, 2, len(update)]) + update)
        assert socket.read() == (2, bytes([0, 2, len(update)]) + update)
        assert not archive.saves("doc:5")
        server.signal(signal.SIGTERM)
        wait_for(lambda: archive.rows.get("doc:5"), "the last word")
        assert server.process and server.process.wait(30) == 0


def test_what_was_stored_in_many_parts_is_stored_anew_as_one() -> None:
    sets = ("client.allowed_origins=*", "yjs.compact_after=5", "yjs.save_interval=10ms")
    with Server(CONFIG.replace('save_interval = "300ms"', ""), sets=sets) as server, Archive(server.embedded) as archive:
        url = f"ws://127.0.0.1:{server.port}/yjs"
        end = Editors("edit", 600, SEED, "doc:6", server.port).end()
        wait_for(lambda: is_empty(server), "a server without documents")
        assert len(archive.rows["doc:6"]) > 5
        before = node("load", 1, "doc:6", url)
        wait_for(lambda: len(archive.rows["doc:6"]) == 1, "one row")
        wait_for(lambda: is_empty(server), "a server without documents")
        assert node("load", 1, "doc:6", url)["length"] == before["length"] and end["bytes"] > 0


def test_a_long_document_is_there_soon_and_goes_with_its_last_reader() -> None:
    """260,000 edits as somebody types them, beside y-websocket's own server in the same run."""
    modules = Path(os.environ["JACKFIELD_NODE_MODULES"])
    port = free_port()
    own = subprocess.Popen(
        ["node", str(modules / "y-websocket-server/bin/server.js")],
        env={**os.environ, "PORT": str(port), "HOST": "127.0.0.1"},
        stdout=subprocess.PIPE,
    )
    try:
        assert own.stdout and own.stdout.readline()
        with Server(CONFIG) as server, Archive(server.embedded) as archive:
            urls = f"ws://127.0.0.1:{server.port}/yjs,ws://127.0.0.1:{port}"
            node("load", 1, "doc:0", urls.split(",")[0])
            before = memory(server)
            written = node("write", 260_000, SEED, "doc:7", urls)
            # Both have it in memory while somebody is there, and ours must load it before.
            held = RawWebSocket(server.port, "/yjs/doc:7")
            warm = node("load", 7, "doc:7", urls)
            assert warm["length"] == written["length"]
            most = memory(server)
            held.close()
            wait_for(lambda: is_empty(server), "a server without documents")
            wait_for(lambda: memory(server) < before + 16 * 1024 * 1024, "its memory back", 60)
            cold = node("load", 5, "doc:7", urls.split(",")[0])
            assert cold["length"] == written["length"] and archive.rows["doc:7"]
            wait_for(lambda: is_empty(server), "a server without documents")
            after = memory(server)
    finally:
        own.kill()
        own.wait()
    ours, theirs = warm["millis"]
    print(
        f"{written['bytes']} bytes: {ours} ms beside {theirs} ms of y-websocket's own server ({ours / theirs:.2f}); "
        f"{cold['millis'][0]} ms where it is loaded first; memory {before >> 10} KiB, {most >> 10} with it, {after >> 10} after"
    )


def test_documents_opened_one_after_another_leave_nothing() -> None:
    with Server(CONFIG) as server, Archive(server.embedded) as archive:
        after: dict[int, int] = {}
        begun = time.monotonic()
        for number in range(1, 10_001):
            socket = RawWebSocket(server.port, f"/yjs/doc:{number}")
            assert socket.read() == (2, NOTHING_KNOWN)
            socket.frame(2, NOTHING_KNOWN)
            assert socket.read() == (2, bytes([0, 1, 2, 0, 0]))
            socket.close()
            if number in (2_000, 10_000):
                wait_for(lambda: is_empty(server), "a server without documents")
                after[number] = memory(server)
        assert len(archive.calls) == 10_000 and metric(server, "jackfield_channels") == 0
        print(f"10,000 documents in {time.monotonic() - begun:.0f} s: {after[2_000] >> 10} KiB, then {after[10_000] >> 10}")
        # Eight thousand more of anything that stays would be more than this.
        assert after[10_000] < after[2_000] + 4 * 1024 * 1024


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
