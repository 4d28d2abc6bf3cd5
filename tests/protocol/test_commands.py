"""Commands that make no sense, or may not be: an error with its code, or an end that says why."""

from __future__ import annotations

import json

import pytest
from serving import Lines, Server
from speakers import JsonSocket, joined, token, unique

pytestmark = pytest.mark.usefixtures("neighbours")

ENDS: dict[str, tuple[str, str]] = {
    "no JSON": ("hello", "must be a JSON object"),
    "an empty frame": ("", "empty"),
    "an empty line": ('{"id":9,"ping":{}}\n\n{"id":10,"ping":{}}', "empty"),
    "a list": ("[]", "must be a JSON object"),
    "a number": ("1", "must be a JSON object"),
    "half an object": ('{"id":9,"ping":', "at byte 0"),
    "two objects on a line": ('{"id":9,"ping":{}}{"id":10,"ping":{}}', "only a newline"),
    "a wrong type": ('{"id":"nine","ping":{}}', "at byte 0"),
    "a negative id": ('{"id":-1,"ping":{}}', "at byte 0"),
    "an unknown command": ('{"id":9,"jump":{}}', "find a request in the command with id 9"),
    "an id alone": ('{"id":9}', "find a request in the command with id 9"),
    "id 0": ('{"id":0,"ping":{}}', "an id above 0"),
    "no id": ('{"subscribe":{"channel":"open:1"}}', "an id above 0"),
    "a pong without a ping": ("{}", "a pong without a ping"),
    "a second connect": ('{"id":9,"connect":{"token":"' + token("bob") + '"}}', "the first command must be `connect`"),
    "an empty channel": ('{"id":9,"subscribe":{"channel":""}}', "`channel` must not be empty"),
    "an unknown delta": ('{"id":9,"subscribe":{"channel":"open:1","delta":"mine"}}', "delta"),
    "an empty refresh": ('{"id":9,"refresh":{"token":""}}', "`refresh` needs a token"),
    "data too deep": ('{"id":9,"publish":{"channel":"open:1","data":' + "[" * 200 + "]" * 200 + "}}", ""),
}


@pytest.mark.parametrize("name", ENDS)
def test_what_ends_a_connection(server: Server, name: str) -> None:
    text, words = ENDS[name]
    client = joined(server)
    client.text(text)
    code, reason = client.closed()
    assert (code, reason[:13], words in reason) == (3501, "bad request: ", True), reason
    client.close()


@pytest.mark.parametrize("name", [name for name in ENDS if name not in ("a pong without a ping",)])
def test_the_same_over_tcp_lines(server: Server, name: str) -> None:
    text, words = ENDS[name]
    client = Lines(server.tcp_json)
    assert "connect" in client.command(connect={"token": token()})
    client.write(text)
    end = client.push()["disconnect"]
    assert (end["code"], words in end["reason"]) == (3501, True), end
    assert client.read() is None
    client.close()


def test_a_long_reason_is_cut_between_characters(server: Server) -> None:
    client = joined(server)
    client.text('{"id":"' + "é" * 500 + '"}')
    code, reason = client.closed()
    assert code == 3501 and len(reason.encode()) in range(100, 124)
    client.close()


@pytest.mark.parametrize("request_", [{"subscribe": {"channel": "open:1"}}, {"rpc": {"method": "x"}}, {"ping": {}}], ids=str)
def test_nothing_before_connect(server: Server, request_: dict[str, object]) -> None:
    client = JsonSocket(server.port)
    client.ask(**request_)
    code, reason = client.closed()
    assert (code, "the first command must be `connect`" in reason) == (3501, True), reason
    client.close()


def test_commands_in_the_frame_of_connect_are_done_in_order(server: Server) -> None:
    client = JsonSocket(server.port)
    channel = unique("open:first-frame-")
    client.send(
        {"id": 1, "connect": {"token": token()}},
        {"id": 2, "subscribe": {"channel": channel}},
        {"id": 3, "publish": {"channel": channel, "data": 1}},
    )
    assert "connect" in client.reply(1) and "subscribe" in client.reply(2) and "publish" in client.reply(3)
    assert client.push()["pub"]["data"] == 1
    client.close()


