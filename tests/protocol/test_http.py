"""The HTTP door: what is no handshake gets an answer in words, and nobody else notices."""

from __future__ import annotations

import socket

import pytest
from serving import PATIENCE, RawWebSocket, Server
from speakers import BASE, GOOD_ORIGIN, PATH

SETS = ("http_server.handshake_timeout=2s",)
UPGRADE = {
    "Host": "h",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}


def talk(port: int, request: bytes, *, ends: bool = True) -> tuple[int, dict[str, str], str]:
    """Sends bytes; status, headers (small letters) and body of what comes until the server closes."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
        client.settimeout(PATIENCE)
        client.sendall(request)
        answer = b""
        while chunk := client.recv(65536):
            answer += chunk
            if not ends and b"\r\n\r\n" in answer:
                break
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    assert status.startswith("HTTP/1.1 "), answer
    if ends and status.split()[1] != "101":
        assert int(headers["content-length"]) == len(body)
        assert headers["connection"].lower() == "close"
    return int(status.split()[1]), headers, body.decode()


def upgrade(method: str = "GET", path: str = PATH, version: str = "1.1", **changes: str | None) -> bytes:
    fields = {**UPGRADE, **{name.replace("_", "-"): value for name, value in changes.items()}}
    lines = [f"{method} {path} HTTP/{version}", *(f"{n}: {v}" for n, v in fields.items() if v is not None)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


BAD = {
    "no HTTP": (b"hello\r\n\r\n", 400, ""),
    "binary": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, ""),
    "a line folded": (b"GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n c\r\n\r\n", 400, ""),
    "no colon": (b"GET / HTTP/1.1\r\nHost: h\r\nnonsense\r\n\r\n", 400, ""),
    "a blank in a header name": (b"GET / HTTP/1.1\r\nHost: h\r\nA : b\r\n\r\n", 400, ""),
    "two hosts": (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, ""),
    "bare line feeds": (b"GET / HTTP/1.1\nHost: h\n\n", 400, ""),
    "NUL in a header": (b"GET / HTTP/1.1\r\nHost: h\r\nA: \x00\r\n\r\n", 400, ""),
    "HTTP/3.0": (b"GET / HTTP/3.0\r\nHost: h\r\n\r\n", 505, "HTTP/1.1"),
    "an unknown method": (b"JUMP / HTTP/1.1\r\nHost: h\r\n\r\n", 501, "method"),
    "a head of more than 8 KiB": (b"GET / HTTP/1.1\r\nHost: h\r\nA: " + b"a" * 8300, 431, "8192 bytes"),
    "a thousand headers": (b"GET / HTTP/1.1\r\nHost: h\r\n" + b"A:\r\n" * 1000 + b"\r\n", 431, "headers"),
    "nothing there": (b"GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n", 404, "Jackfield"),
    "the root without --dev": (b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", 404, "Jackfield"),
    "no WebSocket there": (upgrade(path="/nothing"), 404, "no WebSocket at this path"),
    "no upgrade": (b"GET %s HTTP/1.1\r\nHost: h\r\n\r\n" % PATH.encode(), 426, "websocket"),
    "upgrade lost": (upgrade(Upgrade=None), 400, "proxy"),
    "connection lost": (upgrade(Connection="close"), 400, "proxy"),
    "no key": (upgrade(Sec_WebSocket_Key=None), 400, "Sec-WebSocket-Key"),
    "a short key": (upgrade(Sec_WebSocket_Key="YQ=="), 400, "Sec-WebSocket-Key"),
    "another version": (upgrade(Sec_WebSocket_Version="8"), 426, "must be 13"),
    "a POST": (upgrade("POST"), 405, "GET"),
    "HTTP/1.0": (upgrade(version="1.0"), 400, "HTTP/1.1"),
    "a body": (upgrade(Content_Length="5") + b"hello", 400, "body"),
    "chunks": (upgrade(Transfer_Encoding="chunked") + b"0\r\n\r\n", 400, "body"),
    "a foreign origin": (upgrade(Origin="https://evil.example"), 403, "allowed_origins"),
    "the origin null": (upgrade(Origin="null"), 403, "allowed_origins"),
    "an origin that only begins well": (upgrade(Origin=GOOD_ORIGIN + ".evil"), 403, "allowed_origins"),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.usefixtures("neighbours")
def test_refusals(server: Server, name: str) -> None:
    request, status, words = BAD[name]
    got, headers, body = talk(server.port, request)
    assert (got, words in body) == (status, True), (got, body)
    assert body.strip(), "a refusal says why"
    assert headers["content-type"].startswith("text/plain")


@pytest.mark.usefixtures("neighbours")
def test_good_handshakes(server: Server) -> None:
    for headers in ((), (f"Origin: {GOOD_ORIGIN}",), (f"Origin: {GOOD_ORIGIN.upper()}",)):
        client = RawWebSocket(server.port, PATH, headers)
        assert client.head.startswith(b"HTTP/1.1 101")
        client.close()
    client = RawWebSocket(server.port, PATH, ("Sec-WebSocket-Protocol: other, centrifuge-json",))
    assert b"centrifuge-json" in client.head
    client.close()
    status, headers_, _ = talk(server.port, upgrade(), ends=False)
    assert status == 101 and headers_["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@pytest.mark.usefixtures("neighbours")
def test_a_head_in_pieces_of_a_byte(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as client:
        for byte in upgrade():
            client.sendall(bytes([byte]))
        assert client.recv(16).startswith(b"HTTP/1.1 101")


@pytest.mark.usefixtures("neighbours")
def test_a_handshake_that_stalls(server: Server) -> None:
    """The wait is the server's own. Somebody who sends a byte now and then gets no more time."""
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as silent:
        silent.settimeout(PATIENCE)
        status, _, body = talk(server.port, upgrade()[:60])
        assert status == 408 and "http_server.handshake_timeout" in body
        assert silent.recv(16).startswith(b"HTTP/1.1 408")


@pytest.mark.usefixtures("neighbours")
def test_five_hundred_who_open_and_leave(server: Server) -> None:
    for n in range(500):
        client = socket.create_connection(("127.0.0.1", server.port), PATIENCE)
        if n % 2:
            client.sendall(upgrade()[: n % 100])
        client.close()


def test_the_page_of_dev() -> None:
    with Server(dev=True) as server:
        status, headers, body = talk(server.port, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8") and "<html" in body.lower()
        status, _, body = talk(server.port, b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n")
        assert status == 405 and "GET" in body
        client = RawWebSocket(server.port, PATH, ("Origin: https://anybody.example",))
        client.close()


def test_the_internal_port_does_not_serve_sockets_and_the_public_one_no_api() -> None:
    with Server(BASE) as server:
        request = b"POST /api/publish HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}"
        status, _, _ = talk(server.port, request)
        assert status == 404
        status, _, _ = talk(server.internal, upgrade(Connection="close"), ends=False)
        assert status == 404


def test_a_full_server_says_so() -> None:
    with Server(BASE, workers=1, sets=("client.connection_limit=2",)) as server:
        first = [RawWebSocket(server.port, PATH) for _ in range(2)]
        status, headers, body = talk(server.port, b"", ends=False)
        assert status == 503 and headers["retry-after"] and "as many connections as it may" in body
        first.pop().close()

        def room() -> bool:
            try:
                RawWebSocket(server.port, PATH).close()
            except (AssertionError, ConnectionError):
                return False
            return True

        while not room():
            pass
        first.pop().close()
