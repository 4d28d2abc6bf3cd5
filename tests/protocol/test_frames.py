"""Bytes that are no WebSocket frames: a Close frame that names the fault, and nobody else notices."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest
from serving import RawWebSocket, Server
from speakers import PATH, JsonSocket, joined, unique

pytestmark = pytest.mark.usefixtures("neighbours")

Deed = Callable[[RawWebSocket], None]


def storm(client: RawWebSocket) -> None:
    """2,000 empty fragments of one message. The server stops listening somewhere within them."""
    client.frame(1, b"", fin=False)
    try:
        for _ in range(1999):
            client.frame(0, b"", fin=False)
    except ConnectionError:
        pass


def too_big_in_pieces(client: RawWebSocket) -> None:
    client.frame(1, b" " * 40_000, fin=False)
    client.frame(0, b" " * 40_000)


def inside(client: RawWebSocket) -> None:
    client.frame(1, b"{", fin=False)
    client.frame(1, b"{}")


BAD: dict[str, tuple[Deed, int, str]] = {
    "unmasked": (lambda c: c.frame(1, b"{}", masked=False), 1002, "not masked"),
    "reserved bit 1": (lambda c: c.frame(1, b"{}", rsv=4), 1002, "reserved bits"),
    "reserved bit 3": (lambda c: c.frame(1, b"{}", rsv=1), 1002, "reserved bits"),
    "opcode 3": (lambda c: c.frame(3, b"{}"), 1002, "opcode 3 is reserved"),
    "opcode 11": (lambda c: c.frame(11, b""), 1002, "opcode 11 is reserved"),
    "too big": (lambda c: c.frame(1, b" " * 65_537), 1009, "limit of 65536 bytes"),
    "too big by its head alone": (
        lambda c: c.socket.sendall(b"\x81\xff" + struct.pack("!Q", 1 << 40) + b"mask"),
        1009,
        "limit of 65536 bytes",
    ),
    "highest bit of the length": (
        lambda c: c.socket.sendall(b"\x81\xff" + struct.pack("!Q", 1 << 63) + b"mask"),
        1002,
        "highest bit",
    ),
    "length in too many bytes": (
        lambda c: c.socket.sendall(b"\x81\xfe" + struct.pack("!H", 2) + b"mask{}"),
        1002,
        "shortest form",
    ),
    "too big in pieces": (too_big_in_pieces, 1009, "limit of 65536 bytes"),
    "fragment storm": (storm, 1009, "fragments"),
    "continuation of nothing": (lambda c: c.frame(0, b"{}"), 1002, "without a message to continue"),
    "a message in another": (inside, 1002, "inside a fragmented one"),
    "fragmented ping": (lambda c: c.frame(9, b"", fin=False), 1002, "fragmented control frame"),
    "ping of 126 bytes": (lambda c: c.frame(9, b"x" * 126), 1002, "control frame is too long"),
    "close of one byte": (lambda c: c.frame(8, b"x"), 1002, "close payload of 1 byte"),
    "close code 1005": (lambda c: c.frame(8, struct.pack("!H", 1005)), 1002, "close code 1005"),
    "close reason that is not UTF-8": (lambda c: c.frame(8, struct.pack("!H", 1000) + b"\xff"), 1007, "UTF-8"),
    "text that is not UTF-8": (lambda c: c.frame(1, b'{"id":1,"x":"\xff"}'), 1007, "not valid UTF-8"),
    "overlong UTF-8": (lambda c: c.frame(1, b"\xc0\xaf"), 1007, "not valid UTF-8"),
    "a lone surrogate in UTF-8": (lambda c: c.frame(1, b"\xed\xa0\x80"), 1007, "not valid UTF-8"),
}


@pytest.mark.parametrize("path", [PATH, "/ws"], ids=["json", "raw"])
@pytest.mark.parametrize("name", BAD)
def test_bad_frames(server: Server, name: str, path: str) -> None:
    deed, code, text = BAD[name]
    client = RawWebSocket(server.port, path)
    if path == "/ws" and name == "fragment storm":
        client.frame(9, b"are you there")
        assert client.read() == (10, b"are you there")
    deed(client)
    got, reason = client.closed()
    assert (got, text in reason) == (code, True), (got, reason)
    assert client.read() is None
    client.close()


@pytest.mark.parametrize("name", ["unmasked", "too big", "text that is not UTF-8", "fragment storm"])
def test_a_connected_client_is_closed_the_same_way_and_leaves_its_channel(server: Server, name: str) -> None:
    deed, code, text = BAD[name]
    channel = unique("open:bad-")
    client, watcher = joined(server, channel, "bad"), joined(server, channel, "watcher")
    deed(client)
    got, reason = client.closed()
    assert (got, text in reason) == (code, True), (got, reason)
    while watcher.result(presence_stats={"channel": channel})["num_clients"] != 1:
        pass
    client.close()
    watcher.close()


def test_a_close_is_answered_with_its_own_code(server: Server) -> None:
    for payload, code in ((struct.pack("!H", 1000), 1000), (struct.pack("!H", 4321) + b"bye", 4321), (b"", None)):
        client = RawWebSocket(server.port, PATH)
        client.frame(8, payload)
        opcode, answer = client.read() or (0, b"")
        assert opcode == 8
        assert answer == (b"" if code is None else struct.pack("!H", code))
        assert client.read() is None
        client.close()


def test_frames_in_pieces_of_a_byte_are_understood(server: Server) -> None:
    client = joined(server)
    sent: list[bytes] = []
    real, client.socket = client.socket, type("Tap", (), {"sendall": lambda _, data: sent.append(data)})()
    client.text('{"id":77,"ping":{}}')
    client.socket = real
    for byte in b"".join(sent):
        client.socket.sendall(bytes([byte]))
    assert client.reply(77) == {"id": 77, "ping": {}}
    client.close()


def test_a_message_in_fragments_with_pings_between_them(server: Server) -> None:
    client = JsonSocket(server.port)
    client.login()
    client.frame(1, b'{"id":', fin=False)
    client.frame(9, b"between")
    client.frame(0, b'9,"pi', fin=False)
    client.frame(0, b'ng":{}}')
    assert client.read() == (10, b"between")
    assert client.reply(9) == {"id": 9, "ping": {}}
    client.close()
