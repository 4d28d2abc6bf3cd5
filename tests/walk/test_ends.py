"""The application hears of every connection that ended: after its last message, once, with the code, whatever happened."""

from __future__ import annotations

import contextlib
import json
import random
import socket
import struct
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from clients import Client, LinesLink, WebSocketLink, token
from serving import RawWebSocket, wait_for
from stage import PARTITIONS, Stage
from test_loss import break_off

EACH = 20
"""Clients of each way to end, before, during and after the outage together."""

# Who answers pings does so in time, however long all threads of this process together are kept from it.
OPTIONS = """
ping_interval = "10s"
pong_timeout = "9s"
queue_max_size = 65536
expired_close_delay = "100ms"

[http_api]
key = "test-key"

[prometheus]
enabled = true
"""

Field = dict[str, str]


class Mute(WebSocketLink):
    """Answers no ping from when it is told to."""

    silent = False

    def write(self, text: str) -> None:
        if text != "{}" or not self.silent:
            super().write(text)


class Slow(WebSocketLink):
    """Stops reading when it is told to."""

    asleep = False

    def read(self) -> str | None:
        while self.asleep:
            time.sleep(0.05)
        return super().read()


class Speaker(Client):
    """Counts what it said: taken, and refused."""

    way = ""

    def __init__(self, *args: Any, **kwargs: Any):
        self.taken: list[int] = []
        self.refused: list[int] = []
        self.said = 0
        super().__init__(*args, **kwargs)

    def speak(self, times: int) -> None:
        for _ in range(times):
            self.said += 1
            error = self.call(send={"data": self.said}).get("error")
            if error is None:
                self.taken.append(self.said)
            else:
                assert error["code"] in (100, 111), error
                self.refused.append(self.said)

    def speak_until_taken(self) -> None:
        wait_for(lambda: self.speak(1) or self.taken[-1:] == [self.said], "a message that is taken", 90)


def linger(client: Speaker) -> None:
    """The socket ends with a reset instead of a goodbye."""
    own = client.link.socket.socket if isinstance(client.link, WebSocketLink) else client.link.lines.socket
    own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    fd = own.detach()
    socket.close(fd)


def command(stage: Stage, method: str, **payload: Any) -> Any:
    """A command by the server's HTTP API."""
    url = f"http://127.0.0.1:{stage.server.internal}/api/{method}"
    request = urllib.request.Request(url, json.dumps(payload).encode(), {"X-API-Key": "test-key"})
    with urllib.request.urlopen(request, timeout=30) as reply:
        return json.load(reply)


def metric(stage: Stage, name: str) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{stage.server.internal}/metrics", timeout=30) as reply:
        lines = [line.split() for line in reply.read().decode().splitlines()]
    return next(float(line[1]) for line in lines if line[0] == name)


def leave(stage: Stage, client: Speaker) -> None:
    """Ends a client its own way."""
    with contextlib.suppress(OSError):
        if client.way == "closed":
            client.link.close()
        elif client.way == "reset":
            linger(client)
        elif client.way == "kicked":
            command(stage, "disconnect", client=client.id, code=4501, reason="signed out")
        elif client.way == "expired":
            # The last token it brings holds for a second at most; one that is over before it is there changes nothing.
            wait_for(lambda: "error" not in client.call(refresh={"token": token(client.user, 1)}), "a token that comes in time")
        elif client.way == "wrong":
            client.link.write("{]")
        elif client.way == "mute":
            client.link.silent = True
        elif client.way == "goodbye":
            client.link.socket.frame(8, struct.pack("!H", 1000))


WAYS = {
    "closed": (3000,),
    "expired": (3005,),
    "goodbye": (1000,),
    "kicked": (4501,),
    "mute": (3012,),
    "reset": (3000,),
    "shutdown": (3001,),
    "slow": (3008,),
    "wrong": (3501,),
}


def come(stage: Stage, way: str, number: int) -> Speaker:
    port = stage.server.port
    if way == "mute":
        link: Any = Mute(port, "/connection/websocket")
    elif way == "slow":
        link = Slow(port, "/connection/websocket")
    elif way != "goodbye" and number % 2:
        link = LinesLink(stage.server.tcp_json)
    else:
        link = WebSocketLink(port, "/connection/websocket")
    client = stage.kept(Speaker(link, f"{way}-{number}"))
    client.way = way
    return client


def remain(stage: Stage, clients: list[Speaker], patience: float = 30) -> None:
    """Waits until only these are left. One of them that has gone is told of with its reason, at once."""

    def alone() -> bool:
        gone = [(client.way, client.link.close_reason or client.disconnect) for client in clients if not client.is_open]
        assert not gone, f"not asked to go: {gone}"
        return metric(stage, "jackfield_connections") == len(clients)

    wait_for(alone, f"the end of all but {len(clients)}", patience)


def every(clients: list[Speaker], step: Callable[[Speaker], Any]) -> None:
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(step, clients))


def flood(stage: Stage, clients: list[Speaker]) -> None:
    """Fills the slow ones until the server has enough of them."""
    for client in clients:
        client.link.asleep = True
    stop = threading.Event()

    def publish() -> None:
        while not stop.is_set():
            command(stage, "publish", channel="chat:flood", data="x" * 60_000)

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        wait_for(lambda: metric(stage, "jackfield_slow_total") >= len(clients), "the end of all slow readers", 60)
    finally:
        stop.set()
        thread.join()
        for client in clients:
            client.link.asleep = False


