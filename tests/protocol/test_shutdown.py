"""The end of the server: clients are told, and it goes with 0."""

from __future__ import annotations

import signal

import pytest
from serving import Lines, RawWebSocket, Server
from speakers import BASE, PATH, joined, token


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_closes_everybody_and_ends_with_0(workers: int, number: signal.Signals) -> None:
    with Server(BASE, workers=workers) as server:
        clients = [joined(server, "open:1", f"u{n}") for n in range(10)]
        fresh, raw = RawWebSocket(server.port, PATH), RawWebSocket(server.port, "/ws")
        lines, raw_lines = Lines(server.tcp_json), Lines(server.tcp_raw)
        lines.command(connect={"token": token()})
        raw_lines.write("x")
        assert raw_lines.read() == "x"
        server.signal(number)
        for client in clients:
            assert client.closed() == (3001, "shutdown")
            client.close()
        for socket in (fresh, raw):
            assert socket.closed() == (3001, "shutdown")
            socket.close()
        assert lines.push()["disconnect"] == {"code": 3001, "reason": "shutdown"}
        assert lines.read() is None and raw_lines.read() is None
        lines.close()
        raw_lines.close()
        assert server.process and server.process.wait(20) == 0
        assert "the server has ended" in server.logged()


def test_those_who_do_not_listen_do_not_hold_it_up() -> None:
    with Server(BASE) as server:
        deaf = joined(server, "open:1")
        stalled = RawWebSocket(server.port, PATH)
        stalled.socket.sendall(b"\x81")
        server.signal(signal.SIGTERM)
        assert server.process and server.process.wait(20) == 0
        assert deaf.closed() == (3001, "shutdown")
        deaf.close()
        stalled.close()


def test_the_port_is_free_at_once() -> None:
    with Server(BASE) as server:
        client = joined(server, "open:1")
        server.signal(signal.SIGTERM)
        assert client.closed() == (3001, "shutdown")
        assert server.process and server.process.wait(20) == 0
        server.start()
        again = joined(server, "open:1")
        again.close()
        client.close()
