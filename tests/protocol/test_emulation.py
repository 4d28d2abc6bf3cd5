"""/emulation: commands of SSE and HTTP streaming, over whatever connection they come, and what is none."""

from __future__ import annotations

import json
import socket
import uuid

import pytest
from doors import BYTES, EMULATED, EMULATION, EVERYTHING, JSON, Emulated, Http, ask, enter, request
from serving import Server, wait_for
from speakers import unique

pytestmark = pytest.mark.usefixtures("neighbours")

CONFIG = EVERYTHING
each_stream = pytest.mark.parametrize("door", EMULATED)


def post(server: Server, body: bytes, kind: str = JSON) -> tuple[int, bytes]:
    answer = ask(server.port, "POST", EMULATION, body, {"Content-Type": kind})
    return answer.status, answer.body


@each_stream
def test_any_connection_leads_home(server: Server, door: str) -> None:
    """Connections are dealt to the workers, so that some of these arrive at another one than the stream's."""
    client, _ = enter(server, door)
    channel = unique("open:home-")
    client.result(subscribe={"channel": channel})
    for n in range(24):
        client.uplink = None
        client.result(publish={"channel": channel, "data": n})
        assert client.push()["pub"]["data"] == n
    client.close()


@each_stream
def test_one_connection_carries_many_commands_in_order(server: Server, door: str) -> None:
    client, _ = enter(server, door)
    channel = unique("open:order-")
    client.result(subscribe={"channel": channel})
    up = Http(server.port)
    count = 100
    for n in range(count):
        command = {"id": 100 + n, "publish": {"channel": channel, "data": n}}
        body = client.tongue.uplink(client.session, client.node, client.tongue.pack(command))
        # Many at once, then the answers: HTTP calls it pipelining.
        up.ask("POST", EMULATION, body, {"Content-Type": client.tongue.content_type})
    answers = [up.answer() for _ in range(count)]
    assert all((answer.status, answer.body) == (204, b"") for answer in answers)
    assert [client.push()["pub"]["data"] for _ in range(count)] == list(range(count))
    up.close()
    client.close()


def test_a_stranger_who_knows_neither_session_nor_node(server: Server) -> None:
    client, _ = enter(server, "sse")
    pack = client.tongue.uplink
    data = b'{"id":9,"ping":{}}'
    assert post(server, pack(client.session, client.node, data))[0] == 204
    assert client.reply(9) == {"id": 9, "ping": {}}
    unknown = [
        (str(uuid.uuid4()), client.node),
        (client.session, str(uuid.uuid4())),
        (client.session, ""),
        ("", client.node),
        (client.session[:-1], client.node),
        (client.session + "0", client.node),
        ("x" * 1000, client.node),
        ("\0\r\n", client.node),
    ]
    for session, node in unknown:
        status, body = post(server, pack(session, node, data))
        assert status == 404 and body.strip(), (session, node, status)
    client.result(ping={})
    assert not client.replies, "no stranger's command was done"
    client.close()


@each_stream
def test_the_session_of_a_stream_that_ended(server: Server, door: str) -> None:
    client, _ = enter(server, door)
    client.down.close()
    body = client.tongue.uplink(client.session, client.node, client.tongue.pack({"id": 2, "ping": {}}))
    client.uplink = None
    wait_for(lambda: client.post(body).status == 404, "the end of the session")
    if client.uplink:
        client.uplink.close()


def test_a_websocket_has_no_session_to_be_spoken_for(server: Server) -> None:
    (websocket, hello), (stream, _) = enter(server, "websocket"), enter(server, "sse")
    assert post(server, stream.tongue.uplink(hello["client"], stream.node, b'{"id":9,"ping":{}}'))[0] == 404
    websocket.result(ping={})
    websocket.close()
    stream.close()


BAD_JSON = {
    "nothing": b"",
    "no JSON": b"hello",
    "half": b'{"session":"',
    "a list": b"[]",
    "null": b"null",
    "a number as session": b'{"session":1,"node":"n","data":""}',
    "an object as data": b'{"session":"s","node":"n","data":{}}',
    "no UTF-8": b'{"session":"\xff","node":"n","data":""}',
    "a lone surrogate": b'{"session":"s","node":"n","data":"\\ud800"}',
    "two values": b'{"session":"s","node":"n","data":"{}"} {}',
    "deep": b'{"x":' * 5000 + b"1" + b"}" * 5000,
}


@pytest.mark.parametrize("name", BAD_JSON)
def test_bodies_that_are_no_uplink(server: Server, name: str) -> None:
    status, body = post(server, BAD_JSON[name])
    # What is deep is passed over without a look; then it is a request that names nobody.
    assert status == (404 if name == "deep" else 400) and body.strip(), (status, body)


@pytest.mark.parametrize("body", [b"\xff", b"\x0a\x7fx", b"\x0a", b"\x08\x01", b"\x12\x02\xff\xfe", b"hello"])
def test_bodies_that_are_no_protobuf(server: Server, body: bytes) -> None:
    status, text = post(server, body, BYTES)
    assert status == 400 and text.strip(), (status, text)