def events(stage: Stage) -> dict[str, list[Field]]:
    """All that lies in the queue, by connection; of an event that was sent twice the first one."""
    found: dict[str, list[Field]] = {}
    known = set()
    for event in list(of_redis(stage) if stage.kind == "redis" else of_rabbitmq(stage)):
        if event["id"] not in known:
            known.add(event["id"])
            found.setdefault(event.get("client", ""), []).append(event)
    return found


def of_redis(stage: Stage) -> Iterator[Field]:
    import redis

    reader = redis.Redis.from_url(stage.queue.admin_url, protocol=2)
    for partition in range(PARTITIONS):
        for _, fields in reader.xrange(f"{{{stage.prefix}:{partition}}}:events"):
            yield {name.decode(): value.decode() for name, value in fields.items()}
    reader.close()


def of_rabbitmq(stage: Stage) -> Iterator[Field]:
    import pika

    connection = pika.BlockingConnection(pika.URLParameters(stage.queue.url))
    channel = connection.channel()
    for partition in range(PARTITIONS):
        name = f"{stage.prefix}.events.{partition}"
        count = channel.queue_declare(name, passive=True).method.message_count
        while count:
            method, properties, body = next(channel.consume(name))
            channel.basic_ack(method.delivery_tag)
            fields = {name: str(value) for name, value in (properties.headers or {}).items()}
            yield fields | {"id": properties.message_id, "type": properties.type, "data": body.decode()}
            count -= 1
        channel.cancel()
    connection.close()


def check(client: Speaker, heard: list[Field]) -> tuple[int, int]:
    """One connection's events in the order of the queue; returns how many numbers are missing and how many messages
    arrived though their client was told that they might not."""
    kinds = [event["type"] for event in heard]
    what = (client.way, client.id, kinds, [event["seq"] for event in heard])
    assert kinds[0] == "connect" and kinds[-1] == "disconnect", what
    assert set(kinds[1:-1]) <= {"message"} and kinds.count("disconnect") == 1, what
    ended = json.loads(heard[-1]["data"])
    assert ended["code"] in WAYS[client.way], (what, ended)
    said = [int(event["data"]) for event in heard[1:-1]]
    assert said == sorted(set(said)), what
    assert set(client.taken) <= set(said) <= set(client.taken) | set(client.refused), (what, client.taken)
    numbers = [int(event["seq"]) for event in heard]
    assert numbers == sorted(set(numbers)), what
    missing = numbers[-1] - len(numbers)
    assert missing <= len(client.refused), (what, client.refused)
    return missing, len(said) - len(client.taken)


@pytest.mark.parametrize("kind", ["redis", "rabbitmq"])
def test_every_connection_that_ended_is_told_of(kind: str, pool: Any, say: Callable[[str], None]) -> None:
    start = time.monotonic()
    with Stage(kind, pool.get(kind), OPTIONS) as stage:
        clients = [come(stage, way, number) for number in range(EACH) for way in WAYS]
        strangers = [RawWebSocket(stage.server.port, "/connection/websocket") for _ in range(EACH)]
        every([client for client in clients if client.way == "slow"], lambda client: client.join("chat:flood"))
        every(clients, lambda client: client.speak(5))
        every([client for client in clients if client.way == "mute"], lambda client: leave(stage, client))
        random.Random(7).shuffle(clients)
        willing = [client for client in clients if client.way not in ("mute", "slow", "shutdown")]
        third = len(willing) // 3
        every(willing[:third], lambda client: leave(stage, client))

        break_off(kind, stage.queue)
        slow = [client for client in clients if client.way == "slow"]
        staying = [client for client in clients if client.way == "shutdown"]
        every(slow + staying + willing[third:], lambda client: client.speak(2))
        every(willing[third : third * 2], lambda client: leave(stage, client))
        flood(stage, slow)
        late = willing[third * 2 :]
        remain(stage, staying + late)
        stage.queue.start()

        every(staying + late, Speaker.speak_until_taken)
        every(staying + late, lambda client: client.speak(3))
        every(late, lambda client: leave(stage, client))
        for stranger in strangers:
            stranger.close()
        remain(stage, staying)
        assert metric(stage, "jackfield_link_notices_lost_total") == 0
        assert stage.server.stop() == 0

        heard = events(stage)
        assert set(heard) == {client.id for client in clients}, "of who never connected nothing is told"
        counts: Counter[str] = Counter()
        for client in clients:
            missing, unsure = check(client, heard[client.id])
            counts += Counter(missing=missing, unsure=unsure, refused=len(client.refused), told=len(heard[client.id]))
            assert client.refused or missing == 0
        say(
            f"ends, {kind}: {len(clients)} connections in {len(WAYS)} ways, {counts['told']} events, each with its disconnect; "
            f"{counts['refused']} messages refused, of which {counts['unsure']} arrived, {counts['missing']} numbers missing; "
            f"{time.monotonic() - start:.1f} s"
        )
