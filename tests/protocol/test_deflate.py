"""permessage-deflate on the wire (RFC 7692): what is agreed, what is sent, and streams that lie."""

from __future__ import annotations

import contextlib
import os
import random
import struct
import zlib
from collections.abc import Callable

import pytest
from doors import EVERYTHING, ask, echoing
from serving import RawWebSocket, Server, wait_for
from speakers import PATH, JsonSocket, joined, token, unique

pytestmark = pytest.mark.usefixtures("neighbours")

CONFIG = EVERYTHING
OFFER = "Sec-WebSocket-Extensions: permessage-deflate"
AGREED = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
TAIL = b"\x00\x00\xff\xff"


def deflate(data: bytes, *, level: int = 6, before: bytes = b"") -> bytes:
    """One message as a client without context takeover sends it, or with `before` as what it sent before."""
    stream = zlib.compressobj(level, zlib.DEFLATED, -15, zdict=before)
    return (stream.compress(data) + stream.flush(zlib.Z_SYNC_FLUSH)).removesuffix(TAIL)


def inflate(data: bytes, bits: int = 15) -> bytes:
    """One message as a client with a window of so many bits reads it, with nothing left of the one before."""
    stream = zlib.decompressobj(-bits)
    return stream.decompress(data + TAIL) + stream.flush()


def agreed(client: RawWebSocket) -> str | None:
    """The extension that the handshake's answer names."""
    lines = [line for line in client.head.decode().split("\r\n") if line.lower().startswith("sec-websocket-extensions:")]
    assert len(lines) < 2, lines
    return lines[0].partition(":")[2].strip() if lines else None


class Squeezed(RawWebSocket):
    """Reads frames with their first byte, to tell the compressed ones."""

    def __init__(self, server: Server, path: str = "/echo", offer: str = OFFER):
        super().__init__(server.port, path, (offer,))
        self.bits = 9 if "server_max_window_bits=9" in (agreed(self) or "") else 15

    def whole(self) -> tuple[int, bool, bytes]:
        """Opcode, whether it came compressed, and the message."""
        head = self._take(2)
        assert head is not None, "the server has closed"
        length = head[1]
        if length == 126:
            length = struct.unpack("!H", self._take(2) or b"")[0]
        elif length == 127:
            length = struct.unpack("!Q", self._take(8) or b"")[0]
        payload = (self._take(length) if length else b"") or b""
        assert head[0] & 0xB0 == 0x80, "one whole frame, and no reserved bit but the first"
        squeezed = bool(head[0] & 0x40)
        return head[0] & 0x0F, squeezed, inflate(payload, self.bits) if squeezed else payload


OFFERS: dict[str, tuple[str, str | None]] = {
    "nothing asked": ("permessage-deflate", AGREED),
    "as browsers do": ("permessage-deflate; client_max_window_bits", AGREED),
    "client window": ("permessage-deflate; client_max_window_bits=10", AGREED),
    "no takeover": ("permessage-deflate; server_no_context_takeover; client_no_context_takeover", AGREED),
    "capitals and blanks": ("permessage-deflate ;  client_max_window_bits", AGREED),
    "full window": ("permessage-deflate; server_max_window_bits=15", AGREED),
    "window 9": ("permessage-deflate; server_max_window_bits=9", AGREED),
    "window 12": ("permessage-deflate; server_max_window_bits=12", AGREED),
    "a quoted value": ('permessage-deflate; server_max_window_bits="10"', AGREED),
    "the second offer": ("permessage-deflate; server_max_window_bits=8, permessage-deflate", AGREED),
    "an unknown extension first": ("permessage-bzip2; level=9, permessage-deflate", AGREED),
    "only an unknown extension": ("x-webkit-deflate-frame", None),
    "window 8, which the compressor cannot keep": ("permessage-deflate; server_max_window_bits=8", None),
    "window 16": ("permessage-deflate; server_max_window_bits=16", None),
    "window 010": ("permessage-deflate; server_max_window_bits=010", None),
    "no window": ("permessage-deflate; server_max_window_bits", None),
    "client window 7": ("permessage-deflate; client_max_window_bits=7", None),
    "an unknown parameter": ("permessage-deflate; whatever", None),
    "a parameter twice": ("permessage-deflate; server_no_context_takeover; server_no_context_takeover", None),
    "a value too many": ("permessage-deflate; server_no_context_takeover=true", None),
}


