"""Clients of the JSON dialect, tokens, and the configuration that the protocol tests share."""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import json
import select
import struct
import threading
import time
from typing import Any

from serving import RawWebSocket, Server
from talkers import Talker

SECRET = "a-secret-of-at-least-32-bytes-for-tests"
PATH = "/connection/websocket"
GOOD_ORIGIN = "https://good.example"

BASE = f"""
[client]
allowed_origins = ["{GOOD_ORIGIN}"]
channel_limit = 8

[client.token]
hmac_secret_key = "{SECRET}"

[[channel.namespaces]]
name = "open"
presence = true
history_size = 2000
history_ttl = "5m"
allow_subscribe_for_client = true
allow_publish_for_client = true
allow_presence_for_client = true
allow_history_for_client = true

[[channel.namespaces]]
name = "plain"
allow_subscribe_for_client = true
allow_publish_for_client = true
allow_presence_for_client = true
allow_history_for_client = true

[[channel.namespaces]]
name = "closed"
presence = true
history_size = 10
history_ttl = "5m"

[[channel.namespaces]]
name = "raw"
allow_subscribe_for_client = true
allow_publish_for_client = true

[[raw]]
path = "/ws"
channel = "raw:ws"
publish_to = "channel"

[[raw]]
path = "/ws-json"
channel = "raw:json"
publish_to = "channel"
data = "json"

[[tcp]]
name = "json"
port = {{tcp_json}}

[[tcp]]
name = "lines"
port = {{tcp_raw}}
dialect = "raw"
channel = "raw:ws"
publish_to = "channel"
"""

_numbers = itertools.count(1)


def unique(prefix: str) -> str:
    """A name that no other test has."""
    return f"{prefix}{next(_numbers)}"


def _part(value: Any) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def token(user: str = "ann", *, secret: str = SECRET, header: dict[str, Any] | None = None, **claims: Any) -> str:
    """A token signed with HS256, whatever its header says."""
    body = f"{_part(header or {'alg': 'HS256', 'typ': 'JWT'})}.{_part({'sub': user, **claims})}"
    return f"{body}.{_part(hmac.new(secret.encode(), body.encode(), hashlib.sha256).digest())}"


def unsigned(user: str = "ann") -> str:
    """A token with `alg: none` and no signature."""
    return f"{_part({'alg': 'none', 'typ': 'JWT'})}.{_part({'sub': user})}."


def soon(seconds: float) -> int:
    return int(time.time() + seconds)


class JsonSocket(Talker, RawWebSocket):
    """A WebSocket client of the JSON dialect that answers pings unless told otherwise."""

    def __init__(self, port: int, headers: tuple[str, ...] = (), *, path: str = PATH, pongs: bool = True):
        Talker.__init__(self, pongs=pongs)
        RawWebSocket.__init__(self, port, path, headers)

    def send(self, *commands: dict[str, Any]) -> None:
        self.text("\n".join(json.dumps(command) for command in commands))

    def step(self) -> bool:
        frame = self.read()
        if frame is None:
            return False
        opcode, payload = frame
        if opcode == 8:
            code = struct.unpack("!H", payload[:2])[0] if payload else 1005
            self.end = code, payload[2:].decode()
            assert len(payload) <= 125
            return False
        for line in payload.splitlines() if opcode == 1 else ():
            self.take(json.loads(line))
        return True

    def login(self, user: str = "ann", **claims: Any) -> dict[str, Any]:
        return self.result(connect={"token": token(user, **claims)})


def joined(server: Server, channel: str | None = None, user: str = "ann", **options: Any) -> JsonSocket:
    """A client that is connected, and in a channel if one is named."""
    client = JsonSocket(server.port, **options)
    client.login(user)
    if channel:
        client.result(subscribe={"channel": channel})
    return client


class Neighbours:
    """Well-behaved clients on every worker: whatever somebody else does, they live and hear each other."""

    def __init__(self, server: Server, count: int = 4):
        self.channel = unique("open:neighbours-")
        self.clients = [joined(server, self.channel, f"neighbour-{n}") for n in range(count)]
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.answer_pings, daemon=True)
        self.thread.start()

    def answer_pings(self) -> None:
        sockets = {client.socket: client for client in self.clients}
        while not self.done.is_set():
            for ready in select.select(list(sockets), [], [], 0.05)[0]:
                if not sockets[ready].step():
                    return

    def check(self) -> None:
        self.done.set()
        self.thread.join()
        word = unique("still here ")
        self.clients[0].result(publish={"channel": self.channel, "data": word})
        for client in self.clients:
            push = client.push()
            assert push["channel"] == self.channel and push["pub"]["data"] == word, push
            assert client.result(ping={}) == {}
            client.close()
