"""Who is at the other end: the PROXY protocol, Forwarded, X-Forwarded-For, and how many may come from one place."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import socket
import struct
from collections.abc import Iterator

import pytest
from doors import EVERYTHING, JSON, STREAM, Http, JsonTongue, request
from events import Events, events
from serving import RawWebSocket, Server, wait_for
from speakers import PATH, JsonSocket, Neighbours, token

# The load balancer, and somebody in the same network who is none. Both are this machine.
TRUSTED, STRANGER = "127.0.0.9", "127.0.0.10"
NETWORKS = f'trusted_proxies = ["{TRUSTED}", "10.0.0.0/8", "2001:db8:ffff::/48"]'
CONFIG = EVERYTHING.replace("[client]\n", f"[client]\n{NETWORKS}\n", 1)
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
BODY = JsonTongue.pack({"id": 1, "connect": {"token": token()}})


def text(source: str, port: int = 4711) -> bytes:
    """A header of version 1."""
    six = ":" in source
    return f"PROXY {'TCP6' if six else 'TCP4'} {source} {'::1' if six else '127.0.0.1'} {port} 80\r\n".encode()


def binary(source: str | None, *, command: int = 1, extra: bytes = b"") -> bytes:
    """A header of version 2; without a source the proxy speaks for itself."""
    if source is None:
        return SIGNATURE + b"\x20\x00\0\0"
    address = ipaddress.ip_address(source)
    body = address.packed + ipaddress.ip_address("::1" if address.version == 6 else "127.0.0.1").packed
    body += struct.pack("!HH", 4711, 80) + extra
    return SIGNATURE + bytes([0x20 | command, 0x21 if address.version == 6 else 0x11]) + struct.pack("!H", len(body)) + body


class Behind(Server):
    """A server that knows its clients from PROXY headers only."""

    def healthy(self) -> bool:
        with contextlib.suppress(OSError, AssertionError), contextlib.closing(connection(self, binary(None))) as client:
            client.send(b"GET /health HTTP/1.1\r\nHost: test\r\n\r\n")
            return client.head()[0] == 200
        return False


def connection(server: Server, header: bytes = b"", source: str = TRUSTED) -> Http:
    return Http(server.port, source=source, before=header)


@pytest.fixture(scope="module")
def server(workers: int) -> Iterator[Server]:
    sets = ("http_server.proxy_protocol=true", "http_server.handshake_timeout=1s", "app_link.driver=embedded")
    with Behind(CONFIG, workers=workers, sets=sets) as server:
        yield server


@pytest.fixture(scope="module")
def app(server: Server) -> Iterator[Events]:
    with events(server) as reader:
        yield reader


class Proxied(JsonSocket):
    """A client behind the load balancer."""

    header = text("192.0.2.200")

    def dial(self, port: int) -> socket.socket:
        client = socket.create_connection(("127.0.0.1", port), 5, source_address=(TRUSTED, 0))
        client.sendall(self.header)
        return client


@pytest.fixture
def neighbours(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("speakers.JsonSocket", Proxied)
    neighbours = Neighbours(server)
    yield
    neighbours.check()


def came(client: Http) -> str:
    """Connects over HTTP streaming; the client's id."""
    client.ask("POST", STREAM, BODY, {"Content-Type": JSON})
    assert client.head()[0] == 200
    return json.loads(client.until(b"\n"))["connect"]["client"]


GOOD = {
    "version 1": (text("192.0.2.1"), "192.0.2.1"),
    "version 1 for IPv6": (text("2001:db8::7"), "2001:db8::7"),
    "version 1 unknown": (b"PROXY UNKNOWN\r\n", TRUSTED),
    "version 1 unknown with words": (b"PROXY UNKNOWN ffff:: ffff:: 65535 65535\r\n", TRUSTED),
    "version 2": (binary("192.0.2.2"), "192.0.2.2"),
    "version 2 for IPv6": (binary("2001:db8::8"), "2001:db8::8"),
    "version 2 for itself": (binary(None), TRUSTED),
    "version 2 local with an address": (binary("192.0.2.3", command=0), TRUSTED),
    "version 2 with more to say": (binary("192.0.2.4", extra=b"\x04\0\x03abc"), "192.0.2.4"),
    "version 2, a socket of UNIX": (SIGNATURE + b"\x21\x31" + struct.pack("!H", 216) + bytes(216), TRUSTED),
    "version 2, nobody": (SIGNATURE + b"\x21\x00\0\0", TRUSTED),
    "IPv4 in IPv6": (binary("::ffff:192.0.2.5"), "192.0.2.5"),
}


@pytest.mark.usefixtures("neighbours")
@pytest.mark.parametrize("name", GOOD)
def test_the_application_is_told_the_address(server: Server, app: Events, name: str) -> None:
    header, address = GOOD[name]
    client = connection(server, header)
    assert app.remote(came(client)) == address
    client.close()