@pytest.mark.parametrize("name", OFFERS)
def test_offers(server: Server, name: str) -> None:
    offer, expected = OFFERS[name]
    client = RawWebSocket(server.port, "/echo", (f"Sec-WebSocket-Extensions: {offer}",))
    answer = agreed(client)
    if expected is None:
        assert answer is None
    else:
        assert answer is not None
        name_, *parameters = [part.strip() for part in answer.split(";")]
        assert name_ == "permessage-deflate"
        assert {"server_no_context_takeover", "client_no_context_takeover"} <= set(parameters)
        windows = [int(p.partition("=")[2]) for p in parameters if p.startswith("server_max_window_bits=")]
        taken = "permessage-deflate" if name == "the second offer" else offer
        asked = next((int(word.strip('"; ')) for word in taken.split("server_max_window_bits=")[1:]), 15)
        assert len(windows) <= 1
        if 8 < asked < 15:
            assert windows and 9 <= windows[0] <= asked, answer
        assert not any(p.startswith("client_max_window_bits") for p in parameters) or "client_max_window_bits" in offer
    client.text("plain still works")
    assert client.read() == (1, b"plain still works")
    client.close()


def test_an_offer_in_two_headers(server: Server) -> None:
    client = echoing(server, "Sec-WebSocket-Extensions: permessage-bzip2", OFFER)
    assert (agreed(client) or "").startswith("permessage-deflate")
    client.close()


