"""Several nodes behind one broker, clients that move between them, and a checker that counts what each of them saw."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import sys
import threading
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from serving import RawWebSocket, Server, wait_for

sys.path.insert(0, str(Path(__file__).parents[2] / "python" / "tests"))

KEY = "test-key"
# Pings: how soon a client knows that its node stands still; and how long all threads of this process together may be kept
# from answering. Recovery: what came while a client was away is all there, however fast it came.
CONFIG = """
[http_api]
key = "test-key"

[client]
insecure = true
message_rate_limit = 0
ping_interval = "2s"
pong_timeout = "1900ms"
recovery_max_publication_limit = 20000
queue_max_size = 16777216

[sse]
enabled = true

[[channel.namespaces]]
name = "kept"
history_size = 20000
history_ttl = "10m"
force_recovery = true
presence = true

[[channel.namespaces]]
name = "plain"
presence = true
join_leave = true
force_push_join_leave = true
"""


def node(url: str, *, name: str = "", config: str = "", sets: tuple[str, ...] = ()) -> Server:
    """A node that shares its channels through the broker at `url`."""
    scheme = url.split("://")[0].split("+")[0]
    driver = {"redis": "redis", "rediss": "redis", "amqp": "rabbitmq", "nats": "nats"}[scheme]
    name = (f"node.name={name}",) if name else ()
    return Server(CONFIG + config, workers=2, sets=(f"broker.driver={driver}", f"broker.url={url}", *name, *sets))


class Api:
    """The server API of one node."""

    def __init__(self, server: Server, host: str = "127.0.0.1", timeout: float = 4.0):
        self.server, self.host, self.timeout = server, host, timeout
        self.connection: http.client.HTTPConnection | None = None

    def __call__(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The result; an error of any kind is an exception."""
        if self.connection is None:
            self.connection = http.client.HTTPConnection(self.host, self.server.internal, timeout=self.timeout)
        try:
            headers = {"X-API-Key": KEY, "Content-Type": "application/json"}
            self.connection.request("POST", f"/api/{method}", json.dumps(parameters), headers)
            answer = self.connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException):
            self.close()
            raise
        reply = json.loads(body) if answer.status == 200 else {"error": {"status": answer.status, "body": body}}
        if "error" in reply:
            raise Refused(reply["error"])
        return reply["result"]

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def ready(self) -> bool:
        connection = http.client.HTTPConnection(self.host, self.server.internal, timeout=self.timeout)
        with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
            connection.request("GET", "/ready")
            return connection.getresponse().status == 200
        return False

    def nodes(self) -> list[dict[str, Any]]:
        try:
            return self("info")["nodes"]
        except (OSError, Refused, http.client.HTTPException):
            return []


class Refused(Exception):
    pass


def together(servers: list[Server], patience: float = 30.0) -> None:
    """Waits until all of them are ready and know each other."""
    for server in servers:
        wait_for(lambda server=server: Api(server).ready(), f"readiness\n{server.logged()}", patience)
        wait_for(lambda server=server: len(Api(server).nodes()) == len(servers), "all nodes in one survey", patience)


class Socket(RawWebSocket):
    """A client connection to any host."""

    def __init__(self, port: int, host: str = "127.0.0.1"):
        self.host = host
        self.ids = 0
        self.waiting: list[dict[str, Any]] = []
        super().__init__(port, "/connection/websocket")

    def dial(self, port: int) -> socket.socket:
        return socket.create_connection((self.host, port), 3)

    def messages(self, patience: float) -> list[dict[str, Any]]:
        """What came; nothing when the connection is over."""
        self.socket.settimeout(patience)
        frame = self.read()
        if frame is None or frame[0] == 8:
            return []
        return [json.loads(line) for line in frame[1].split(b"\n") if line]

    def command(self, patience: float = 10.0, **request: Any) -> dict[str, Any]:
        """Sends a command and waits for its reply; what comes before is kept in `waiting`."""
        self.ids += 1
        self.text(json.dumps({"id": self.ids, **request}))
        while True:
            messages = self.messages(patience)
            if not messages:
                raise ConnectionError("the server closed before it replied")
            for message in messages:
                if message == {}:
                    self.text("{}")
                elif message.get("id") == self.ids:
                    reply = message
                else:
                    self.waiting.append(message)
            if messages and any(message.get("id") == self.ids for message in messages):
                return reply

    def push(self, patience: float = 10.0) -> dict[str, Any]:
        """The next push."""
        while not self.waiting:
            messages = self.messages(patience)
            if not messages:
                raise ConnectionError("the server closed before it pushed")
            if {} in messages:
                self.text("{}")
            self.waiting = [message for message in messages if message]
        return self.waiting.pop(0)["push"]


@dataclass
class Place:
    """Where a node takes clients."""

    server: Server
    host: str = "127.0.0.1"


@dataclass
class Sight:
    """What one client saw."""

    numbers: list[int] = field(default_factory=list)
    # Before which of them it was told that something may be missing.
    told: list[int] = field(default_factory=list)
    recovered: int = 0
    connects: int = 0


