"""The raw doors: WebSocket texts and TCP lines in one channel, and a JSON client that sees strings."""

from __future__ import annotations

import json

import pytest
from serving import Lines, RawWebSocket, Server
from speakers import joined, unique

pytestmark = pytest.mark.usefixtures("neighbours")


def present(server: Server) -> tuple[RawWebSocket, Lines]:
    """A raw WebSocket and a raw line, both known to be in their channel."""
    websocket, lines = RawWebSocket(server.port, "/ws"), Lines(server.tcp_raw)
    word = unique("ready ")
    lines.write(word)
    while lines.read() != word:
        pass
    word = unique("ready ")
    websocket.text(word)
    while (websocket.read() or (0, b""))[1] != word.encode():
        pass
    while lines.read() != word:
        pass
    return websocket, lines


def test_text_crosses_both_ways_and_json_clients_see_strings(server: Server) -> None:
    websocket, lines = present(server)
    client = joined(server, "raw:ws")
    for speak, word in ((websocket.text, "grüß dich"), (lines.write, 'from "TCP" \\ {}'), (websocket.text, "{}")):
        speak(word)
        assert websocket.read() == (1, word.encode())
        assert lines.read() == word
        assert client.push()["pub"]["data"] == word
    client.result(publish={"channel": "raw:ws", "data": "from \"JSON\"\té"})
    assert websocket.read() == (1, 'from "JSON"\té'.encode())
    assert lines.read() == 'from "JSON"\té'
    client.result(publish={"channel": "raw:ws", "data": {"a": [1, "x"]}})
    assert json.loads((websocket.read() or (0, b""))[1]) == {"a": [1, "x"]}
    assert json.loads(lines.read() or "") == {"a": [1, "x"]}
    for one in (websocket, lines, client):
        one.close()


def test_line_breaks_cannot_forge_a_line(server: Server) -> None:
    websocket, lines = present(server)
    client = joined(server, "raw:ws")
    websocket.text("one\nforged\r\nlines\rhere")
    assert lines.read() == "one forged  lines here"
    assert websocket.read() == (1, b"one\nforged\r\nlines\rhere")
    assert client.push()["pub"]["data"] == "one\nforged\r\nlines\rhere"
    client.result(publish={"channel": "raw:ws", "data": "two\nmore"})
    assert lines.read() == "two more"
    websocket.text("the end")
    assert lines.read() == "the end"
    for one in (websocket, lines, client):
        one.close()


def test_bytes_stay_bytes(server: Server) -> None:
    websocket, lines = present(server)
    client = joined(server, "raw:ws")
    websocket.frame(2, b"\x00\xff\x01")
    assert websocket.read() == (2, b"\x00\xff\x01")
    assert client.push()["pub"]["data"] == "AP8B"
    assert lines.file.readline() == b"\x00\xff\x01\n"
    lines.write(b"\xff\xfe line")
    assert websocket.read() == (2, b"\xff\xfe line")
    assert client.push()["pub"]["data"] == "//4gbGluZQ=="
    for one in (websocket, lines, client):
        one.close()


def test_ping_frames_are_answered(server: Server) -> None:
    websocket = RawWebSocket(server.port, "/ws")
    for payload in (b"", b"x" * 125):
        websocket.frame(9, payload)
        assert websocket.read() == (10, payload)
    websocket.frame(10, b"a pong that nobody asked for is allowed")
    websocket.frame(9, b"alive")
    assert websocket.read() == (10, b"alive")
    websocket.close()


def test_a_json_door_refuses_what_is_no_json(server: Server) -> None:
    for bad in ("hello", "", "{", '{"a":1} x', "[" * 200 + "]" * 200):
        websocket = RawWebSocket(server.port, "/ws-json")
        websocket.text('{"good": 1}')
        assert json.loads((websocket.read() or (0, b""))[1]) == {"good": 1}
        websocket.text(bad)
        code, reason = websocket.closed()
        assert (code, "JSON" in reason) == (3501, True), reason
        websocket.close()


def test_who_sends_too_fast_is_read_more_slowly_and_loses_nothing(server: Server) -> None:
    websocket, lines = present(server)
    # All at once: the whole lines that must wait for the next second are lines still, not one.
    lines.write("\n".join(f"fast {n}" for n in range(350)))
    for n in range(350):
        assert websocket.read() == (1, f"fast {n}".encode())
    websocket.close()
    lines.close()


def test_a_raw_line_that_never_ends(server: Server) -> None:
    lines = Lines(server.tcp_raw)
    lines.socket.sendall(b"x" * 65_600)
    assert lines.read() is None
    lines.close()


def test_the_last_line_before_the_end_counts(server: Server) -> None:
    import socket

    websocket, lines = present(server)
    lines.write("last words")
    lines.socket.shutdown(socket.SHUT_WR)
    assert websocket.read() == (1, b"last words")
    websocket.close()
    lines.close()