@pytest.mark.parametrize("broken", ["permessage-deflate; =9", ";", 'permessage-deflate; server_max_window_bits="9', "a b"])
def test_a_header_that_cannot_be_read(server: Server, broken: str) -> None:
    key = {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version": "13"}
    headers = {"Upgrade": "websocket", "Connection": "Upgrade", **key, "Sec-WebSocket-Extensions": broken}
    answer = ask(server.port, "GET", "/echo", headers=headers)
    assert answer.status == 400 and b"Sec-WebSocket-Extensions" in answer.body, answer


def test_nothing_is_agreed_where_it_is_off() -> None:
    with Server(EVERYTHING, sets=("websocket.compression=false",)) as server:
        for path in ("/echo", PATH):
            client = RawWebSocket(server.port, path, (OFFER,))
            assert agreed(client) is None
            client.frame(1, deflate(b"hello"), rsv=4)
            assert client.closed()[0] == 1002
            client.close()


MESSAGES = {
    "words": (1, b"all work and no play makes jack a dull boy " * 40),
    "binary": (2, bytes(range(256)) * 20),
    "UTF-8": (1, ("grüße €50 \U0001f600 " * 100).encode()),
    "long": (2, random.Random(2).randbytes(30_000) * 10),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_a_compressed_message_comes_back_compressed(server: Server, name: str) -> None:
    opcode, data = MESSAGES[name]
    client = Squeezed(server)
    for level in (1, 9):
        client.frame(opcode, deflate(data, level=level), rsv=4)
        assert client.whole() == (opcode, True, data)
    client.frame(opcode, data)
    assert client.whole() == (opcode, True, data)
    client.close()


def test_short_messages_and_those_that_do_not_shrink_are_sent_as_they_are(server: Server) -> None:
    client = Squeezed(server)
    client.text("a" * 127)
    assert client.whole() == (1, False, b"a" * 127)
    client.text("a" * 128)
    assert client.whole() == (1, True, b"a" * 128)
    noise = os.urandom(5000)
    client.frame(2, deflate(noise), rsv=4)
    assert client.whole() == (2, False, noise)
    client.close()


@pytest.mark.parametrize("bits", range(9, 15))
def test_a_small_window_is_kept_to(server: Server, bits: int) -> None:
    """Letters that come again after 600 of them: who may look back 512 bytes only cannot point to them."""
    client = Squeezed(server, offer=f"{OFFER}; server_max_window_bits={bits}")
    client.bits = bits
    data = bytes(random.Random(bits).choices(b"abcd", k=600)) * 40
    client.frame(2, deflate(data), rsv=4)
    assert client.whole() == (2, True, data)
    client.close()


def test_every_message_stands_alone(server: Server) -> None:
    client = Squeezed(server)
    data = b"the same again and again " * 20
    for _ in range(3):
        client.frame(2, deflate(data), rsv=4)
        # `whole` inflates with an empty window.
        assert client.whole() == (2, True, data)
    client.close()


def test_fragments_and_pings_between_them(server: Server) -> None:
    client = Squeezed(server)
    data = b"fragments " * 1000
    packed = deflate(data)
    client.frame(2, packed[:1], fin=False, rsv=4)
    client.frame(9, b"between")
    client.frame(0, b"", fin=False)
    for n in range(1, len(packed)):
        client.frame(0, packed[n : n + 1], fin=False)
    client.frame(0, b"")
    assert client.whole() == (10, False, b"between")
    assert client.whole() == (2, True, data)
    client.frame(1, b"plain ", fin=False)
    client.frame(0, b"fragments")
    assert client.whole() == (1, False, b"plain fragments")
    client.close()


# RFC 7692, 7.2.3: forms that another compressor may choose.
FORMS = {
    "one block": ("f248cdc9c90700", b"Hello"),
    "a block that is not compressed": ("000500faff48656c6c6f00", b"Hello"),
    "a last block": ("f348cdc9c9070000", b"Hello"),
    "two blocks": ("f248050000 00ffffcac9c90700", b"Hello"),
    "nothing": ("00", b""),
    "an empty last block": ("0300 00", b""),
}


@pytest.mark.parametrize("name", FORMS)
def test_forms_of_the_standard(server: Server, name: str) -> None:
    packed, data = FORMS[name]
    client = Squeezed(server)
    client.frame(1, bytes.fromhex(packed), rsv=4)
    assert client.whole() == (1, False, data)
    client.close()


def fragments_of_a_bomb(client: RawWebSocket) -> None:
    packed = deflate(bytes(8_000_000), level=9)
    for n in range(0, len(packed), 500):
        client.frame(2 if n == 0 else 0, packed[n : n + 500], fin=False, rsv=4 if n == 0 else 0)
    client.frame(0, b"")


def second_fragment(client: RawWebSocket) -> None:
    client.frame(2, deflate(b"x"), fin=False, rsv=4)
    client.frame(0, b"", rsv=4)


Deed = Callable[[RawWebSocket], None]
BAD: dict[str, tuple[Deed, set[int]]] = {
    "a bomb": (lambda c: c.frame(2, deflate(bytes(60_000_000), level=9), rsv=4), {1009}),
    "a bomb below the limit of the size": (lambda c: c.frame(2, deflate(bytes(600_000), level=9), rsv=4), {1009}),
    "a bomb in pieces": (fragments_of_a_bomb, {1009}),
    "more than the limit at an honest ratio": (lambda c: c.frame(2, deflate(random.Random(1).randbytes(30_000) * 40), rsv=4), {1009}),
    "cut off": (lambda c: c.frame(2, deflate(os.urandom(1000))[:500], rsv=4), {1002, 1007}),
    "no deflate at all": (lambda c: c.frame(2, b"\xff" * 100, rsv=4), {1002, 1007}),
    "a distance beyond the start": (lambda c: c.frame(2, deflate(b"from before", before=b"from before"), rsv=4), {1002, 1007}),
    "more behind the last block": (lambda c: c.frame(2, bytes.fromhex("f348cdc9c907000001020304"), rsv=4), {1002, 1007}),
    "text that is not UTF-8": (lambda c: c.frame(1, deflate(b"\xff\xfe" * 100), rsv=4), {1007}),
    "UTF-8 cut off": (lambda c: c.frame(1, deflate("€".encode()[:2]), rsv=4), {1007}),
    "a compressed ping": (lambda c: c.frame(9, deflate(b"ping"), rsv=4), {1002}),
    "a compressed close": (lambda c: c.frame(8, struct.pack("!H", 1000), rsv=4), {1002}),
    "a compressed fragment that is not the first": (second_fragment, {1002}),
    "the second reserved bit": (lambda c: c.frame(2, deflate(b"x"), rsv=6), {1002}),
    "the third reserved bit": (lambda c: c.frame(2, deflate(b"x"), rsv=1), {1002}),
}


@pytest.mark.parametrize("path", [PATH, "/echo"], ids=["json", "echo"])
@pytest.mark.parametrize("name", BAD)
def test_bad_streams(server: Server, name: str, path: str) -> None:
    deed, codes = BAD[name]
    client = RawWebSocket(server.port, path, (OFFER,))
    assert agreed(client)
    deed(client)
    code, reason = client.closed()
    assert code in codes and reason, (code, reason)
    assert client.read() is None
    client.close()


def test_compressed_without_an_agreement(server: Server) -> None:
    client = echoing(server)
    client.frame(1, deflate(b"hello"), rsv=4)
    assert client.closed()[0] == 1002
    client.close()


class SqueezedJson(JsonSocket):
    """A client of the JSON dialect with an offer, that sends all it says compressed."""

    def __init__(self, port: int, bits: int):
        super().__init__(port, (OFFER if bits == 15 else f"{OFFER}; server_max_window_bits={bits}",))
        self.bits = bits
        self.squeezed = 0

    def text(self, text: str) -> None:
        self.frame(1, deflate(text.encode()), rsv=4)

    def read(self) -> tuple[int, bytes]:
        opcode, squeezed, message = Squeezed.whole(self)  # type: ignore[arg-type]
        self.squeezed += squeezed
        return opcode, message


def test_what_inflates_counts_as_what_it_became(server: Server) -> None:
    """A hundred bytes that become 65,000 cost the server as much as 65,000; by number alone 1,000 would pass."""
    client = SqueezedJson(server.port, 15)
    client.login()
    data = deflate(b'{"id":77,"ping":{}' + b" " * 65_000 + b"}", level=9)
    with contextlib.suppress(ConnectionError):
        client.socket.sendall((bytes([0xC1, 0x80 | len(data)]) + bytes(4) + data) * 1500)
    answered = 0
    while (frame := client.read())[0] != 8:
        answered += frame[1].count(b'"id":77')
    assert int.from_bytes(frame[1][:2]) == 3013 and 0 < answered < 500, (frame, answered)
    client.close()


def frames_compressed(server: Server) -> int:
    lines = ask(server.internal, "GET", "/metrics").body.decode().splitlines()
    values = [float(line.rpartition(" ")[2]) for line in lines if line.startswith("jackfield_deflated_frames_total")]
    assert values, "\n".join(lines)
    return int(sum(values))


def test_a_publication_is_compressed_once_for_all_of_one_window(server: Server) -> None:
    channel = unique("open:squeezed-")
    clients: list[JsonSocket] = []
    for n in range(30):
        client = SqueezedJson(server.port, 9 if n % 3 == 0 else 15) if n % 2 else JsonSocket(server.port)
        client.result(connect={"token": token(f"u{n}")})
        client.result(subscribe={"channel": channel})
        clients.append(client)
    publisher = joined(server, user="publisher")
    data = "compress me, compress me, compress me; " * 20
    before, count = frames_compressed(server), 20
    for n in range(count):
        publisher.result(publish={"channel": channel, "data": f"{n} {data}"})
    for client in clients:
        assert [client.push()["pub"]["data"] for _ in range(count)] == [f"{n} {data}" for n in range(count)]
    for client in clients:
        assert getattr(client, "squeezed", count) >= count
        client.close()
    # Two windows, whatever the number of workers and subscribers; replies to the clients are too short to count.
    wait_for(lambda: frames_compressed(server) - before >= 2 * count, "the metric")
    assert frames_compressed(server) - before == 2 * count
    publisher.close()