class Listener(threading.Thread):
    """A client that stays in one channel whatever happens: it moves from node to node and recovers."""

    def __init__(self, places: list[Place], first: int, channel: str):
        super().__init__(daemon=True)
        self.places, self.turn, self.channel = places, first, channel
        self.sight = Sight()
        self.position: dict[str, Any] | None = None
        self.over = threading.Event()
        self.in_channel = threading.Event()
        self.faults: list[str] = []

    def run(self) -> None:
        while not self.over.is_set():
            place = self.places[self.turn % len(self.places)]
            try:
                connection = Socket(place.server.port, place.host)
            except (OSError, AssertionError):
                self.turn += 1
                time.sleep(0.05)
                continue
            with contextlib.suppress(OSError, ValueError), contextlib.closing(connection):
                self.stay(connection)
            self.in_channel.clear()
            self.turn += 1

    def stay(self, connection: Socket) -> None:
        connection.command(connect={})
        self.sight.connects += 1
        self.subscribe(connection)
        while not self.over.is_set():
            while connection.waiting:
                if not self.take(connection.waiting.pop(0)):
                    self.subscribe(connection)
            # A server that is silent for two pings is none.
            messages = connection.messages(4.5)
            if not messages:
                return
            if {} in messages:
                connection.text("{}")
            connection.waiting += [message for message in messages if message]

    def subscribe(self, connection: Socket) -> None:
        wish: dict[str, Any] = {"channel": self.channel, "recoverable": True}
        if self.position is not None:
            wish |= {"recover": True, **self.position}
        while not self.over.is_set():
            reply = connection.command(subscribe=wish)
            if "subscribe" in reply:
                break
            # The node is cut off from the broker: another one may be better.
            assert reply["error"].get("temporary"), reply
            raise ConnectionError(str(reply))
        told = reply["subscribe"]
        if self.position is not None:
            if told.get("recovered"):
                self.sight.recovered += 1
            else:
                self.sight.told.append(len(self.sight.numbers))
        self.position = {"epoch": told.get("epoch", ""), "offset": told.get("offset", 0)}
        for publication in told.get("publications", []):
            self.saw(publication)
        self.in_channel.set()

    def take(self, message: dict[str, Any]) -> bool:
        push = message.get("push", {})
        if "pub" in push and push["channel"] == self.channel:
            self.saw(push["pub"])
        return "unsubscribe" not in push

    def saw(self, publication: dict[str, Any]) -> None:
        self.sight.numbers.append(publication["data"]["n"])
        self.position["offset"] = publication["offset"]

    def stop(self) -> None:
        self.over.set()


class Publisher(threading.Thread):
    """Publishes 1, 2, 3 ... one after the other; each is acknowledged before the next, whatever it takes."""

    def __init__(self, places: list[Place], channel: str, *, pause: float = 0.002):
        super().__init__(daemon=True)
        self.apis = [Api(place.server, place.host) for place in places]
        self.channel, self.pause = channel, pause
        self.acknowledged = 0
        self.retries = 0
        self.longest = 0.0
        self.over = threading.Event()
        self.run_id = f"{time.monotonic_ns()}"

    def run(self) -> None:
        turn, number = 0, 0
        while not self.over.is_set():
            number += 1
            begun = time.monotonic()
            while True:
                api = self.apis[turn % len(self.apis)]
                try:
                    api("publish", channel=self.channel, data={"n": number}, idempotency_key=f"{self.run_id}-{number}")
                    break
                except (OSError, Refused, http.client.HTTPException, ValueError):
                    self.retries += 1
                    turn += 1
                    time.sleep(0.02)
            self.acknowledged = number
            self.longest = max(self.longest, time.monotonic() - begun)
            time.sleep(self.pause)

    def stop(self) -> int:
        """Ends, and tells how many were acknowledged."""
        self.over.set()
        self.join(60)
        assert not self.is_alive(), "the publisher hangs"
        return self.acknowledged


def check(listeners: list[Listener], last: int, patience: float = 60.0) -> dict[str, int]:
    """Everybody saw everything once and in order, or was told where something may be missing."""
    for number, listener in enumerate(listeners):
        wait_for(
            lambda listener=listener: listener.sight.numbers[-1:] == [last],
            f"the last publication {last} at client {number}, which has {listener.sight.numbers[-1:]}",
            patience,
        )
    missing = 0
    for number, listener in enumerate(listeners):
        sight = listener.sight
        for nth, (before, after) in enumerate(zip([0, *sight.numbers], sight.numbers, strict=False)):
            assert after > before, f"client {number} saw {after} after {before}"
            if after != before + 1:
                assert nth in sight.told, f"client {number} saw {after} after {before} and was told nothing"
                missing += after - before - 1
    sights = [listener.sight for listener in listeners]
    return {
        "clients": len(listeners),
        "publications": last,
        "seen": sum(len(sight.numbers) for sight in sights),
        "recovered": sum(sight.recovered for sight in sights),
        "told": sum(len(sight.told) for sight in sights),
        "missing": missing,
    }


def metric(server: Server, name: str) -> int:
    """A number of /metrics; 0 as long as it is not there."""
    with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{server.internal}/metrics", timeout=2) as reply:
        for line in reply.read().decode().splitlines():
            if line.startswith(name + " "):
                return int(float(line.split()[1]))
    return 0