@pytest.mark.usefixtures("neighbours")
def test_a_header_in_pieces_of_a_byte(server: Server, app: Events) -> None:
    for header in (text("192.0.2.11"), binary("192.0.2.12")):
        client = connection(server)
        for byte in header + request("POST", STREAM, BODY):
            client.send(bytes([byte]))
        assert client.head()[0] == 200
        number = json.loads(client.until(b"\n"))["connect"]["client"]
        assert app.remote(number) in ("192.0.2.11", "192.0.2.12")
        client.close()


BAD = {
    "none": b"",
    "none, and a WebSocket": b"GET /echo HTTP/1.1\r\n",
    "lower case": b"proxy TCP4 192.0.2.1 127.0.0.1 1 2\r\n",
    "another protocol": b"PROXY TCP5 192.0.2.1 127.0.0.1 1 2\r\n",
    "two blanks": b"PROXY  TCP4 192.0.2.1 127.0.0.1 1 2\r\n",
    "no address": b"PROXY TCP4 nowhere 127.0.0.1 1 2\r\n",
    "IPv6 under IPv4": b"PROXY TCP4 2001:db8::1 ::1 1 2\r\n",
    "an octet of 256": b"PROXY TCP4 192.0.2.256 127.0.0.1 1 2\r\n",
    "a port too large": b"PROXY TCP4 192.0.2.1 127.0.0.1 65536 2\r\n",
    "a port with a zero": b"PROXY TCP4 192.0.2.1 127.0.0.1 01 2\r\n",
    "a port missing": b"PROXY TCP4 192.0.2.1 127.0.0.1 1\r\n",
    "a word too many": b"PROXY TCP4 192.0.2.1 127.0.0.1 1 2 3\r\n",
    "a line feed alone": b"PROXY TCP4 192.0.2.1 127.0.0.1 1 2\n",
    "no end": b"PROXY UNKNOWN " + b"x" * 200,
    "version 3": SIGNATURE + b"\x31\x11\0\x0c" + bytes(12),
    "an unknown command": SIGNATURE + b"\x22\x11\0\x0c" + bytes(12),
    "an unknown family": SIGNATURE + b"\x21\x41\0\x0c" + bytes(12),
    "too short for its addresses": SIGNATURE + b"\x21\x11\0\x0b" + bytes(11),
    "64 KiB to say": SIGNATURE + b"\x21\x11\xff\xff" + bytes(65_535),
    "a broken signature": SIGNATURE[:11] + b"x" + b"\x21\x11\0\x0c" + bytes(12),
    "two headers": text("192.0.2.1") + text("192.0.2.66"),
}


@pytest.mark.usefixtures("neighbours")
@pytest.mark.parametrize("name", BAD)
def test_a_header_that_is_none_ends_the_connection(server: Server, name: str) -> None:
    client = connection(server, BAD[name])
    with contextlib.suppress(ConnectionError):
        client.ask("GET", "/health")
    answer = client.ended()
    assert b" 200 " not in answer and answer.count(b"HTTP/1.1 ") < 2, answer
    client.close()


@pytest.mark.usefixtures("neighbours")
@pytest.mark.parametrize("header", [text("192.0.2.1"), binary("192.0.2.1")], ids=["version 1", "version 2"])
def test_a_stranger_is_not_believed(server: Server, header: bytes) -> None:
    client = connection(server, header, STRANGER)
    with contextlib.suppress(ConnectionError):
        client.ask("GET", "/health")
    answer = client.ended()
    assert b" 200 " not in answer.split(b"\r\n")[0], answer
    client.close()


@pytest.mark.usefixtures("neighbours")
def test_a_header_that_never_ends(server: Server) -> None:
    for part in (b"", b"PROXY TCP4 192.0", SIGNATURE[:7], binary("192.0.2.1")[:-1]):
        client = connection(server, part)
        answer = client.ended()
        assert not answer or answer.startswith(b"HTTP/1.1 408"), answer
        client.close()


def test_a_header_where_none_is_expected_is_refused() -> None:
    """Whoever can reach a port that expects none must not be able to choose an address either."""
    with Server(CONFIG) as server:
        for header in (text("192.0.2.1"), binary("192.0.2.1")):
            client = connection(server, header)
            client.ask("GET", "/health")
            answer = client.ended()
            assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 501")), answer
            client.close()


FORWARDED: dict[str, dict[str, list[tuple[str, str, str]]]] = {
    # Who connects, what the header says, whom the application sees.
    "x-forwarded-for": {
        "X-Forwarded-For": [
            (TRUSTED, "192.0.2.1", "192.0.2.1"),
            (TRUSTED, "192.0.2.1, 10.1.2.3", "192.0.2.1"),
            (TRUSTED, "203.0.113.9, 192.0.2.1", "192.0.2.1"),
            (TRUSTED, "2001:db8::1", "2001:db8::1"),
            (TRUSTED, "192.0.2.1:4711", "192.0.2.1"),
            (TRUSTED, "192.0.2.1, garbage", TRUSTED),
            (TRUSTED, "", TRUSTED),
            (TRUSTED, "10.1.1.1, 10.2.2.2", "10.1.1.1"),
            (STRANGER, "192.0.2.1", STRANGER),
        ],
        "Forwarded": [(TRUSTED, "for=192.0.2.1", TRUSTED)],
    },
    "forwarded": {
        "Forwarded": [
            (TRUSTED, "for=192.0.2.1", "192.0.2.1"),
            (TRUSTED, 'for="[2001:db8::1]:4711";proto=https, for=10.1.2.3', "2001:db8::1"),
            (TRUSTED, "for=203.0.113.9, For=192.0.2.1;by=10.0.0.1", "192.0.2.1"),
            (TRUSTED, "for=192.0.2.1, for=unknown", TRUSTED),
            (TRUSTED, "for=192.0.2.1, for=_hidden", TRUSTED),
            (STRANGER, "for=192.0.2.1", STRANGER),
        ],
        "X-Forwarded-For": [(TRUSTED, "192.0.2.1", TRUSTED)],
    },
    "off": {"X-Forwarded-For": [(TRUSTED, "192.0.2.1", TRUSTED)], "Forwarded": [(TRUSTED, "for=192.0.2.1", TRUSTED)]},
}


