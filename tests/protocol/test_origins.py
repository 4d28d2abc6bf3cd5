"""Pages of other origins, and everything of a request that an answer could repeat."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest
from doors import (
    EMULATION,
    EVERYTHING,
    JSON,
    SSE,
    STREAM,
    UNI_SSE,
    UNI_STREAM,
    UNI_WEBSOCKET,
    Http,
    ask,
    request,
)
from serving import RawWebSocket, Server
from speakers import GOOD_ORIGIN, PATH, token

pytestmark = pytest.mark.usefixtures("neighbours")

CONFIG = EVERYTHING
ASKED = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type, x-a"}
FOREIGN = ["https://evil.example", "null", GOOD_ORIGIN + ".evil", "https://good.example@evil.example", "*", "garbage", ""]
paths = pytest.mark.parametrize("path", [SSE, STREAM, EMULATION, UNI_SSE, UNI_STREAM])


def doings(path: str) -> tuple[str, str, bytes | None]:
    """Method, path and body of a good request."""
    connect = json.dumps({"token": token()})
    command = json.dumps({"id": 1, "connect": {"token": token()}})
    return {
        SSE: ("GET", f"{SSE}?cf_connect={quote(command)}", None),
        STREAM: ("POST", STREAM, command.encode()),
        EMULATION: ("POST", EMULATION, b'{"session":"s","node":"n","data":"{}"}'),
        UNI_SSE: ("GET", f"{UNI_SSE}?cf_connect={quote(connect)}", None),
        UNI_STREAM: ("POST", UNI_STREAM, connect.encode()),
    }[path]


@paths
def test_a_preflight(server: Server, path: str) -> None:
    answer = ask(server.port, "OPTIONS", path, headers={"Origin": GOOD_ORIGIN, **ASKED})
    assert answer.status == 204 and answer.body == b""
    assert answer.headers["access-control-allow-origin"] == GOOD_ORIGIN
    assert answer.headers["access-control-allow-credentials"] == "true"
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert answer.headers["access-control-allow-headers"].lower() == "content-type, x-a"
    assert "origin" in answer.headers["vary"].lower()


@paths
@pytest.mark.parametrize("origin", FOREIGN)
def test_a_foreign_page_is_refused(server: Server, path: str, origin: str) -> None:
    answer = ask(server.port, "OPTIONS", path, headers={"Origin": origin, **ASKED})
    assert answer.status in (204, 403) and "access-control-allow-origin" not in answer.headers
    method, target, body = doings(path)
    answer = ask(server.port, method, target, body, {"Origin": origin, "Content-Type": JSON})
    assert answer.status == 403 and b"allowed_origins" in answer.body, answer
    assert "access-control-allow-origin" not in answer.headers


@paths
def test_an_allowed_page_may_read_the_answer(server: Server, path: str) -> None:
    method, target, body = doings(path)
    client = Http(server.port)
    client.ask(method, target, body, {"Origin": GOOD_ORIGIN, "Content-Type": JSON})
    status, headers = client.head()
    assert status == (404 if path == EMULATION else 200)
    assert headers["access-control-allow-origin"] == GOOD_ORIGIN
    assert headers["access-control-allow-credentials"] == "true"
    client.close()
    # Refusals too, or the page could not tell what went wrong.
    answer = ask(server.port, "POST", path, b"x" * 70_000, {"Origin": GOOD_ORIGIN, "Content-Type": JSON})
    assert answer.status == 413 and answer.headers["access-control-allow-origin"] == GOOD_ORIGIN


@paths
def test_no_page_at_all(server: Server, path: str) -> None:
    method, target, body = doings(path)
    client = Http(server.port)
    client.ask(method, target, body, {"Content-Type": JSON})
    status, headers = client.head()
    assert status == (404 if path == EMULATION else 200)
    assert "access-control-allow-origin" not in headers
    client.close()


def test_a_foreign_page_opens_no_listening_websocket(server: Server) -> None:
    for path in (PATH, UNI_WEBSOCKET, "/echo", "/ws"):
        assert RawWebSocket(server.port, path, ("Origin: https://evil.example",)).head.startswith(b"HTTP/1.1 403")
        client = RawWebSocket(server.port, path, (f"Origin: {GOOD_ORIGIN}",))
        assert client.head.startswith(b"HTTP/1.1 101")
        client.close()


# What would start another header or answer, if it were repeated as it came.
EVIL = ["a\r\nSet-Cookie: x=1", "a\rSet-Cookie: x=1", "a\nSet-Cookie: x=1", "a\0b", "a\x7fb", "\x1b[31m", "a\x0bb", "ä"]


@pytest.mark.parametrize("evil", EVIL, ids=ascii)
@pytest.mark.parametrize(
    "name", ["Origin", "Access-Control-Request-Headers", "Access-Control-Request-Method", "Sec-WebSocket-Protocol", "Host"]
)
def test_no_header_of_a_request_starts_one_of_the_answer(server: Server, name: str, evil: str) -> None:
    """`Http.head` refuses answers with a control character in a line; here nothing of the evil line may come back."""
    upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    upgrade |= {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
    for method, path, headers in (
        ("OPTIONS", EMULATION, {"Origin": GOOD_ORIGIN, **ASKED}),
        ("OPTIONS", SSE, {"Origin": "*", **ASKED}),
        ("GET", PATH, {**upgrade, "Sec-WebSocket-Protocol": "centrifuge-json"}),
        ("POST", EMULATION, {"Origin": GOOD_ORIGIN, "Content-Length": "0"}),
    ):
        client = Http(server.port)
        client.send(request(method, path, None, {**headers, name: evil}))
        _, answered = client.head()
        assert "set-cookie" not in answered, answered
        assert not any(evil in value for value in answered.values()), answered
        client.close()


@pytest.mark.parametrize("evil", ["%0d%0aSet-Cookie:%20x=1", "%00", "%0d%0a%0d%0adata:%20x", "%", "%zz", "%c0%af", "%ed%a0%80"])
def test_no_value_of_a_query_starts_a_header(server: Server, evil: str) -> None:
    for target in (f"{SSE}?cf_connect={evil}", f"{UNI_SSE}?cf_connect={evil}", f"{PATH}?cf_protocol={evil}", f"/nothing{evil}"):
        client = Http(server.port)
        client.ask("GET", target)
        status, headers = client.head()
        assert "set-cookie" not in headers and status in (200, 400, 404, 426)
        client.close()


def test_an_origin_in_capitals_is_the_same(server: Server) -> None:
    answer = ask(server.port, "OPTIONS", EMULATION, headers={"Origin": GOOD_ORIGIN.upper(), **ASKED})
    assert answer.headers["access-control-allow-origin"] == GOOD_ORIGIN.upper()


def test_subprotocols_are_chosen_not_repeated(server: Server) -> None:
    for asked, chosen in (
        ("centrifuge-protobuf", "centrifuge-protobuf"),
        ("centrifuge-json", "centrifuge-json"),
        ("other, centrifuge-protobuf", "centrifuge-protobuf"),
        ("other", None),
    ):
        client = RawWebSocket(server.port, PATH, (f"Sec-WebSocket-Protocol: {asked}",))
        assert client.head.startswith(b"HTTP/1.1 101")
        got = [line.partition(b":")[2].strip().decode() for line in client.head.split(b"\r\n") if b"-Protocol:" in line]
        assert got == ([chosen] if chosen else [])
        client.close()


def test_the_encoding_by_query_and_pings_by_frames(server: Server) -> None:
    from doors import ProtobufTongue, cut_varint

    for query in ("format=protobuf", "cf_protocol=protobuf"):
        client = RawWebSocket(server.port, f"{PATH}?{query}")
        client.frame(2, ProtobufTongue.pack({"id": 1, "connect": {"token": token()}}))
        opcode, payload = client.read() or (0, b"")
        assert opcode == 2 and "connect" in ProtobufTongue.unpack(cut_varint(bytearray(payload)) or b"")
        client.close()


def test_native_pings_on_demand() -> None:
    with Server(EVERYTHING, sets=("client.ping_interval=2s", "client.pong_timeout=1900ms")) as server:
        polite, deaf = (RawWebSocket(server.port, f"{PATH}?cf_ws_frame_ping_pong=true") for _ in range(2))
        for client in (polite, deaf):
            client.text(json.dumps({"id": 1, "connect": {"token": token()}}))
            opcode, payload = client.read() or (0, b"")
            hello = json.loads(payload)["connect"]
            assert opcode == 1 and not hello.get("ping") and not hello.get("pong")
        for _ in range(3):
            opcode, payload = polite.read() or (0, b"")
            assert opcode == 9, (opcode, payload)
            polite.frame(10, payload)
        assert deaf.closed() == (3012, "no pong")
        polite.close()
        deaf.close()
