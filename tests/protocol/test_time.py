"""What happens when time passes: pings, silence, tokens that expire. The waits are the server's own deadlines."""

from __future__ import annotations

import select
import time

import pytest
from serving import RawWebSocket, Server, wait_for
from speakers import JsonSocket, joined, soon, token

pytestmark = pytest.mark.usefixtures("neighbours")

# As short as a machine with other work can keep.
SETS = (
    "client.ping_interval=2s",
    "client.pong_timeout=1900ms",
    "client.stale_close_delay=2s",
    "client.expired_close_delay=2s",
)


def test_who_says_nothing_is_stale(server: Server) -> None:
    client = JsonSocket(server.port)
    assert client.closed() == (3502, "stale")
    client.close()


def test_who_was_refused_is_stale_too(server: Server) -> None:
    client = JsonSocket(server.port)
    assert client.error(connect={"token": token(exp=soon(-1))})[0] == 109
    assert client.closed() == (3502, "stale")
    client.close()


def test_who_answers_pings_lives(server: Server) -> None:
    client = JsonSocket(server.port)
    hello = client.login()
    assert (hello["ping"], hello["pong"]) == (2, True)
    while client.pings < 3:
        assert client.step(), client.end
    assert client.result(ping={}) == {}
    client.close()


def test_who_does_not_answer_pings_is_closed_whatever_else_it_says(server: Server) -> None:
    client = JsonSocket(server.port, pongs=False)
    client.login()
    while client.pings == 0:
        assert client.step(), client.end
    client.ask(ping={})
    assert client.closed() == (3012, "no pong")
    assert client.pings == 1
    client.close()


def test_a_pong_counts_once(server: Server) -> None:
    client = JsonSocket(server.port)
    client.login()
    while client.pings == 0:
        assert client.step(), client.end
    client.send({})
    code, reason = client.closed()
    assert (code, "a pong without a ping" in reason) == (3501, True), reason
    client.close()


def test_raw_clients_are_pinged_by_frames(server: Server) -> None:
    client, deaf = RawWebSocket(server.port, "/ws"), RawWebSocket(server.port, "/ws")
    for _ in range(3):
        opcode, payload = client.read() or (0, b"")
        assert opcode == 9
        client.frame(10, payload)
    assert deaf.closed() == (3012, "no pong")
    client.close()
    deaf.close()


def test_a_token_that_runs_out_ends_the_connection(server: Server) -> None:
    client = JsonSocket(server.port)
    end = soon(2)
    assert client.login(exp=end)["ttl"] in (1, 2)
    assert client.closed() == (3005, "connection expired")
    assert time.time() > end + 1.7, "the grace of two seconds was not given"
    client.close()


def test_a_refresh_in_the_grace_keeps_the_connection(server: Server) -> None:
    end = soon(2)
    client = JsonSocket(server.port)
    client.login(exp=end)
    while (left := end - time.time()) > 0:
        if select.select([client.socket], [], [], left)[0]:
            assert client.step(), client.end
    assert client.result(refresh={"token": token(exp=soon(600))})["ttl"] > 500
    pings = client.pings
    while client.pings < pings + 2:
        assert client.step(), client.end
    client.close()


def test_a_refresh_without_an_end_ends_the_waiting(server: Server) -> None:
    client = JsonSocket(server.port)
    client.login(exp=soon(2))
    assert not client.result(refresh={"token": token()}).get("expires")
    while client.pings < 3:
        assert client.step(), client.end
    client.close()


def test_the_channel_hears_who_was_closed(server: Server) -> None:
    watcher, deaf = joined(server, "open:left", "watcher"), joined(server, "open:left", "deaf", pongs=False)
    count = lambda: watcher.result(presence_stats={"channel": "open:left"})["num_clients"]  # noqa: E731
    assert count() == 2
    wait_for(lambda: count() == 1, "the end of the deaf one")
    assert deaf.closed()[0] == 3012
    watcher.close()
    deaf.close()