@pytest.mark.parametrize("choice", FORWARDED)
def test_what_proxies_write_into_a_header(choice: str) -> None:
    with Server(CONFIG, sets=(f"http_server.forwarded={choice}", "app_link.driver=embedded")) as server, events(server) as app:
        for header, rows in FORWARDED[choice].items():
            for source, says, address in rows:
                client = connection(server, source=source)
                client.ask("POST", STREAM, BODY, {"Content-Type": JSON, header: says})
                assert client.head()[0] == 200
                number = json.loads(client.until(b"\n"))["connect"]["client"]
                assert app.remote(number) == address, (header, source, says)
                client.close()
        # The last header counts as the end of the list; and a WebSocket is told the same way.
        if choice == "x-forwarded-for":
            two = ("X-Forwarded-For: 203.0.113.9", "X-Forwarded-For: 192.0.2.1, 10.9.9.9")
            web = type("Far", (RawWebSocket,), {"dial": lambda _, port: connection(server).socket})(server.port, PATH, two)
            web.text(BODY.decode())
            hello = json.loads((web.read() or (0, b""))[1])
            assert app.remote(hello["connect"]["client"]) == "192.0.2.1"
            web.close()


LIMIT = 3


def refused(server: Server, header: bytes = b"", **headers: str) -> bool:
    """Whether one more connection is told 429; a good one is kept open in `kept`."""
    client = connection(server, header)
    client.ask("POST", STREAM, BODY, {"Content-Type": JSON, **headers})
    status, answered = client.head()
    if status == 429:
        assert int(answered["retry-after"]) > 0
        client.close()
        return True
    assert status == 200
    kept.append(client)
    return False


kept: list[Http] = []


def release() -> None:
    while kept:
        kept.pop().close()


def test_only_so_many_from_one_address() -> None:
    sets = ("http_server.proxy_protocol=true", f"client.connections_per_address={LIMIT}")
    with Behind(CONFIG, sets=sets) as server:
        for header in (text("192.0.2.1"), binary("192.0.2.2"), text("2001:db8:1:2::1")):
            assert [refused(server, header) for _ in range(LIMIT + 2)] == [False] * LIMIT + [True] * 2
        # The same /64 is the same place, the next is another.
        assert refused(server, text("2001:db8:1:2:ffff::1"))
        assert not refused(server, text("2001:db8:1:3::1"))
        # The same address in the other form.
        assert refused(server, binary("::ffff:192.0.2.1"))
        # The balancer itself, and this machine, are not counted.
        assert not any(refused(server, binary(None)) for _ in range(LIMIT * 3))
        release()
        wait_for(lambda: not refused(server, text("192.0.2.1")), "room for one more")
        release()


def test_only_so_many_from_one_address_behind_a_proxy_of_http() -> None:
    sets = ("http_server.forwarded=x-forwarded-for", f"client.connections_per_address={LIMIT}")
    with Server(CONFIG, sets=sets) as server:
        for _ in range(LIMIT):
            assert not refused(server, **{"X-Forwarded-For": "192.0.2.1"})
        assert refused(server, **{"X-Forwarded-For": "192.0.2.1"})
        assert refused(server, **{"X-Forwarded-For": "203.0.113.1, 192.0.2.1"})
        assert not refused(server, **{"X-Forwarded-For": "192.0.2.2"})
        kept.pop(0).close()
        wait_for(lambda: not refused(server, **{"X-Forwarded-For": "192.0.2.1"}), "room for one more")
        release()


def test_kept_connections_of_a_proxy_count_for_whom_each_request_comes() -> None:
    """A proxy sends requests of many clients over one connection: none of them inherits the address of another."""
    sets = ("http_server.forwarded=x-forwarded-for", "app_link.driver=embedded")
    with Server(CONFIG, sets=sets) as server, events(server) as app:
        client = connection(server)
        client.ask("POST", "/emulation", b"{}", {"X-Forwarded-For": "192.0.2.1"})
        assert client.answer().status in (400, 404)
        client.ask("POST", STREAM, BODY, {"X-Forwarded-For": "192.0.2.2"})
        assert client.head()[0] == 200
        number = json.loads(client.until(b"\n"))["connect"]["client"]
        assert app.remote(number) == "192.0.2.2"
        client.close()
