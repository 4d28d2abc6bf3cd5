"""Requests that two parsers could read differently: one answer, the right status, and an end."""

from __future__ import annotations

import pytest
from doors import EMULATION, EVERYTHING, SSE, STREAM, Http, enter, request
from serving import Server

pytestmark = pytest.mark.usefixtures("neighbours")

CONFIG = EVERYTHING
POST = b"POST %s HTTP/1.1\r\n" % EMULATION.encode()
# Rides along behind each shape; whoever read the shape the wrong way would answer it with 200.
RIDER = b"GET /health HTTP/1.1\r\nHost: h\r\n\r\n"

SHAPES: dict[str, tuple[bytes, int]] = {
    "two lengths": (POST + b"Host: h\r\nContent-Length: 0\r\nContent-Length: 36\r\n\r\n", 400),
    "the same length twice": (POST + b"Host: h\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n", 400),
    "a list of lengths": (POST + b"Host: h\r\nContent-Length: 0, 0\r\n\r\n", 400),
    "length and chunks": (POST + b"Host: h\r\nContent-Length: 36\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "chunks and length": (POST + b"Host: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400),
    "two encodings": (POST + b"Host: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", 400),
    "a list of encodings": (POST + b"Host: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400),
    "identity": (POST + b"Host: h\r\nTransfer-Encoding: identity\r\n\r\n", 400),
    "almost chunked": (POST + b"Host: h\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
    "chunked behind a tab": (POST + b"Host: h\r\nTransfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n", 400),
    "chunks in HTTP/1.0": (
        b"POST %s HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" % EMULATION.encode(),
        400,
    ),
    "a blank before the colon": (POST + b"Host: h\r\nContent-Length : 36\r\n\r\n", 400),
    "a plus sign": (POST + b"Host: h\r\nContent-Length: +0\r\n\r\n", 400),
    "a minus sign": (POST + b"Host: h\r\nContent-Length: -1\r\n\r\n", 400),
    "hexadecimal": (POST + b"Host: h\r\nContent-Length: 0x0\r\n\r\n", 400),
    "two numbers": (POST + b"Host: h\r\nContent-Length: 0 0\r\n\r\n", 400),
    "no number": (POST + b"Host: h\r\nContent-Length: \r\n\r\n", 400),
    "a number beyond 64 bits": (POST + b"Host: h\r\nContent-Length: 18446744073709551616\r\n\r\n", 400),
    "bare line feeds": (b"POST %s HTTP/1.1\nHost: h\nContent-Length: 0\n\n" % EMULATION.encode(), 400),
    "one bare line feed": (POST + b"Host: h\nContent-Length: 36\r\n\r\n", 400),
    "a bare carriage return": (POST + b"Host: h\rContent-Length: 36\r\n\r\n", 400),
    "a folded header": (POST + b"Host: h\r\nX: y\r\n Content-Length: 36\r\n\r\n", 400),
    "a header folded by a tab": (POST + b"Host: h\r\nTransfer-Encoding:\r\n\tchunked\r\n\r\n0\r\n\r\n", 400),
    "a first header that is folded": (POST + b" Host: h\r\nContent-Length: 0\r\n\r\n", 400),
    "NUL in a value": (POST + b"Host: h\r\nX: a\x00b\r\nContent-Length: 0\r\n\r\n", 400),
    "NUL in a name": (POST + b"Host: h\r\nContent-Length\x00: 36\r\n\r\n", 400),
    "NUL in the target": (b"POST %s\x00 HTTP/1.1\r\nHost: h\r\n\r\n" % EMULATION.encode(), 400),
    "two hosts": (POST + b"Host: a\r\nHost: b\r\nContent-Length: 0\r\n\r\n", 400),
    "no host": (POST + b"Content-Length: 0\r\n\r\n", 400),
    "a host with a path": (POST + b"Host: a/b\r\nContent-Length: 0\r\n\r\n", 400),
    "another host in the target": (b"POST http://a%s HTTP/1.1\r\nHost: b\r\n\r\n" % EMULATION.encode(), 400),
    "a header without a name": (POST + b"Host: h\r\n: x\r\nContent-Length: 0\r\n\r\n", 400),
    "a header without a colon": (POST + b"Host: h\r\nContent-Length 36\r\n\r\n", 400),
    "a blank in the target": (b"POST /emu lation HTTP/1.1\r\nHost: h\r\n\r\n", 505),
    "HTTP/2.0": (b"POST %s HTTP/2.0\r\nHost: h\r\n\r\n" % EMULATION.encode(), 505),
    "HTTP/1.9": (b"POST %s HTTP/1.9\r\nHost: h\r\n\r\n" % EMULATION.encode(), 505),
    "no version": (b"POST %s\r\nHost: h\r\n\r\n" % EMULATION.encode(), 400),
    "the preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 501),
}

CHUNKS: dict[str, bytes] = {
    "no size": b"\r\n\r\n",
    "a size that is none": b"xyz\r\n\r\n",
    "a plus sign": b"+5\r\nhello\r\n0\r\n\r\n",
    "hexadecimal prefix": b"0x5\r\nhello\r\n0\r\n\r\n",
    "a size of nine digits": b"000000005\r\nhello\r\n0\r\n\r\n",
    "a line feed alone": b"5\nhello\r\n0\r\n\r\n",
    "a line feed alone behind the data": b"5\r\nhello\n0\r\n\r\n",
    "nothing behind the data": b"5\r\nhello0\r\n\r\n",
    "an extension": b"5;a=b\r\nhello\r\n0\r\n\r\n",
    "a trailer": b"0\r\nContent-Length: 5\r\n\r\n",
    "a blank": b"5 \r\nhello\r\n0\r\n\r\n",
    "a negative size": b"-1\r\nhello\r\n0\r\n\r\n",
}


def only_answer(server: Server, data: bytes) -> int:
    """Sends it with the rider behind it; the status of the one answer, behind which the connection ends."""
    client = Http(server.port)
    client.send(data + RIDER)
    answer = client.answer()
    assert answer.body.strip(), "a refusal says why"
    assert answer.headers["connection"].lower() == "close"
    assert client.ended() == b""
    client.close()
    return answer.status


@pytest.mark.parametrize("name", SHAPES)
def test_shapes(server: Server, name: str) -> None:
    data, status = SHAPES[name]
    assert only_answer(server, data) == status


@pytest.mark.parametrize("path", [EMULATION, STREAM])
@pytest.mark.parametrize("name", CHUNKS)
def test_chunks(server: Server, name: str, path: str) -> None:
    head = f"POST {path} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    assert only_answer(server, head + CHUNKS[name]) == 400


def test_chunks_that_are_good(server: Server) -> None:
    client, _ = enter(server, "sse")
    body = client.tongue.uplink(client.session, client.node, b'{"id":9,"ping":{}}')
    head = request("POST", EMULATION, None, {"Transfer-Encoding": "chunked"})
    up = Http(server.port)
    for size in (1, 7, 1000):
        parts = [body[n : n + size] for n in range(0, len(body), size)]
        up.send(head + b"".join(b"%X\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n")
        assert up.answer().status == 204
        assert client.reply(9) == {"id": 9, "ping": {}}
    up.close()
    client.close()


@pytest.mark.parametrize("target", [EMULATION, SSE, "/health", "/"])
def test_a_body_where_none_belongs_is_no_request(server: Server, target: str) -> None:
    """A GET with a body, whose body is a request: it is refused or read, never answered as one."""
    client = Http(server.port)
    client.send(request("GET", target, RIDER, {"Connection": "close"}))
    assert client.ended().count(b"HTTP/1.1 ") == 1
    client.close()


def test_an_upgrade_with_a_body(server: Server) -> None:
    upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    upgrade |= {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
    for headers in ({"Content-Length": "5"}, {"Transfer-Encoding": "chunked"}):
        assert only_answer(server, request("GET", "/connection/websocket", None, {**upgrade, **headers}) + b"0\r\n\r\n") == 400


def test_frames_that_come_with_the_handshake_are_read(server: Server) -> None:
    """The client may not know yet that it may speak; what it says is not lost and no second request."""
    upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    upgrade |= {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
    client = Http(server.port)
    client.send(request("GET", "/echo", None, upgrade) + b"\x81\x82\0\0\0\0hi")
    assert client.head()[0] == 101
    while len(client.buffer) < 4:
        assert client.fill()
    assert client.buffer == b"\x81\x02hi"
    client.close()


def test_the_internal_port_answers_them_once(server: Server) -> None:
    """Chunks next to a length may be read as chunks (RFC 9112, 6.1), if nothing else is read behind them."""
    for data in (
        b"POST /api/info HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /api/info HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nContent-Length: 36\r\n\r\n",
        b"POST /api/info HTTP/1.1\r\nHost: h\r\nX: a\x00b\r\n\r\n",
    ):
        client = Http(server.internal)
        client.send(data + RIDER)
        answers = client.ended()
        assert answers.count(b"HTTP/1.1 ") == 1 and b" 200 " not in answers, answers
        client.close()
