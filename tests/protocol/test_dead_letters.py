"""Commands that cannot be done go to the dead letters with a reason, and the next one is done."""

from __future__ import annotations

import json
import uuid
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from serving import Server, wait_for
from speakers import BASE, joined, unique

LIMIT = 20_000


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    sets = ("app_link.driver=embedded", f"app_link.max_payload_bytes={LIMIT}")
    with Server(BASE, workers=2, sets=sets) as server:
        yield server


@pytest.fixture(scope="module")
def queue(server: Server) -> Iterator[redis.Redis]:
    client = redis.Redis(port=server.embedded, protocol=2, decode_responses=True, socket_timeout=30)
    wait_for(client.ping, "the embedded queue")
    yield client
    client.close()


def lane(channel: str) -> int:
    return zlib.crc32(channel.encode()) % 8


def add(queue: redis.Redis, partition: int, **fields: Any) -> str:
    number = str(uuid.uuid4())
    queue.xadd("{jackfield:%d}:commands" % partition, {"v": "1", "id": number, **fields})
    return number


def publish(queue: redis.Redis, channel: str, data: Any) -> None:
    add(queue, lane(channel), method="publish", payload=json.dumps({"channel": channel, "data": data}))


def dead(queue: redis.Redis, partition: int, number: str) -> dict[str, str]:
    """The dead letter with this id."""
    letters = lambda: [f for _, f in queue.xrange("{jackfield:%d}:dead" % partition) if f["id"] == number]  # noqa: E731
    (letter,) = wait_for(letters, f"the dead letter {number}")
    return letter


BAD = {
    "no JSON": ({"method": "publish", "payload": "hello"}, "JSON"),
    "a list": ({"method": "publish", "payload": '["a",1]'}, "a JSON object is needed"),
    "an empty payload": ({"method": "publish", "payload": ""}, "it is empty"),
    "half an object": ({"method": "publish", "payload": '{"channel":'}, "is no JSON object"),
    "no method": ({"payload": '{"channel":"open:1","data":1}'}, "the method is missing"),
    "an unknown method": ({"method": "publsh", "payload": "{}"}, '"publsh" is unknown'),
    "an unknown key": ({"method": "publish", "payload": '{"chanel":"open:1","data":1}'}, "unknown field `chanel`"),
    "no data": ({"method": "publish", "payload": '{"channel":"open:1"}'}, "one of `data`, `b64data` and `text`"),
    "too much": ({"method": "publish", "payload": json.dumps({"channel": "open:1", "data": "x" * LIMIT})}, str(LIMIT)),
    "an unknown namespace": ({"method": "publish", "payload": '{"channel":"nowhere:1","data":1}'}, "unknown"),
    "a control character": ({"method": "publish", "payload": '{"channel":"open:\\n","data":1}'}, "control character"),
    "a bad code": ({"method": "disconnect", "payload": '{"user":"u","code":99}'}, "from 3000 to 4999"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_command_is_buried_with_its_reason_and_the_next_one_is_done(
    server: Server, queue: redis.Redis, name: str
) -> None:
    fields, words = BAD[name]
    channel = unique("open:after-")
    client = joined(server, channel)
    number = add(queue, lane(channel), **fields)
    publish(queue, channel, name)
    assert client.push()["pub"]["data"] == name
    letter = dead(queue, lane(channel), number)
    assert words in letter["reason"], letter
    assert letter.get("method", "") == fields.get("method", "")
    stream = "{jackfield:%d}:commands" % lane(channel)
    wait_for(lambda: queue.xlen(stream) == 0, "an empty command stream")
    client.close()


def test_order_within_a_channel_is_kept_around_bad_ones(server: Server, queue: redis.Redis) -> None:
    channel = unique("open:order-")
    client = joined(server, channel)
    for n in range(300):
        publish(queue, channel, n)
        if n % 10 == 0:
            add(queue, lane(channel), method="nonsense", payload="{}")
    assert [client.push()["pub"]["data"] for _ in range(300)] == list(range(300))
    client.close()


def test_a_command_that_comes_twice_is_done_once(server: Server, queue: redis.Redis) -> None:
    channel = unique("open:twice-")
    client = joined(server, channel)
    fields = {"v": "1", "id": str(uuid.uuid4()), "method": "publish"}
    for _ in range(2):
        payload = json.dumps({"channel": channel, "data": "once"})
        queue.xadd("{jackfield:%d}:commands" % lane(channel), {**fields, "payload": payload})
    publish(queue, channel, "next")
    assert [client.push()["pub"]["data"] for _ in range(2)] == ["once", "next"]
    client.close()


def test_disconnect_and_send(server: Server, queue: redis.Redis) -> None:
    client = joined(server, user="leaving")
    payload = json.dumps({"user": "leaving", "data": {"hello": 1}})
    add(queue, lane("leaving"), method="send", payload=payload)
    assert client.push()["message"]["data"] == {"hello": 1}
    payload = json.dumps({"user": "leaving", "code": 4321, "reason": "enough"})
    add(queue, lane("leaving"), method="disconnect", payload=payload)
    assert client.closed() == (4321, "enough")
    client.close()


@pytest.mark.parametrize("bad", [b"*1\r\n$-5\r\nx\r\n", b"*999999999\r\n", b"nonsense\r\n", b"*1\r\n$999999999999\r\n", b"\x00" * 100])
def test_bytes_that_are_no_redis_hurt_nobody(server: Server, queue: redis.Redis, bad: bytes) -> None:
    import socket

    with socket.create_connection(("127.0.0.1", server.embedded), 30) as client:
        client.sendall(bad)
        assert client.recv(200).startswith(b"-")
    assert queue.ping()


def test_commands_that_the_queue_does_not_know(queue: redis.Redis) -> None:
    for words in (("KEYS", "*"), ("EVAL", "return 1", "0"), ("FLUSHALL",), ("CONFIG", "GET", "*"), ("HELLO", "3")):
        with pytest.raises(redis.ResponseError):
            queue.execute_command(*words)
