"""TLS towards somebody who reads slowly or not at all: records wait, in order and whole, until it is too much."""

from __future__ import annotations

import http.client
import itertools
import json
import select
import socket
import ssl
from collections.abc import Iterator
from typing import Any

import pytest
from authority import Authority
from secure import SecureLines, SecureNeighbours, SecureServer, SecureSocket, base, context, tls
from serving import PATIENCE, wait_for
from speakers import token, unique

VERSIONS = pytest.mark.parametrize("version", ["1.2", "1.3"])
SETS = ("http_api.insecure=true", "client.message_rate_limit=0")
PUBLICATIONS = 300


def config(authority: Authority) -> str:
    issued = authority.issue("localhost")
    return base(issued) + '\n[[tcp]]\nname = "json"\nport = {tcp_json}\n' + tls("tcp.tls", issued)


@pytest.fixture(scope="module")
def server(authority: Authority) -> Iterator[SecureServer]:
    with SecureServer(config(authority), sets=SETS) as server:
        yield server


@pytest.fixture(scope="module")
def patient(authority: Authority) -> Iterator[SecureServer]:
    """A server that keeps more for a slow client than the tests publish."""
    with SecureServer(config(authority), sets=(*SETS, "client.queue_max_size=67108864")) as server:
        yield server


def narrow(port: int, context: ssl.SSLContext) -> ssl.SSLSocket:
    """A connection through a small window."""
    plain = socket.socket()
    plain.settimeout(PATIENCE)
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    plain.connect(("127.0.0.1", port))
    return context.wrap_socket(plain, server_hostname="localhost")


class NarrowSocket(SecureSocket):
    def dial(self, port: int) -> ssl.SSLSocket:
        return narrow(port, self.context)


class NarrowLines(SecureLines):
    def dial(self, port: int) -> ssl.SSLSocket:
        return narrow(port, self.context)


class Api:
    """The API of the internal port."""

    def __init__(self, server: SecureServer):
        self.connection = http.client.HTTPConnection("127.0.0.1", server.internal, timeout=PATIENCE)

    def ask(self, method: str, **body: Any) -> Any:
        self.connection.request("POST", f"/api/{method}", json.dumps(body), {"Content-Type": "application/json"})
        answer = json.loads(self.connection.getresponse().read())
        assert "result" in answer, answer
        return answer["result"]


def text(n: int) -> str:
    """A text that no other publication has, of another length each time."""
    return f"{n}-" * (n * 37 % 8000 + 1)


@VERSIONS
@pytest.mark.parametrize("door", ["websocket", "tcp"])
def test_who_reads_late_gets_everything_in_order(
    patient: SecureServer, authority: Authority, version: str, door: str
) -> None:
    channel, trusting = unique("quiet:late-"), context(authority, version=version)
    client: SecureSocket | SecureLines
    if door == "websocket":
        client = NarrowSocket(patient.port, trusting)
        client.login()
        client.result(subscribe={"channel": channel})
    else:
        client = NarrowLines(patient.tcp_json, trusting)
        client.command(connect={"token": token()})
        client.command(subscribe={"channel": channel})
    neighbours = SecureNeighbours(patient, context(authority))
    api = Api(patient)
    for n in range(PUBLICATIONS):
        api.ask("publish", channel=channel, data={"n": n, "text": text(n)})
    for n in range(PUBLICATIONS):
        assert client.push()["pub"]["data"] == {"n": n, "text": text(n)}
    neighbours.check()
    client.close()


@VERSIONS
@pytest.mark.parametrize("door", ["websocket", "tcp"])
@pytest.mark.usefixtures("neighbours")
def test_who_never_reads_is_ended(server: SecureServer, authority: Authority, version: str, door: str) -> None:
    channel, trusting = unique("open:never-"), context(authority, version=version)
    client: SecureSocket | SecureLines
    if door == "websocket":
        client = NarrowSocket(server.port, trusting)
        client.login()
        client.result(subscribe={"channel": channel})
    else:
        client = NarrowLines(server.tcp_json, trusting)
        client.command(connect={"token": token()})
        client.command(subscribe={"channel": channel})
    api = Api(server)
    assert api.ask("presence_stats", channel=channel)["num_clients"] == 1
    for n in itertools.count():
        api.ask("publish", channel=channel, data=text(n % 200) + "x" * 20_000)
        if api.ask("presence_stats", channel=channel)["num_clients"] == 0:
            break
        assert n < 2000, "40 MB are kept for somebody who reads nothing"
    assert n > 20, "a backlog is allowed"
    client.close()


@VERSIONS
def test_echoes_to_somebody_who_writes_more_than_it_reads(
    server: SecureServer, authority: Authority, version: str
) -> None:
    """Somebody who sends without reading is not read from; once it reads, everything is there."""
    client = NarrowSocket(server.port, context(authority, version=version), path="/echo")
    client.socket.setblocking(False)
    payload = bytes(range(256)) * 100
    frame = b"\x82\xfe" + len(payload).to_bytes(2, "big") + b"\0\0\0\0" + payload
    sent, at, limit = 0, 0, 64 << 20
    while sent < limit:
        try:
            count = client.socket.send(frame[at:])
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
            # The server takes no more: what it keeps for us is bounded, and so is what the system keeps.
            if not wait_writable(client.socket):
                break
            continue
        sent += count
        at = (at + count) % len(frame)
    assert sent < limit, "64 MB of echoes are kept for somebody who reads nothing"
    client.socket.settimeout(PATIENCE)
    got = b""
    whole = sent // len(frame)
    assert whole > 0
    wanted = (b"\x82\x7e" + len(payload).to_bytes(2, "big") + payload) * min(whole, 40)
    while len(got) < len(wanted):
        chunk = client.socket.recv(65536)
        assert chunk, "the server closed"
        got += chunk
    assert got[: len(wanted)] == wanted
    client.close()


def wait_writable(client: ssl.SSLSocket) -> bool:
    """Whether it becomes writable while the server has the time to read."""
    return bool(select.select([], [client], [], 0.5)[1])


def test_a_thousand_small_ones_at_once(patient: SecureServer, authority: Authority) -> None:
    """Many frames of one round share records; none is lost between them."""
    channel = unique("quiet:many-")
    clients = [SecureSocket(patient.port, context(authority)) for _ in range(20)]
    for client in clients:
        client.login()
        client.result(subscribe={"channel": channel})
    sender = clients[0]
    for start in range(0, 1000, 500):
        sender.send(*({"id": 1000 + n, "publish": {"channel": channel, "data": n}} for n in range(start, start + 500)))
    for client in clients:
        assert [client.push()["pub"]["data"] for _ in range(1000)] == list(range(1000))
        client.close()


def test_the_server_is_empty_afterwards(server: SecureServer, authority: Authority) -> None:
    api = Api(server)
    (node,) = api.ask("info")["nodes"]
    assert node["name"]
    wait_for(lambda: api.ask("info")["nodes"][0]["num_clients"] == 0, "nobody")
