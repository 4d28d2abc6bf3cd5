"""The ways in that only listen: WebSocket, SSE and HTTP streaming without a library at the other end."""

from __future__ import annotations

import json
import signal
from typing import Any
from urllib.parse import quote

import pytest
from doors import (
    EVERYTHING,
    JSON,
    UNI_SSE,
    UNI_STREAM,
    UNI_WEBSOCKET,
    Downlink,
    ask,
    at_once,
    cut_event,
    cut_line,
    enter,
)
from serving import RawWebSocket, Server, wait_for
from speakers import joined, soon, token, unique

pytestmark = pytest.mark.usefixtures("neighbours")

CONFIG = EVERYTHING
SETS = ("client.ping_interval=2s", "client.pong_timeout=1900ms", "client.stale_close_delay=2s")
WAYS = ("websocket", "websocket-query", "sse", "sse-post", "http_stream")
each_way = pytest.mark.parametrize("way", WAYS)


class Listener:
    """A client that says who it is and then only listens."""

    def __init__(self, server: Server, way: str, connect: dict[str, Any] | bytes):
        first = connect if isinstance(connect, bytes) else json.dumps(connect).encode()
        query = f"?cf_connect={quote(first)}"
        self.web: RawWebSocket | None = None
        self.down: Downlink | None = None
        self.code: tuple[int, str] | None = None
        match way:
            case "websocket":
                self.web = RawWebSocket(server.port, UNI_WEBSOCKET)
                self.web.text(first.decode())
            case "websocket-query":
                self.web = RawWebSocket(server.port, UNI_WEBSOCKET + query)
            case "sse":
                self.down = Downlink(server.port, cut_event, "GET", UNI_SSE + query)
            case "sse-post":
                self.down = Downlink(server.port, cut_event, "POST", UNI_SSE, first, {"Content-Type": JSON})
            case "http_stream":
                self.down = Downlink(server.port, cut_line, "POST", UNI_STREAM, first, {"Content-Type": JSON})

    def message(self) -> dict[str, Any] | None:
        """The next push or ping; None at the end."""
        if self.down:
            message = self.down.message()
            return None if message is None else json.loads(message)
        assert self.web
        frame = self.web.read()
        if frame is None:
            return None
        if frame[0] == 8:
            self.code = int.from_bytes(frame[1][:2]), frame[1][2:].decode()
            return None
        assert frame[0] == 1, frame
        return json.loads(frame[1])

    def push(self, kind: str) -> dict[str, Any]:
        """The next push, which must be of this kind; pings are passed over."""
        while (message := self.message()) == {}:
            pass
        assert message is not None and kind in message, f"{message} came, {kind} was due"
        return message

    def ends(self) -> tuple[int, str]:
        """Reads on to the disconnect push, behind which nothing comes but the end."""
        while (message := self.message()) is not None and "disconnect" not in message:
            pass
        assert message is not None, f"it ended without a disconnect push, {self.code}"
        said = message["disconnect"]["code"], message["disconnect"].get("reason", "")
        assert self.message() is None
        assert self.web is None or self.code == said, self.code
        return said

    def close(self) -> None:
        (self.web or self.down).close()  # type: ignore[union-attr]


@each_way
def test_it_hears_the_channels_it_named(server: Server, way: str) -> None:
    channel, other = unique("open:uni-"), unique("plain:uni-")
    listener = Listener(server, way, {"token": token("listener"), "subs": {channel: {}, other: {}}})
    hello = listener.push("connect")["connect"]
    assert set(hello["subs"]) == {channel, other} and hello["ping"] == 2 and not hello.get("pong")
    assert hello["client"] and hello["session"] and "node" not in hello
    publisher = joined(server, channel, "publisher")
    assert publisher.result(presence_stats={"channel": channel})["num_clients"] == 2
    data = {"text": "grüße\n€\r\n\t", "list": [1, None]}
    publisher.result(publish={"channel": channel, "data": data})
    push = listener.push("pub")
    assert push["channel"] == channel and push["pub"]["data"] == data
    assert "push" not in push and "id" not in push
    publisher.result(publish={"channel": other, "data": "x"})
    assert listener.push("pub")["channel"] == other
    listener.close()
    wait_for(lambda: publisher.result(presence_stats={"channel": channel})["num_clients"] == 1, "the listener's leaving")
    publisher.close()


@each_way
def test_channels_that_it_may_not_hear_are_passed_over(server: Server, way: str) -> None:
    good = unique("open:uni-")
    subs = {good: {}, "closed:1": {}, "nowhere:1": {}, "$private:1": {}, "x" * 300: {}, "": {}}
    listener = Listener(server, way, {"token": token(), "subs": subs})
    assert list(listener.push("connect")["connect"]["subs"]) == [good]
    listener.close()


