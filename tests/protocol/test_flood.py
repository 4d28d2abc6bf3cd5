"""Those who send too much and those who read too little; the others notice nothing."""

from __future__ import annotations

import pytest
from serving import RawWebSocket, Server, collecting, wait_for
from speakers import BASE, PATH, joined, token, unique

pytestmark = pytest.mark.usefixtures("neighbours")

SETS = ("client.queue_max_size=262144",)


def test_a_publish_flood_is_told_then_ended(server: Server) -> None:
    channel = unique("open:flood-")
    client = joined(server)
    # Five frames are 4,000 commands; however the second falls, one second gets more than 1,000 of them.
    try:
        for first in range(1000, 5000, 800):
            commands = ('{"id":%d,"publish":{"channel":"%s","data":1}}' % (first + n, channel) for n in range(800))
            client.text("\n".join(commands))
    except ConnectionError:
        pass
    assert client.closed() == (3013, "too many requests")
    errors = [reply["error"] for reply in client.replies.values() if "error" in reply]
    assert errors and all(error == {"code": 111, "message": "too many requests", "temporary": True} for error in errors)
    # 200 a second, less what the length of their frame weighs.
    assert len([reply for reply in client.replies.values() if "publish" in reply]) >= 190
    client.close()


def test_a_little_too_much_is_an_error_and_the_connection_lives(server: Server) -> None:
    client = joined(server)
    numbers = list(range(100, 500))
    client.text("\n".join('{"id":%d,"ping":{}}' % n for n in numbers))
    replies = [client.reply(n) for n in numbers]
    assert any("error" in reply for reply in replies) and any("ping" in reply for reply in replies)
    wait_for(lambda: "ping" in client.command(ping={}), "the next second")
    client.close()


def test_subscribe_and_unsubscribe_as_fast_as_allowed(server: Server) -> None:
    client = joined(server)
    channel = unique("open:churn-")
    for _ in range(90):
        client.send({"id": 1, "subscribe": {"channel": channel}}, {"id": 2, "unsubscribe": {"channel": channel}})
        assert "subscribe" in client.reply(1) and "unsubscribe" in client.reply(2)
    client.close()


def test_a_ping_flood_is_answered_or_ended_but_hurts_nobody(server: Server) -> None:
    client = joined(server)
    for _ in range(2000):
        client.frame(9, b"x")
    client.result(ping={})
    client.close()


def test_a_slow_reader_is_ended_and_the_others_get_everything(workers: int) -> None:
    """64 KiB at a time to somebody who never reads; the limit of 256 KiB is soon full."""
    channel = unique("open:slow-")
    with Server(BASE, workers=workers, sets=(*SETS, "client.message_rate_limit=0")) as server:
        slow = joined(server, channel, "slow")
        good, publisher = joined(server, channel, "good"), joined(server, user="publisher")
        watcher = joined(server, user="watcher")
        members = lambda: watcher.result(presence_stats={"channel": channel})["num_clients"]  # noqa: E731
        assert members() == 2
        data = "x" * 64_000
        with collecting(good) as frames:
            count = 0
            while members() == 2:
                assert count < 2000, "a slow reader was never ended"
                answer = publisher.command(publish={"channel": channel, "data": data})
                if "publish" in answer:
                    count += 1
            wait_for(lambda: sum(frame.count(b'"offset":') for frame in frames) == count, "every publication")
        try:
            end = slow.closed()
        except (AssertionError, ConnectionError):
            end = (3008, "slow")  # the socket ended without room for last words
        assert end == (3008, "slow")
        for client in (slow, publisher, watcher):
            client.close()


def test_a_stalled_publisher_of_half_a_frame_holds_nobody_up(server: Server) -> None:
    client = RawWebSocket(server.port, PATH)
    client.text('{"id":1,"connect":{"token":"%s"}}' % token())
    assert client.read()
    client.socket.sendall(b"\x81\xfe\xff\xffmask" + b"x" * 30_000)
    other = joined(server)
    assert other.result(ping={}) == {}
    other.close()
    client.close()