def test_errors_have_their_codes_and_the_connection_lives(server: Server) -> None:
    client = joined(server)
    assert client.error(subscribe={"channel": "nowhere:1"}) == (102, "unknown channel")
    assert client.error(publish={"channel": "nowhere:1", "data": 1}) == (102, "unknown channel")
    assert client.error(subscribe={"channel": "closed:1"}) == (103, "permission denied")
    assert client.error(publish={"channel": "closed:1", "data": 1}) == (103, "permission denied")
    assert client.error(presence={"channel": "closed:1"}) == (103, "permission denied")
    assert client.error(history={"channel": "closed:1"}) == (103, "permission denied")
    assert client.error(subscribe={"channel": "$closed"})[0] in (102, 103)
    assert client.error(presence={"channel": "plain:1"}) == (108, "not available")
    assert client.error(presence_stats={"channel": "plain:1"}) == (108, "not available")
    assert client.error(history={"channel": "plain:1"}) == (108, "not available")
    assert client.error(rpc={"method": "x"}) == (108, "not available")
    assert client.error(sub_refresh={"channel": "open:1", "token": "x"}) == (103, "permission denied")
    for wrong in ("open:" + "x" * 251, "open:a\nb"):
        code, message = client.error(subscribe={"channel": wrong})
        assert (code, "1 to 255 bytes and no control characters" in message) == (107, True), message
    assert client.result(subscribe={"channel": "open:" + "x" * 250})["epoch"]
    assert client.error(history={"channel": "open:1", "limit": -1, "since": {"offset": 1, "epoch": "gone"}}) == (
        112,
        "unrecoverable position",
    )
    client.close()


def test_one_subscription_per_channel_and_eight_channels(server: Server) -> None:
    client = joined(server)
    for n in range(8):
        client.result(subscribe={"channel": f"open:limit-{n}"})
    assert client.error(subscribe={"channel": "open:limit-0"}) == (105, "already subscribed")
    assert client.error(subscribe={"channel": "open:limit-8"}) == (106, "limit exceeded")
    assert client.result(unsubscribe={"channel": "open:limit-0"}) == {}
    assert client.result(unsubscribe={"channel": "open:limit-0"}) == {}
    client.result(subscribe={"channel": "open:limit-8"})
    client.close()


def test_an_anonymous_client_may_not_come(server: Server) -> None:
    client = JsonSocket(server.port)
    client.ask(connect={})
    code, reason = client.closed()
    assert (code, "`connect` needs a token" in reason) == (3501, True), reason
    client.close()


def test_hostile_strings_are_only_strings(server: Server) -> None:
    """Names and data with everything in them come out as they went in, and only where they belong."""
    nasty = "\x00 \u2028 </script> \x1b[31m {x} * ? ' \" \\ %0d%0a \U0001f600"
    client, other = joined(server, user=nasty), joined(server, user="other")
    channel = unique("open:{*}?<b>'\"-é-")
    for one in (client, other):
        one.result(subscribe={"channel": channel})
    client.result(publish={"channel": channel, "data": {"__proto__": nasty, nasty: [nasty]}})
    for one in (client, other):
        push = one.push()
        assert push["channel"] == channel
        assert push["pub"]["data"] == {"__proto__": nasty, nasty: [nasty]}
        assert push["pub"]["info"]["user"] == nasty
    members = client.result(presence={"channel": channel})["presence"]
    assert sorted(member["user"] for member in members.values()) == sorted([nasty, "other"])
    assert other.result(presence={"channel": channel.replace("*", "")})["presence"] == {}
    client.close()
    other.close()


def test_line_breaks_in_json_cannot_forge_a_line(server: Server) -> None:
    channel = unique("open:breaks-")
    lines = Lines(server.tcp_json)
    lines.command(connect={"token": token("lines")})
    assert "subscribe" in lines.command(subscribe={"channel": channel})
    client = joined(server)
    client.text('{"id":50,"publish":{"channel":"' + channel + '","data":{"a":1,\r\n"b":\r[2]}}}'.replace("\n", " "))
    assert client.reply(50) == {"id": 50, "publish": {}}
    raw = lines.read()
    assert raw is not None and json.loads(raw)["push"]["pub"]["data"] == {"a": 1, "b": [2]} and "\r" not in raw
    lines.close()
    client.close()


def test_a_line_that_never_ends(server: Server) -> None:
    lines = Lines(server.tcp_json)
    lines.socket.sendall(b"x" * 65_600)
    end = json.loads(lines.read() or "{}")["push"]["disconnect"]
    assert end["code"] == 1009 and "longer than 65536 bytes" in end["reason"], end
    assert lines.read() is None
    lines.close()
