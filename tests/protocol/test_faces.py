"""One port with many faces, and the dialects of plain TCP."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest
from doors import EVERYTHING, JSON, Http, ProtobufTongue, ask, at_once, cut_varint, enter, prefixed, request
from serving import Lines, RawWebSocket, Server, free_port, wait_for
from speakers import joined, token, unique

pytestmark = pytest.mark.usefixtures("neighbours")

ECHO_LINES, ECHO_VARINT, IDLE, RAW_VARINT = (free_port() for _ in range(4))
CONFIG = (
    EVERYTHING
    + f"""
[http_api]
key = "the-key"

[[tcp]]
name = "public"
on_public_port = true
dialect = "centrifugo-json"

[[tcp]]
name = "echo-lines"
address = "127.0.0.1"
port = {ECHO_LINES}
dialect = "echo"

[[tcp]]
name = "echo-varint"
address = "127.0.0.1"
port = {ECHO_VARINT}
framing = "varint"
dialect = "echo"

[[tcp]]
name = "idle"
address = "127.0.0.1"
port = {IDLE}
dialect = "echo"
idle_timeout = "1s"

[[tcp]]
name = "raw-varint"
address = "127.0.0.1"
port = {RAW_VARINT}
framing = "varint"
dialect = "raw"
channel = "raw:ws"
publish_to = "channel"
"""
)
SETS = ("http_server.api_on_public_port=true", "http_server.handshake_timeout=1s")


def test_all_faces_of_the_public_port_hear_each_other(server: Server) -> None:
    channel = unique("open:faces-")
    lines = Lines(server.port)
    assert "connect" in lines.command(connect={"token": token("lines")})
    assert "subscribe" in lines.command(subscribe={"channel": channel})
    others = [enter(server, door, door)[0] for door in ("websocket", "websocket-protobuf", "sse", "http_stream")]
    for other in others:
        other.result(subscribe={"channel": channel})
    assert "publish" in lines.command(publish={"channel": channel, "data": "from lines"})
    for one in (lines, *others):
        assert one.push()["pub"]["data"] == "from lines"
    body = json.dumps({"channel": channel, "data": "from the API"}).encode()
    answer = ask(server.port, "POST", "/api/publish", body, {"X-API-Key": "the-key", "Content-Type": JSON})
    assert answer.status == 200 and "result" in json.loads(answer.body)
    for one in (lines, *others):
        assert one.push()["pub"]["data"] == "from the API"
        one.close()
    assert ask(server.port, "GET", "/health").status == 200


def test_lines_in_pieces_of_a_byte(server: Server) -> None:
    lines = Lines(server.port)
    for byte in json.dumps({"id": 1, "connect": {"token": token()}}).encode() + b"\n":
        lines.socket.sendall(bytes([byte]))
    assert "connect" in json.loads(lines.read() or "")
    lines.close()


@pytest.mark.parametrize("first", [b"\n", b"hello\n", b"\x00\x00\x00\n", b"GETTING\n", b"\x16\x03\x01 no TLS\n", b"PROXY \n"])
def test_first_bytes_that_are_neither(server: Server, first: bytes) -> None:
    """They are lines, though none of the dialect: an end in the words of one of the faces."""
    client = Http(server.port)
    client.send(first)
    answer = client.ended()
    assert b"3501" in answer or answer.startswith(b"HTTP/1.1 400") or answer[:1] == b"\x15" or answer == b"", answer
    client.close()


def test_who_shows_no_face(server: Server) -> None:
    def hide(part: bytes) -> None:
        client = Http(server.port)
        client.send(part)
        answer = client.ended()
        assert not answer or answer.startswith(b"HTTP/1.1 408") or b"350" in answer, answer
        client.close()

    at_once(hide, (b"", b"GE", b"P"))


def test_the_api_on_the_public_port_wants_its_key(server: Server) -> None:
    for path, method in (("/api/info", "POST"), ("/metrics", "GET")):
        body = b"{}" if method == "POST" else None
        for headers in ({}, {"X-API-Key": "wrong"}, {"X-API-Key": ""}, {"Authorization": "apikey wrong"}):
            answer = ask(server.port, method, path, body, {**headers, "Content-Type": JSON})
            assert answer.status == 401 and b"nodes" not in answer.body, (path, headers, answer)
        good = {"X-API-Key": "the-key", "Content-Type": JSON}
        client = Http(server.port)
        client.ask(method, path, body, {**good, "Connection": "close"})
        assert client.head()[0] == 200
        client.close()
    assert ask(server.internal, "GET", "/metrics").status == 200


def test_large_requests_to_the_api(server: Server) -> None:
    channel = unique("plain:large-")
    listener = joined(server, channel)
    headers = {"X-API-Key": "the-key", "Content-Type": JSON}
    for n in range(5):
        data = str(n) * 50_000
        body = json.dumps({"channel": channel, "data": data}).encode()
        answer = ask(server.port, "POST", "/api/publish", body, headers)
        # The next request might be the data plane's, so it comes on another connection.
        assert answer.status == 200 and answer.headers["connection"].lower() == "close"
        assert listener.push()["pub"]["data"] == data
    # The head and each byte of the body in pieces: the part that was read before the handing over is not lost.
    client = Http(server.port)
    body = json.dumps({"channel": channel, "data": "slow"}).encode()
    whole = b"POST /api/publish HTTP/1.1\r\nHost: h\r\nX-API-Key: the-key\r\nContent-Type: application/json\r\n"
    for byte in whole + b"Content-Length: %d\r\n\r\n" % len(body) + body:
        client.send(bytes([byte]))
    assert client.answer().status == 200
    assert listener.push()["pub"]["data"] == "slow"
    client.close()
    listener.close()


def test_an_uplink_and_an_api_request_on_one_connection(server: Server) -> None:
    """Both in one write: the first answer is not lost when the connection changes hands."""
    stream, _ = enter(server, "sse")
    uplink = stream.tongue.uplink(stream.session, stream.node, b'{"id":9,"ping":{}}')
    headers = {"X-API-Key": "the-key", "Content-Type": JSON}
    client = Http(server.port)
    client.send(request("POST", "/emulation", uplink) * 3 + request("POST", "/api/info", b"{}", headers))
    answers = [client.answer() for _ in range(4)]
    assert [answer.status for answer in answers] == [204, 204, 204, 200] and b"nodes" in answers[-1].body
    client.close()
    for _ in range(3):
        assert stream.reply(9) == {"id": 9, "ping": {}}
    stream.close()


def test_an_api_body_over_its_limit(server: Server) -> None:
    client = Http(server.port)
    headers = {"X-API-Key": "the-key", "Content-Type": JSON, "Content-Length": str(1 << 40)}
    client.ask("POST", "/api/publish", None, headers)
    assert client.head()[0] == 413
    client.close()


def test_an_api_request_that_stops_in_the_middle(server: Server) -> None:
    client = Http(server.port)
    headers = {"X-API-Key": "the-key", "Content-Type": JSON, "Content-Length": "1000"}
    client.ask("POST", "/api/publish", None, headers)
    client.send(b'{"channel":')
    client.socket.shutdown(1)
    assert b" 200 " not in client.ended()
    client.close()


def test_the_pages_of_the_api_are_not_there_unless_asked_for() -> None:
    with Server(EVERYTHING + '\n[http_api]\nkey = "the-key"\n') as server:
        headers = {"X-API-Key": "the-key", "Content-Type": JSON}
        assert ask(server.port, "POST", "/api/info", b"{}", headers).status == 404
        assert ask(server.port, "GET", "/metrics", None, headers).status == 404


# Echo.


def test_echo_of_lines(server: Server) -> None:
    lines = Lines(ECHO_LINES)
    for line in ("hello", "", "grüße", "x" * 60_000):
        lines.write(line)
        assert lines.read() == line
    lines.write(b"\xff\xfe\x00")
    assert lines.file.readline() == b"\xff\xfe\x00\n"
    lines.close()


@pytest.fixture
def varints(server: Server) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", ECHO_VARINT), 5) as client:
        client.settimeout(30)
        yield client


def read_varint(client: socket.socket, buffer: bytearray) -> bytes | None:
    while (message := cut_varint(buffer)) is None:
        chunk = client.recv(65536)
        if not chunk:
            return None
        buffer += chunk
    return message


def test_echo_of_varints(varints: socket.socket) -> None:
    messages = [b"hello", b"", b"\n\x00\xff", b"x" * 127, b"x" * 128, bytes(60_000)]
    buffer = bytearray()
    varints.sendall(b"".join(prefixed(message) for message in messages))
    assert [read_varint(varints, buffer) for _ in messages] == messages
    for byte in prefixed(b"y" * 200):
        varints.sendall(bytes([byte]))
    assert read_varint(varints, buffer) == b"y" * 200


LENGTHS = {
    "over the limit": b"\x81\x80\x04",
    "four gigabytes": b"\xff\xff\xff\xff\x0f",
    "beyond 32 bits": b"\xff\xff\xff\xff\x7f",
    "more than five bytes": b"\x80\x80\x80\x80\x80\x01",
    "not the shortest": b"\x81\x00x",
}


@pytest.mark.parametrize("name", LENGTHS)
def test_lengths_that_are_none(server: Server, varints: socket.socket, name: str) -> None:
    varints.sendall(prefixed(b"first") + LENGTHS[name])
    buffer = bytearray()
    assert read_varint(varints, buffer) == b"first"
    assert read_varint(varints, buffer) is None and not buffer
    client, _ = enter(server, "tcp-protobuf")
    client.socket.sendall(LENGTHS[name])
    assert client.closed()[0] in (1002, 1009)
    client.close()


def test_echo_over_websocket_keeps_the_kind(server: Server) -> None:
    client = RawWebSocket(server.port, "/echo")
    for opcode, data in ((1, "grüße".encode()), (2, b"\x00\xff"), (1, b""), (2, b""), (2, bytes(1_000_000))):
        client.frame(opcode, data)
        assert client.read() == (opcode, data)
    client.frame(2, b"x" * 1_048_577)
    assert client.closed()[0] == 1009
    client.close()


def test_echo_holds_back_who_does_not_read(server: Server) -> None:
    """What is not read is not echoed for ever: memory is bounded, and the one who reads late gets all of it."""
    client = socket.create_connection(("127.0.0.1", ECHO_LINES), 5)
    client.settimeout(0.5)
    line, sent = b"x" * 999 + b"\n", 0
    try:
        while sent < 64 * 1024 * 1024:
            sent += client.send(line * 64)
    except TimeoutError:
        pass
    except ConnectionError:
        return
    assert sent < 64 * 1024 * 1024, "the server takes everything and is never read from"
    client.close()


# Protobuf.


BROKEN = {
    "garbage": prefixed(b"\xff\xff\xff\xff"),
    "a field cut off": prefixed(b"\x22\x7fx"),
    "a wrong kind": prefixed(b"\x20\x01"),
    "a string that is not UTF-8": prefixed(b"\x08\x05\x2a\x04\x0a\x02\xff\xfe"),
    "field number 0": prefixed(b"\x00\x01"),
    "groups": prefixed(b"\x0b" * 100),
    "an id and nothing else": prefixed(b"\x08\x05"),
}


@pytest.mark.parametrize("door", ["tcp-protobuf", "websocket-protobuf", "http_stream-protobuf"])
@pytest.mark.parametrize("name", BROKEN)
def test_broken_protobuf(server: Server, name: str, door: str) -> None:
    client, _ = enter(server, door)
    if door == "tcp-protobuf":
        client.socket.sendall(BROKEN[name])
    elif door == "websocket-protobuf":
        client.frame(2, BROKEN[name])
    else:
        client.post(client.tongue.uplink(client.session, client.node, BROKEN[name]))
    assert client.closed()[0] == 3501
    client.close()


def test_unknown_fields_are_passed_over(server: Server) -> None:
    client, _ = enter(server, "tcp-protobuf")
    ping = cut_varint(bytearray(ProtobufTongue.pack({"id": 9, "ping": {}}))) or b""
    unknown = b"\xc2\x3e\x03abc" + b"\xc8\x3e\x05" + b"\xcd\x3e\0\0\0\0" + b"\xc9\x3e" + bytes(8)
    client.socket.sendall(prefixed(unknown + ping + unknown))
    assert client.reply(9) == {"id": 9, "ping": {}}
    client.close()


def test_bytes_of_any_kind_cross_between_protobuf_clients(server: Server) -> None:
    channel = unique("open:bytes-")
    clients = [enter(server, door)[0] for door in ("tcp-protobuf", "websocket-protobuf", "http_stream-protobuf")]
    web = enter(server, "websocket")[0]
    for client in (*clients, web):
        client.result(subscribe={"channel": channel})
    from centrifuge.protocol import client_pb2

    for data in (b"\x00\xff\xfe", b"{ }", b"no JSON", bytes(range(256)) * 50, b"\n\n"):
        command = client_pb2.Command(id=77)
        command.publish.channel, command.publish.data = channel, data
        clients[0].socket.sendall(prefixed(command.SerializeToString()))
        assert "publish" in clients[0].reply(77)
        heard = [client.push()["pub"].get("data") for client in clients]
        expected = {} if data == b"{ }" else data
        assert heard == [expected] * 3
        assert web.push()["pub"]["data"] is not None
    for client in (*clients, web):
        client.close()


def test_an_idle_client_is_closed_and_a_busy_one_is_not(server: Server) -> None:
    idle, busy = Lines(IDLE), Lines(IDLE)
    idle.write("once")
    assert idle.read() == "once"
    rounds = 0
    idle.socket.settimeout(0.05)
    while True:
        busy.write(f"busy {rounds}")
        assert busy.read() == f"busy {rounds}"
        rounds += 1
        try:
            if idle.socket.recv(1) == b"":
                break
        except TimeoutError:
            assert rounds < 600, "the idle one is never closed"
    busy.write("still here")
    assert busy.read() == "still here"
    # Who never said a word, too.
    silent = Lines(IDLE)
    wait_for(lambda: silent.read() is None, "the end of the silent one")
    for one in (idle, busy, silent):
        one.close()


def test_a_varint_client_that_leaves_in_the_middle(server: Server) -> None:
    channel = unique("open:middle-")
    client, _ = enter(server, "tcp-protobuf", "leaver")
    client.result(subscribe={"channel": channel})
    watcher = joined(server, channel, "watcher")
    client.socket.sendall(ProtobufTongue.pack({"id": 5, "publish": {"channel": channel, "data": "half"}})[:-3])
    client.close()
    wait_for(lambda: watcher.result(presence_stats={"channel": channel})["num_clients"] == 1, "the leaver's end")
    assert not watcher.pushes, "half a message is none"
    watcher.close()


def test_raw_over_varints(server: Server) -> None:
    client = socket.create_connection(("127.0.0.1", RAW_VARINT), 5)
    client.settimeout(30)
    buffer = bytearray()
    raw = RawWebSocket(server.port, "/ws")
    word = unique("varint ").encode()
    client.sendall(prefixed(word))
    while read_varint(client, buffer) != word:
        pass
    raw.text("line one\nline two")
    while (message := read_varint(client, buffer)) != b"line one\nline two":
        assert message is not None
    client.close()
    raw.close()
