"""Every way in that goes both ways keeps the same promises: SSE, HTTP streaming, Protobuf over WebSocket and TCP."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest
from doors import (
    BYTES,
    EMULATED,
    EVERYTHING,
    JSON,
    SSE,
    STREAM,
    TWO_WAY,
    Emulated,
    Http,
    JsonTongue,
    ProtobufTongue,
    ask,
    at_once,
    cut_event,
    downlink,
    enter,
    prefixed,
)
from serving import RawWebSocket, Server, wait_for
from speakers import joined, soon, token, unique

pytestmark = pytest.mark.usefixtures("neighbours")

CONFIG = EVERYTHING
SETS = ("client.ping_interval=2s", "client.pong_timeout=1900ms", "client.stale_close_delay=2s")
each_door = pytest.mark.parametrize("door", TWO_WAY)
each_stream = pytest.mark.parametrize("door", EMULATED)


@each_door
def test_the_whole_dialect(server: Server, door: str) -> None:
    channel = unique("open:whole-")
    client, hello = enter(server, door, "ann", name="test", version="1.0")
    # Over TCP the kernel tells who is gone.
    assert (hello["ping"], hello.get("pong", False)) == (2, door != "tcp-protobuf") and len(hello["client"]) == 36
    assert ("session" in hello, "node" in hello) == (door in EMULATED,) * 2
    other = joined(server, channel, "bob")
    client.result(subscribe={"channel": channel})
    assert client.error(subscribe={"channel": channel})[0] == 105
    assert client.error(subscribe={"channel": "nowhere:1"})[0] == 102
    data = {"text": "grüße\n€\t\"'\\", "list": [1, 2.5, None, True, {}]}
    client.result(publish={"channel": channel, "data": data})
    for one in (client, other):
        push = one.push()
        assert push["channel"] == channel and push["pub"]["data"] == data and push["pub"]["info"]["user"] == "ann"
    other.result(publish={"channel": channel, "data": "back"})
    assert client.push()["pub"]["data"] == "back"
    assert client.result(presence_stats={"channel": channel}) == {"num_clients": 2, "num_users": 2}
    people = client.result(presence={"channel": channel})["presence"]
    assert sorted(person["user"] for person in people.values()) == ["ann", "bob"]
    history = client.result(history={"channel": channel, "limit": -1})
    assert [item["data"] for item in history["publications"]] == [data, "back"] and history["offset"] == 2
    assert client.error(rpc={"method": "x", "data": {}})[0] == 108
    client.result(unsubscribe={"channel": channel})
    other.result(publish={"channel": channel, "data": "unheard"})
    assert client.result(presence_stats={"channel": channel}) == {"num_clients": 1, "num_users": 1}
    assert not client.pushes
    client.close()
    other.close()


@each_door
def test_what_was_missed_is_recovered(server: Server, door: str) -> None:
    channel = unique("kept:recover-")
    publisher = joined(server, user="publisher")
    client, _ = enter(server, door)
    first = client.result(subscribe={"channel": channel})
    assert first["recoverable"] and not first.get("offset")
    publisher.result(publish={"channel": channel, "data": "seen"})
    assert client.push()["pub"]["data"] == "seen"
    client.close()
    for n in range(5):
        publisher.result(publish={"channel": channel, "data": n})
    client, _ = enter(server, door)
    since = {"channel": channel, "recover": True, "epoch": first["epoch"], "offset": 1}
    again = client.result(subscribe=since)
    assert again["recovered"] and again["was_recovering"]
    assert [(item["offset"], item["data"]) for item in again["publications"]] == [(n + 2, n) for n in range(5)]
    publisher.result(publish={"channel": channel, "data": "live"})
    assert client.push()["pub"]["data"] == "live"
    client.close()
    client, _ = enter(server, door)
    lost = client.result(subscribe={**since, "epoch": "another"})
    assert lost["was_recovering"] and not lost.get("recovered") and not lost.get("publications")
    client.close()
    publisher.close()


def test_pings_are_asked_for_and_answered(server: Server) -> None:
    def stay(door: str) -> None:
        client, _ = enter(server, door)
        while client.pings < 3:
            assert client.step(), client.end
        assert client.result(ping={}) == {}
        client.close()

    at_once(stay, TWO_WAY)


def test_who_does_not_answer_pings_is_told_why_it_is_closed(server: Server) -> None:
    def be_deaf(door: str) -> None:
        client, _ = enter(server, door)
        client.pongs = False
        while client.pings == 0:
            assert client.step(), client.end
        client.ask(ping={})
        assert client.closed() == (3012, "no pong")
        client.close()

    at_once(be_deaf, (door for door in TWO_WAY if door != "tcp-protobuf"))


@each_stream
def test_commands_with_connect_are_done_in_order(server: Server, door: str) -> None:
    channel = unique("open:first-")
    client = Emulated(
        server,
        door,
        {"id": 1, "connect": {"token": token()}},
        {"id": 2, "subscribe": {"channel": channel}},
        {"id": 3, "publish": {"channel": channel, "data": "first"}},
    )
    hello = client.reply(1)["connect"]
    assert "subscribe" in client.reply(2) and "publish" in client.reply(3)
    assert client.push()["pub"]["data"] == "first"
    client.session, client.node = hello["session"], hello["node"]
    client.send({"id": 4, "presence_stats": {"channel": channel}}, {"id": 5, "unsubscribe": {"channel": channel}})
    assert client.reply(4)["presence_stats"]["num_clients"] == 1 and "unsubscribe" in client.reply(5)
    client.close()


@each_stream
def test_the_head_of_a_stream(server: Server, door: str) -> None:
    tongue = ProtobufTongue if door.endswith("protobuf") else JsonTongue
    down = downlink(door, server.port, tongue.pack({"id": 1, "connect": {"token": token()}}))
    assert down.status == 200
    kind = down.headers["content-type"]
    if door.startswith("sse"):
        assert kind == "text/event-stream; charset=utf-8"
    else:
        assert kind.startswith(BYTES if door.endswith("protobuf") else JSON) or kind.startswith("text/plain")
    assert "no-cache" in down.headers["cache-control"]
    assert down.headers["x-accel-buffering"] == "no"
    assert "content-length" not in down.headers
    while not down.buffer:
        assert down.fill()
    assert not door.startswith("sse") or down.buffer.startswith(b"\r\n")
    assert down.message()
    down.close()


ENDS = {
    "a bad token": ([{"id": 1, "connect": {"token": "nonsense"}}], 3500),
    "no token": ([{"id": 1, "connect": {}}], 3501),
    "no connect first": ([{"id": 1, "subscribe": {"channel": "open:1"}}], 3501),
    "connect twice": ([{"id": n, "connect": {"token": token()}} for n in (1, 2)], 3501),
    "a pong first": ([{}], 3501),
    "nothing asked": ([{"id": 1, "connect": {"token": token()}}, {"id": 2}], 3501),
}


@each_stream
@pytest.mark.parametrize("name", ENDS)
def test_an_end_comes_as_a_push(server: Server, name: str, door: str) -> None:
    commands, code = ENDS[name]
    client = Emulated(server, door, *commands)
    assert client.closed()[0] == code
    client.close()


def test_an_expired_token_is_an_error_and_then_the_stream_is_stale(server: Server) -> None:
    def be_late(door: str) -> None:
        client = Emulated(server, door, {"id": 1, "connect": {"token": token(exp=soon(-5))}})
        assert client.reply(1)["error"]["code"] == 109
        assert client.closed() == (3502, "stale")
        client.close()

    at_once(be_late, EMULATED)


@pytest.mark.parametrize("first", [b"hello", b"{", b'{"id":1,"connect":{}}\n\n{}', b"[]", b"\xff\xfe", b"null"])
@pytest.mark.parametrize("door", ["sse", "sse-post", "http_stream"])
def test_a_first_body_that_is_no_command(server: Server, door: str, first: bytes) -> None:
    down = downlink(door, server.port, first)
    if down.status == 200:
        messages = [JsonTongue.unpack(message) for message in iter(down.message, None)]
        assert messages[-1]["push"]["disconnect"]["code"] == 3501, messages
    else:
        assert down.status == 400
    down.close()


@pytest.mark.parametrize("first", [b"\x05ab", b"\xff" * 12, b"\x02\xff\xff", prefixed(b"\x22\x7f" + b"x"), b"hello"])
def test_a_first_body_that_is_no_protobuf(server: Server, first: bytes) -> None:
    down = downlink("http_stream-protobuf", server.port, first)
    if down.status == 200:
        messages = [ProtobufTongue.unpack(message) for message in iter(down.message, None)]
        assert messages[-1]["push"]["disconnect"]["code"] == 3501, messages
    else:
        assert down.status == 400
    down.close()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("PUT", SSE, 405), ("GET", STREAM, 405), ("DELETE", STREAM, 405), ("GET", SSE, 400), ("GET", SSE + "?cf_connect=", 400)],
)
def test_other_requests(server: Server, method: str, path: str, status: int) -> None:
    answer = ask(server.port, method, path)
    assert answer.status == status and answer.body.strip(), answer


def test_the_doors_are_shut_unless_opened() -> None:
    config = EVERYTHING
    for table in ("sse", "http_stream", "uni_websocket", "uni_sse", "uni_http_stream"):
        config = config.replace(f"[{table}]\nenabled = true\n", "")
    with Server(config) as server:
        for path in (SSE, STREAM, "/emulation", "/connection/uni_sse", "/connection/uni_http_stream"):
            for method in ("GET", "POST"):
                assert ask(server.port, method, path + "?cf_connect={}", b"" if method == "POST" else None).status == 404
        assert RawWebSocket(server.port, "/connection/uni_websocket").head.startswith(b"HTTP/1.1 404")


@each_stream
def test_who_hangs_up_leaves_its_channels(server: Server, door: str) -> None:
    channel = unique("open:gone-")
    client, _ = enter(server, door, "leaver")
    client.result(subscribe={"channel": channel})
    watcher = joined(server, user="watcher")
    assert watcher.result(presence_stats={"channel": channel})["num_clients"] == 1
    client.close()
    wait_for(lambda: watcher.result(presence_stats={"channel": channel})["num_clients"] == 0, "an empty channel")
    watcher.close()


@each_stream
def test_more_bytes_on_the_way_down_change_nothing(server: Server, door: str) -> None:
    """A stream has one request; what else comes on its connection is no command of anybody."""
    channel = unique("open:extra-")
    client, _ = enter(server, door)
    client.result(subscribe={"channel": channel})
    forged = JsonTongue.pack({"id": 99, "publish": {"channel": channel, "data": "forged"}}) + b"\n"
    client.down.send(forged + b"GET /health HTTP/1.1\r\nHost: h\r\n\r\n")
    watcher = joined(server, channel, "watcher")
    watcher.result(publish={"channel": channel, "data": "real"})
    assert watcher.push()["pub"]["data"] == "real"
    watcher.close()
    client.close()


def test_line_breaks_in_data_stay_in_one_message(server: Server) -> None:
    """What an SSE or line client reads is cut at line breaks, so none that a sender chose may reach it."""
    streams = [enter(server, door)[0] for door in ("sse", "http_stream")]
    channel = unique("open:breaks-")
    for client in streams:
        client.result(subscribe={"channel": channel})
    publisher, _ = enter(server, "websocket-protobuf", "publisher")
    # JSON with line breaks between its parts, as only bytes can carry it; then bytes that are no JSON.
    from centrifuge.protocol import client_pb2

    for n, data in enumerate((b'{"a":\n\r\n 1,\r"b"\n\n:2}', b"no JSON\n\ndata: {}\n\n", b"\xff\n\xfe\r\n")):
        command = client_pb2.Command(id=50 + n)
        command.publish.channel, command.publish.data = channel, data
        publisher.frame(2, prefixed(command.SerializeToString()))
        assert "publish" in publisher.reply(50 + n)
    for client in streams:
        assert client.push()["pub"]["data"] == {"a": 1, "b": 2}
        for _ in range(2):
            assert isinstance(client.push()["pub"]["data"], str)
        assert client.result(ping={}) == {}
        client.close()
    publisher.close()


def test_raw_text_cannot_forge_an_event(server: Server) -> None:
    client, _ = enter(server, "sse")
    client.result(subscribe={"channel": "raw:ws"})
    raw = RawWebSocket(server.port, "/ws")
    forged = 'x\r\n\r\ndata: {"push":{"disconnect":{"code":3500}}}\r\r\n\n\u2028'
    # Sent again until it is known that the raw client is in its channel and the other hears it.
    raw.text(forged)
    assert client.push()["pub"]["data"] == forged
    raw.close()
    client.close()


def test_a_request_in_pieces_of_a_byte(server: Server) -> None:
    body = JsonTongue.pack({"id": 1, "connect": {"token": token(), "name": "x"}})
    head = f"POST {STREAM} HTTP/1.1\r\nHost: h\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    client = Http(server.port)
    for byte in head + body:
        client.send(bytes([byte]))
    assert client.head()[0] == 200
    assert json.loads(client.until(b"\n"))["connect"]["client"]
    client.close()
    chunks = b"".join(b"%x\r\n%s\r\n" % (1, body[n : n + 1]) for n in range(len(body))) + b"0\r\n\r\n"
    client = Http(server.port)
    client.send(f"POST {STREAM} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n".encode() + chunks)
    assert client.head()[0] == 200
    assert json.loads(client.until(b"\n"))["connect"]["client"]
    client.close()


def test_many_streams_hear_the_same(server: Server) -> None:
    channel = unique("open:many-")
    clients = [enter(server, EMULATED[n % len(EMULATED)], f"u{n}")[0] for n in range(40)]
    for client in clients:
        client.result(subscribe={"channel": channel})
    publisher = joined(server, user="publisher")
    for n in range(50):
        publisher.result(publish={"channel": channel, "data": n})
    for client in clients:
        assert [client.push()["pub"]["data"] for _ in range(50)] == list(range(50))
        client.close()
    publisher.close()


def test_the_query_is_read_as_it_is_written(server: Server) -> None:
    """Percent signs and plus signs, as `encodeURIComponent` and `URLSearchParams` write them."""
    command = json.dumps({"id": 1, "connect": {"token": token(), "name": "a+b c%d"}})
    for written in (quote(command, safe=""), quote(command, safe="").replace("%20", "+")):
        client = Http(server.port)
        client.ask("GET", f"{SSE}?x=1&cf_connect={written}&y")
        assert client.head()[0] == 200
        while (message := cut_event(client.buffer)) is None:
            assert client.fill()
        assert json.loads(message)["connect"]["client"]
        client.close()