def test_pings_come_and_need_no_answer(server: Server) -> None:
    def listen(way: str) -> None:
        listener = Listener(server, way, {"token": token()})
        listener.push("connect")
        assert [listener.message() for _ in range(3)] == [{}] * 3
        listener.close()

    at_once(listen, WAYS)


@each_way
def test_what_was_missed_is_recovered(server: Server, way: str) -> None:
    channel = unique("kept:uni-")
    publisher = joined(server, user="publisher")
    listener = Listener(server, way, {"token": token(), "subs": {channel: {}}})
    position = listener.push("connect")["connect"]["subs"][channel]
    listener.close()
    for n in range(3):
        publisher.result(publish={"channel": channel, "data": n})
    since = {"recover": True, "epoch": position["epoch"], "offset": position.get("offset", 0)}
    listener = Listener(server, way, {"token": token(), "subs": {channel: since}})
    again = listener.push("connect")["connect"]["subs"][channel]
    assert again["recovered"] and [item["data"] for item in again["publications"]] == [0, 1, 2]
    publisher.result(publish={"channel": channel, "data": "live"})
    assert listener.push("pub")["pub"]["data"] == "live"
    listener.close()
    publisher.close()


ENDS: dict[str, tuple[dict[str, Any] | bytes, int]] = {
    "a bad token": ({"token": "nonsense"}, 3500),
    "an expired token": ({"token": token(exp=soon(-5))}, 3005),
    "no token": ({}, 3501),
    "no JSON": (b"hello", 3501),
    "a list": (b"[]", 3501),
    "a command instead of its connect": (b'{"id":1,"connect":{"token":"x"}}', 3501),
}


@each_way
@pytest.mark.parametrize("name", ENDS)
def test_what_is_refused_is_told_by_a_push(server: Server, name: str, way: str) -> None:
    connect, code = ENDS[name]
    listener = Listener(server, way, connect)
    if listener.down and listener.down.status != 200:
        assert listener.down.status == 400
    else:
        assert listener.ends()[0] == code
    listener.close()


def test_a_websocket_that_says_nothing_is_stale(server: Server) -> None:
    listener = Listener(server, "websocket-query", b"")
    listener.close()
    web = RawWebSocket(server.port, UNI_WEBSOCKET)
    assert web.closed() == (3502, "stale")
    web.close()


def test_what_a_listener_says_later_changes_nothing(server: Server) -> None:
    channel = unique("open:uni-")
    listener = Listener(server, "websocket", {"token": token(), "subs": {channel: {}}})
    listener.push("connect")
    assert listener.web
    listener.web.text(json.dumps({"id": 1, "publish": {"channel": channel, "data": "forged"}}))
    watcher = joined(server, channel, "watcher")
    watcher.result(publish={"channel": channel, "data": "real"})
    assert watcher.push()["pub"]["data"] == "real"
    watcher.close()
    listener.close()


def test_a_listener_can_be_sent_away(server: Server) -> None:
    with Server(EVERYTHING.replace("[sse]", '[http_api]\nkey = "k"\n\n[sse]')) as own:
        listeners = [Listener(own, way, {"token": token("unwanted")}) for way in WAYS]
        for listener in listeners:
            listener.push("connect")
        body = json.dumps({"user": "unwanted"}).encode()
        answer = ask(own.internal, "POST", "/api/disconnect", body, {"X-API-Key": "k", "Content-Type": JSON})
        assert answer.status == 200 and b"error" not in answer.body, answer
        for listener in listeners:
            assert listener.ends()[0] == 3503
            listener.close()


def test_the_end_of_the_server_is_told(server: Server) -> None:
    with Server(EVERYTHING) as own:
        listeners = [Listener(own, way, {"token": token()}) for way in WAYS]
        streams = [enter(own, door)[0] for door in ("sse", "http_stream", "http_stream-protobuf")]
        for listener in listeners:
            listener.push("connect")
        own.signal(signal.SIGTERM)
        for listener in listeners:
            assert listener.ends() == (3001, "shutdown")
            listener.close()
        for stream in streams:
            assert stream.closed() == (3001, "shutdown")
            stream.close()
        assert own.process and own.process.wait(20) == 0


def test_the_push_before_the_close_may_be_left_out() -> None:
    with Server(EVERYTHING, sets=("uni_websocket.disable_disconnect_push=true",)) as server:
        web = RawWebSocket(server.port, UNI_WEBSOCKET)
        web.text('{"token":"nonsense"}')
        opcode, payload = web.read() or (0, b"")
        assert opcode == 8 and payload[:2] == (3500).to_bytes(2), (opcode, payload)
        web.close()
