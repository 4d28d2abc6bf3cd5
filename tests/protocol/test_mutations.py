"""Good conversations with a few bytes changed, over every door: never a panic, never a 500, and nothing is left behind."""

from __future__ import annotations

import contextlib
import json
import random
import socket
import zlib
from urllib.parse import quote

import pytest
from doors import (
    BYTES,
    EMULATION,
    EVERYTHING,
    JSON,
    SSE,
    STREAM,
    UNI_STREAM,
    JsonTongue,
    ProtobufTongue,
    ask,
    enter,
    request,
)
from serving import Server, wait_for
from speakers import PATH, token

pytestmark = pytest.mark.usefixtures("neighbours")

CONFIG = EVERYTHING
ROUNDS = 300
UPGRADE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Extensions": "permessage-deflate; server_max_window_bits=10",
    "Sec-WebSocket-Protocol": "centrifuge-json",
}
COMMANDS = (
    {"id": 1, "connect": {"token": token(), "name": "x", "data": {"a": [1, "€"]}}},
    {"id": 2, "subscribe": {"channel": "open:mutations", "recover": True, "epoch": "x", "offset": 5}},
    {"id": 3, "publish": {"channel": "open:mutations", "data": {"b": None}}},
    {"id": 4, "history": {"channel": "open:mutations", "limit": 5}},
)


def frame(opcode: int, payload: bytes, rsv: int = 0) -> bytes:
    """A frame under a mask of zeros, so that its bytes are those of the payload."""
    length = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + len(payload).to_bytes(2)
    return bytes([0x80 | rsv << 4 | opcode]) + length + b"\0\0\0\0" + payload


def conversations(session: str, node: str) -> dict[str, bytes]:
    """What a good client would send through each door."""
    text, binary = JsonTongue.pack(*COMMANDS), ProtobufTongue.pack(*COMMANDS)
    deflate = zlib.compressobj(6, zlib.DEFLATED, -15)
    packed = (deflate.compress(text) + deflate.flush(zlib.Z_SYNC_FLUSH))[:-4]
    protobuf = UPGRADE | {"Sec-WebSocket-Protocol": "centrifuge-protobuf"}
    connect = json.dumps({"token": token(), "subs": {"open:mutations": {}}}).encode()
    return {
        "websocket": request("GET", PATH, None, UPGRADE) + frame(1, text) + frame(9, b"x") + frame(8, b"\x03\xe8"),
        "deflate": request("GET", PATH, None, UPGRADE) + frame(1, packed, 4) + frame(1, packed, 4),
        "echo": request("GET", "/echo", None, UPGRADE) + frame(2, packed, 4) + frame(1, text),
        "protobuf": request("GET", PATH, None, protobuf) + frame(2, binary),
        "sse": request("GET", f"{SSE}?cf_connect={quote(text)}"),
        "http_stream": request("POST", STREAM, text, {"Content-Type": JSON}),
        "http_stream-protobuf": request("POST", STREAM, binary, {"Content-Type": BYTES}),
        "chunks": request("POST", STREAM, None, {"Transfer-Encoding": "chunked"})
        + b"%x\r\n%s\r\n0\r\n\r\n" % (len(text), text),
        "emulation": request("POST", EMULATION, JsonTongue.uplink(session, node, text), {"Content-Type": JSON}) * 2,
        "emulation-protobuf": request("POST", EMULATION, ProtobufTongue.uplink(session, node, binary), {"Content-Type": BYTES}),
        "uni": request("POST", UNI_STREAM, connect, {"Content-Type": JSON}),
        "preflight": request("OPTIONS", SSE, None, {"Origin": "https://good.example", "Access-Control-Request-Method": "GET"}),
        "tcp-protobuf": binary,
    }


def mutated(good: bytes, dice: random.Random) -> bytes:
    """One to four changes: a byte, a piece cut out, doubled or put in, or the end cut off."""
    data = bytearray(good)
    for _ in range(dice.randint(1, 4)):
        at, length = dice.randrange(len(data)), dice.choice((1, 1, 2, 8, 50))
        match dice.randrange(5):
            case 0:
                data[at] = dice.choice((0, 0x0A, 0x0D, 0x20, 0x7F, 0x80, 0xFF, dice.randrange(256)))
            case 1:
                del data[at : at + length]
            case 2:
                data[at:at] = data[at : at + length]
            case 3:
                data[at:at] = dice.randbytes(length)
            case 4:
                del data[at:]
        if not data:
            break
    return bytes(data)


def say(port: int, data: bytes, dice: random.Random) -> bytes:
    """Sends it, in one piece or two, and reads what comes until the end or for want of more."""
    with contextlib.suppress(ConnectionError), socket.create_connection(("127.0.0.1", port), 5) as client:
        client.settimeout(5)
        middle = dice.randrange(len(data) + 1)
        client.sendall(data[:middle])
        client.sendall(data[middle:])
        # The half close makes the server finish; who is still served then ends by our leaving.
        client.shutdown(socket.SHUT_WR)
        answer = b""
        with contextlib.suppress(TimeoutError):
            while chunk := client.recv(65536):
                answer += chunk
        return answer
    return b""


@pytest.mark.parametrize("door", conversations("", ""))
def test_mutations(server: Server, door: str) -> None:
    stream, hello = enter(server, "sse")
    good = conversations(hello["session"], hello["node"])[door]
    port = server.tcp_json if door == "tcp-protobuf" else server.port
    dice = random.Random(f"{door} of Jackfield")
    assert say(port, good, dice), "the good conversation is answered"
    for _ in range(ROUNDS):
        data = mutated(good, dice)
        answer = say(port, data, dice)
        assert b"HTTP/1.1 500" not in answer, (data, answer)
    stream.close()
    assert "panicked" not in server.logged()


def test_nothing_is_left_behind(server: Server) -> None:
    """After all of these there are no connections but the neighbours'."""

    def gauge(name: str) -> float:
        lines = ask(server.internal, "GET", "/metrics").body.decode().splitlines()
        return float(next(line.split()[-1] for line in lines if line.startswith(f"{name} ")))

    wait_for(lambda: gauge("jackfield_connections") == 4, "the neighbours alone")
