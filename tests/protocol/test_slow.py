"""Those who send slowly, stop in the middle or never read: told at the deadline, and nobody else waits for them."""

from __future__ import annotations

import select

import pytest
from doors import EMULATION, EVERYTHING, JSON, SSE, STREAM, UNI_STREAM, Http, JsonTongue, at_once, downlink, enter, request
from serving import RawWebSocket, Server, wait_for
from speakers import joined, token, unique

pytestmark = pytest.mark.usefixtures("neighbours")

CONFIG = EVERYTHING
SETS = ("http_server.handshake_timeout=1s", "client.queue_max_size=262144", "client.message_rate_limit=0")
BODY = JsonTongue.pack({"id": 1, "connect": {"token": token()}})


def drip(client: Http, data: bytes) -> None:
    """Sends a byte now and then, until the server has answered or hung up."""
    for byte in data:
        if select.select([client.socket], [], [], 0.03)[0]:
            return
        try:
            client.send(bytes([byte]))
        except ConnectionError:
            return
    raise AssertionError("the server listens for as long as somebody drips")


def test_a_head_that_drips(server: Server) -> None:
    client = Http(server.port)
    drip(client, b"GET / HTTP/1.1\r\nHost: h\r\nX-Long: " + b"x" * 1000)
    assert client.answer().status == 408
    assert client.ended() == b""
    client.close()


def test_a_body_that_drips(server: Server) -> None:
    def be_slow(path: str) -> None:
        client = Http(server.port)
        client.send(request("POST", path, None, {"Content-Length": "1000", "Content-Type": JSON}))
        drip(client, b'{"id":1,' + b" " * 900)
        answer = client.answer()
        assert answer.status == 408 and answer.headers["connection"].lower() == "close", answer
        assert client.ended() == b""
        client.close()

    at_once(be_slow, (EMULATION, STREAM, UNI_STREAM, SSE))


def test_chunks_that_drip(server: Server) -> None:
    client = Http(server.port)
    client.send(request("POST", EMULATION, None, {"Transfer-Encoding": "chunked"}))
    drip(client, b"1\r\n{\r\n" * 500)
    assert client.answer().status == 408
    client.close()


def test_silence(server: Server) -> None:
    """After nothing, within a method, within a head, within a body."""
    head = request("POST", STREAM, None, {"Content-Length": str(len(BODY))})

    def fall_silent(sent: bytes) -> None:
        client = Http(server.port)
        client.send(sent)
        assert client.ended().startswith(b"HTTP/1.1 408")
        client.close()

    at_once(fall_silent, (b"", b"G", b"POST /", head[:-2], head, head + BODY[:5]))


@pytest.mark.parametrize("path", [EMULATION, STREAM, SSE, UNI_STREAM])
@pytest.mark.parametrize("part", [0, 5, len(BODY) - 1])
def test_a_body_cut_off(server: Server, path: str, part: int) -> None:
    """The half that came is no message of anybody."""
    client = Http(server.port)
    client.send(request("POST", path, None, {"Content-Length": str(len(BODY))}) + BODY[:part])
    client.socket.shutdown(1)
    answer = client.ended()
    assert not answer or answer.startswith(b"HTTP/1.1 400") or answer.startswith(b"HTTP/1.1 408"), answer
    client.close()


@pytest.mark.parametrize("path", [STREAM, SSE, UNI_STREAM])
def test_a_body_over_the_limit(server: Server, path: str) -> None:
    for head, body in (
        ({"Content-Length": "65537"}, b""),
        ({"Content-Length": "99999999999999999999"}, b""),
        ({"Transfer-Encoding": "chunked"}, b"10001\r\n"),
        ({"Transfer-Encoding": "chunked"}, (b"4000\r\n" + b"x" * 0x4000 + b"\r\n") * 4 + b"1\r\n"),
        ({"Transfer-Encoding": "chunked"}, b"1\r\nx\r\n" * 5000),
    ):
        client = Http(server.port)
        client.send(request("POST", path, None, head) + body)
        answer = client.answer()
        assert answer.status == (400 if "999999" in head.get("Content-Length", "") else 413), answer
        assert client.ended() == b""
        client.close()
    down = downlink("http_stream" if path == STREAM else "sse-post", server.port, BODY + b" " * (65_536 - len(BODY)))
    assert down.status == 200 and down.message()
    down.close()


def test_a_head_over_the_limit(server: Server) -> None:
    for path in (SSE, STREAM, EMULATION):
        client = Http(server.port)
        client.ask("GET", f"{path}?cf_connect={'x' * 9000}")
        assert client.answer().status in (414, 431)
        client.close()


@pytest.mark.parametrize("door", ["sse", "http_stream", "http_stream-protobuf", "tcp-protobuf", "websocket-protobuf"])
def test_who_never_reads_is_ended_and_the_others_get_everything(server: Server, door: str) -> None:
    channel = unique("open:unread-")
    slow, _ = enter(server, door, "slow")
    slow.result(subscribe={"channel": channel})
    good, publisher, watcher = joined(server, channel, "good"), joined(server, user="publisher"), joined(server)
    members = lambda: watcher.result(presence_stats={"channel": channel})["num_clients"]  # noqa: E731
    assert members() == 2
    data, count = "x" * 60_000, 0
    while members() == 2:
        assert count < 2000, "who never reads was never ended"
        if "publish" in publisher.command(publish={"channel": channel, "data": f"{count} {data}"}):
            assert good.push()["pub"]["data"] == f"{count} {data}"
            count += 1
    for client in (slow, good, publisher, watcher):
        client.close()


def test_who_never_reads_answers(server: Server) -> None:
    """Answers that nobody takes pile up to a bound, and then no more requests are read."""
    client = Http(server.port)
    client.socket.setblocking(False)
    flood = request("POST", EMULATION, b"hello", {"X-Long": "x" * 1000}) * 50
    view, total = memoryview(flood), 0
    while total < 64 * 1024 * 1024:
        if not select.select([], [client.socket], [], 1)[1]:
            break
        try:
            total += client.socket.send(view[total % len(flood) :])
        except (BlockingIOError, ConnectionError):
            break
    assert total < 64 * 1024 * 1024, "the server reads on and on"
    client.close()


def test_half_a_frame_has_no_deadline(server: Server) -> None:
    """Behind the handshake the pings tell who is alive."""
    client, silent = RawWebSocket(server.port, "/echo"), Http(server.port)
    client.socket.sendall(b"\x81\x85\0\0\0\0hel")
    assert silent.ended().startswith(b"HTTP/1.1 408")
    client.socket.sendall(b"lo")
    assert client.read() == (1, b"hello")
    client.close()


def test_hundreds_who_stop_in_the_middle(server: Server) -> None:
    """All at once, each at another point of its request; those who are whole are served meanwhile."""
    whole = request("POST", STREAM, BODY)
    stopped = []
    for n in range(200):
        client = Http(server.port)
        client.send(whole[: n * len(whole) // 201])
        stopped.append(client)
    client, _ = enter(server, "http_stream")
    assert client.result(ping={}) == {}
    for one in stopped:
        ended = one.ended()
        assert ended.startswith(b"HTTP/1.1 408"), ended
        one.close()
    client.close()
    wait_for(lambda: enter(server, "sse")[0].close() is None, "room for more")
