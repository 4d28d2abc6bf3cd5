"""TLS on the other doors: TCP listeners, the internal port, what is handed over, and what stands before it."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from authority import Authority
from secure import (
    SecureLines,
    SecureNeighbours,
    SecureServer,
    SecureSocket,
    all_of,
    base,
    context,
    dial,
    hello,
    joined,
    s_client,
    tls,
)
from serving import PATIENCE, wait_for
from speakers import token, unique

KEY = "a-key-of-the-api"
ADDRESS = "203.0.113.77"


@pytest.fixture(scope="module")
def server(authority: Authority) -> Iterator[SecureServer]:
    issued = authority.issue("localhost")
    config = base(issued) + tls("http_server.internal_tls", issued)
    config += '\n[[tcp]]\nname = "json"\nport = {tcp_json}\n' + tls("tcp.tls", issued)
    raw = 'dialect = "raw"\nchannel = "quiet:raw"\npublish_to = "channel"\n'
    config += f'\n[[tcp]]\nname = "raw"\nport = {{tcp_raw}}\n{raw}' + tls("tcp.tls", issued, also_plain=True)
    config += '\n[[tcp]]\nname = "public"\non_public_port = true\n'
    sets = ("http_server.api_on_public_port=true", f"http_api.key={KEY}", "http_server.handshake_timeout=3s")
    with SecureServer(config, sets=sets) as server:
        yield server


pytestmark = pytest.mark.usefixtures("neighbours")


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_tcp_listener_with_python(server: SecureServer, authority: Authority, version: str) -> None:
    channel = unique("quiet:")
    lines = [SecureLines(server.tcp_json, context(authority, version=version)) for _ in range(2)]
    for line in lines:
        assert line.command(connect={"token": token()})["connect"]["client"]
        assert "subscribe" in line.command(subscribe={"channel": channel})
    for n in range(100):
        assert "publish" in lines[0].command(publish={"channel": channel, "data": {"n": n, "text": "ü" * 1000}})
    assert [lines[1].push()["pub"]["data"]["n"] for _ in range(100)] == list(range(100))
    for line in lines:
        line.close()


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_a_tcp_listener_with_openssl(server: SecureServer, authority: Authority, version: str) -> None:
    with s_client(server.tcp_json, authority, version) as client:
        answer = json.loads(client.ask(json.dumps({"id": 1, "connect": {"token": token()}})))
        assert answer["connect"]["client"]
        assert json.loads(client.ask('{"id":2,"ping":{}}')) == {"id": 2, "ping": {}}


def test_raw_lines_with_and_without_tls(server: SecureServer, authority: Authority) -> None:
    """Without TLS the listener cannot know before the first bytes what somebody speaks, so both speak first."""
    witness = joined(server, context(authority), "quiet:raw")
    with s_client(server.tcp_raw, authority) as client:
        assert client.ask("over TLS") == "over TLS\n"
    assert witness.push()["pub"]["data"] == "over TLS"
    with socket.create_connection(("127.0.0.1", server.tcp_raw), PATIENCE) as plain:
        plain.sendall(b"in the clear\n")
        assert plain.recv(100) == b"in the clear\n"
    assert witness.push()["pub"]["data"] == "in the clear"
    witness.close()


def test_the_clear_on_a_tls_listener(server: SecureServer) -> None:
    with socket.create_connection(("127.0.0.1", server.tcp_json), PATIENCE) as plain:
        plain.sendall(b'{"id":1,"connect":{}}\n' * 5)
        answer = all_of(plain)
    assert b'"connect"' not in answer


def test_a_stalled_handshake_on_a_listener(server: SecureServer, authority: Authority) -> None:
    with socket.create_connection(("127.0.0.1", server.tcp_json), PATIENCE) as client:
        client.sendall(hello(context(authority))[:-1])
        all_of(client)


def api(port: int, authority: Authority) -> http.client.HTTPSConnection:
    return http.client.HTTPSConnection("localhost", port, timeout=PATIENCE, context=context(authority))


def ask(connection: http.client.HTTPSConnection, method: str, body: Any, key: str = KEY) -> tuple[int, Any]:
    connection.request(
        "POST", f"/api/{method}", json.dumps(body), {"X-API-Key": key, "Content-Type": "application/json"}
    )
    answer = connection.getresponse()
    text = answer.read().decode()
    return answer.status, json.loads(text) if text.startswith("{") else text


@pytest.mark.parametrize("port", ["internal", "port"], ids=["internal", "public"])
def test_the_api_over_tls(server: SecureServer, authority: Authority, port: str) -> None:
    """On the public port it is handed over, with the TLS that has begun and the bytes that are read."""
    witness = joined(server, context(authority), "quiet:api")
    connection = api(getattr(server, port), authority)
    for n in range(50):
        status, answer = ask(
            connection, "publish", {"channel": "quiet:api", "data": {"n": n, "text": "x" * 3000 * (n % 5)}}
        )
        assert (status, answer) == (200, {"result": {}})
    assert [witness.push()["pub"]["data"]["n"] for _ in range(50)] == list(range(50))
    assert ask(connection, "publish", {"channel": "quiet:api", "data": 1}, key="wrong")[0] == 401
    connection.close()
    witness.close()


def test_health_and_metrics_over_tls(server: SecureServer, authority: Authority) -> None:
    for port, path, key, status in (
        (server.internal, "/health", "", 200),
        (server.internal, "/metrics", "", 200),
        (server.port, "/health", "", 200),
        (server.port, "/metrics", KEY, 200),
        (server.port, "/metrics", "", 401),
    ):
        connection = api(port, authority)
        connection.request("GET", path, headers={"X-API-Key": key} if key else {})
        answer = connection.getresponse()
        text = answer.read().decode()
        assert answer.status == status, (port, path, text)
        if path == "/metrics" and status == 200:
            assert text.endswith("# EOF\n")
        connection.close()


def test_plain_http_on_the_internal_port_is_told_so(server: SecureServer) -> None:
    with socket.create_connection(("127.0.0.1", server.internal), PATIENCE) as plain:
        plain.sendall(b"GET /health HTTP/1.1\r\nHost: h\r\n\r\n")
        answer = all_of(plain)
    assert answer.startswith(b"HTTP/1.1 400 ") and b"TLS" in answer, answer


def test_garbage_and_silence_on_the_internal_port(server: SecureServer, authority: Authority) -> None:
    silent = socket.create_connection(("127.0.0.1", server.internal), PATIENCE)
    silent.sendall(hello(context(authority))[:20])
    for data in (b"\x16\x03\x01\xff\xff" + b"x" * 100, b"\x16\x03\x01\x00\x40" + b"\0" * 64):
        with socket.create_connection(("127.0.0.1", server.internal), PATIENCE) as client:
            client.sendall(data)
            all_of(client)
    all_of(silent)
    silent.close()


def test_lines_on_the_public_port_within_tls(server: SecureServer, authority: Authority) -> None:
    lines = SecureLines(server.port, context(authority))
    assert lines.command(connect={"token": token()})["connect"]["client"]
    assert lines.command(ping={}) == {"id": 2, "ping": {}}
    lines.close()


@pytest.mark.parametrize("header", [f"PROXY TCP4 {ADDRESS} 127.0.0.1 4711 443\r\n".encode(), None], ids=["v1", "v2"])
def test_a_proxy_header_stands_before_tls(authority: Authority, header: bytes | None) -> None:
    if header is None:
        packed = (
            socket.inet_aton(ADDRESS)
            + socket.inet_aton("127.0.0.1")
            + (4711).to_bytes(2, "big")
            + (443).to_bytes(2, "big")
        )
        header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11" + len(packed).to_bytes(2, "big") + packed
    issued = authority.issue("localhost")
    config = (
        base(issued) + '\n[[tcp]]\nname = "json"\nport = {tcp_json}\nproxy_protocol = true\n' + tls("tcp.tls", issued)
    )
    server = SecureServer(config, sets=('client.trusted_proxies=["127.0.0.0/8"]', "http_server.proxy_protocol=true"))
    server.before = header
    with server:
        app = redis.Redis(port=server.embedded, protocol=2, decode_responses=True)
        neighbours = SecureNeighbours(server, context(authority), before=header)
        client = SecureSocket(server.port, context(authority), before=header)
        lines = SecureLines(server.tcp_json, context(authority), before=header)
        told = {client.login()["client"], lines.command(connect={"token": token()})["connect"]["client"]}

        def remotes() -> set[str]:
            lanes = [app.xrange(f"{{jackfield:{lane}}}:events") for lane in range(8)]
            return {event["remote"] for lane in lanes for _, event in lane if event["client"] in told}

        wait_for(lambda: remotes() == {f"{ADDRESS}:4711"}, "the address of the header")
        # Without the header it is no TLS that the server waits for.
        for port in (server.port, server.tcp_json):
            with pytest.raises((ssl.SSLError, ConnectionError)):
                dial(port, context(authority))
        neighbours.check()
        client.close()
        lines.close()
        app.close()