COMMANDS = [b"hello", b"", b'{"id":1}\n\n{}', b'{"id":7,"connect":{}}', b"{}", b'{"id":7,"publish":', b"\n"]


@pytest.mark.parametrize("data", COMMANDS)
def test_an_uplink_that_is_no_command_ends_its_stream_only(server: Server, data: bytes) -> None:
    client, _ = enter(server, "http_stream")
    status, _ = post(server, client.tongue.uplink(client.session, client.node, data))
    assert status in (204, 400)
    if status == 204:
        assert client.closed()[0] == 3501
    client.close()


def test_a_body_over_the_limit(server: Server) -> None:
    client, _ = enter(server, "sse")
    channel = unique("open:large-")
    client.result(subscribe={"channel": channel})
    fits = "x" * 60_000
    client.result(publish={"channel": channel, "data": fits})
    assert client.push()["pub"]["data"] == fits
    body = client.tongue.uplink(client.session, client.node, b" " * 65_536)
    assert post(server, body)[0] == 413
    # Told by its head alone, before a byte of it was sent.
    up = Http(server.port)
    up.send(b"POST %s HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000000\r\n\r\n" % EMULATION.encode())
    assert up.answer().status == 413
    assert up.ended() == b""
    up.close()
    client.result(ping={})
    client.close()


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD"])
def test_other_methods(server: Server, method: str) -> None:
    up = Http(server.port)
    up.ask(method, EMULATION)
    status, headers = up.head()
    assert status == 405 and "POST" in headers["allow"]
    up.close()


def test_a_connection_goes_on_after_a_refusal_or_says_that_it_does_not(server: Server) -> None:
    client, _ = enter(server, "sse")
    good = client.tongue.uplink(client.session, client.node, b'{"id":9,"ping":{}}')
    bad = client.tongue.uplink("nobody", client.node, b"{}")
    up = Http(server.port)
    for n, body in enumerate((bad, good, b"hello", good)):
        up.ask("POST", EMULATION, body, {"Content-Type": JSON})
        answer = up.answer()
        assert answer.status == (404, 204, 400, 204)[n]
        if answer.headers.get("connection", "").lower() == "close":
            assert up.ended() == b""
            up.close()
            up = Http(server.port)
    up.close()
    client.close()


def test_a_client_of_http_1_0_gets_its_answer_and_an_end(server: Server) -> None:
    client, _ = enter(server, "sse")
    body = client.tongue.uplink(client.session, client.node, b'{"id":9,"ping":{}}')
    for bytes_ in (
        request("POST", EMULATION, body).replace(b"HTTP/1.1", b"HTTP/1.0"),
        request("POST", EMULATION, body, {"Connection": "close"}),
    ):
        up = Http(server.port)
        up.send(bytes_)
        assert up.answer().status == 204
        assert up.ended() == b""
        up.close()
        assert client.reply(9) == {"id": 9, "ping": {}}
    client.close()


def test_a_flood_of_uplinks_is_told_like_any_other(server: Server) -> None:
    client, _ = enter(server, "http_stream")
    lines = "\n".join(json.dumps({"id": 100 + n, "ping": {}}) for n in range(1400))
    for _ in range(4):
        client.post(client.tongue.uplink(client.session, client.node, lines.encode()))
    assert client.closed() == (3013, "too many requests")
    errors = {answer["error"]["code"] for answer in client.replies.values() if "error" in answer}
    assert errors == {111}
    client.close()


def test_an_uplink_answers_whoever_sent_it_and_nobody_else(server: Server) -> None:
    """Two clients, one connection: each reply goes down the stream of its own session."""
    one, two = (enter(server, door, door)[0] for door in ("sse", "http_stream"))
    up = Http(server.port)
    clients: list[Emulated] = [one, two]
    for n in range(10):
        for client in clients:
            command = client.tongue.pack({"id": 50 + n, "ping": {}})
            up.ask("POST", EMULATION, client.tongue.uplink(client.session, client.node, command), {"Content-Type": JSON})
    assert [up.answer().status for _ in range(20)] == [204] * 20
    for client in clients:
        for n in range(10):
            assert client.reply(50 + n) == {"id": 50 + n, "ping": {}}
        client.close()
    up.close()


def test_a_half_close_behind_a_request(server: Server) -> None:
    """Some clients shut their half as soon as they have said all they will; they are still owed their answers."""
    client, _ = enter(server, "sse")
    body = client.tongue.uplink(client.session, client.node, b'{"id":9,"ping":{}}')
    for count in (1, 3):
        up = Http(server.port)
        # The last bytes and the end of them in one packet.
        up.socket.sendall(request("POST", EMULATION, body) * count, socket.MSG_MORE)
        up.socket.shutdown(socket.SHUT_WR)
        assert [up.answer().status for _ in range(count)] == [204] * count
        assert up.ended() == b""
        up.close()
        for _ in range(count):
            assert client.reply(9) == {"id": 9, "ping": {}}
    client.close()


def test_a_head_answer_has_no_body(server: Server) -> None:
    for path in (EMULATION, "/nothing", "/health"):
        up = Http(server.port)
        up.ask("HEAD", path, None, {"Connection": "close"})
        up.head()
        assert up.ended() == b""
        up.close()
