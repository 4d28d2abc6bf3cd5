"""Clients of the server: the JSON protocol over WebSocket and TCP lines, and sockets without a protocol."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import socket
import struct
import threading
import time
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from serving import Lines, RawWebSocket, wait_for

KEY = "the-key-of-the-walk-which-is-long-enough"
TEMPORARY = 111


def token(user: str, seconds: int = 3600) -> str:
    """What `django_jackfield.token` makes, without a Django."""

    def part(raw: bytes) -> bytes:
        return base64.urlsafe_b64encode(raw).rstrip(b"=")

    claims = {"sub": user, "exp": int(time.time()) + seconds}
    body = part(b'{"alg":"HS256","typ":"JWT"}') + b"." + part(json.dumps(claims).encode())
    return (body + b"." + part(hmac.new(KEY.encode(), body, hashlib.sha256).digest())).decode()


class WebSocketLink:
    """Texts over a WebSocket."""

    def __init__(self, port: int, path: str):
        self.socket = RawWebSocket(port, path)
        self.socket.socket.settimeout(None)
        self.close_reason: tuple[int, str] | None = None

    def write(self, text: str) -> None:
        self.socket.text(text)

    def read(self) -> str | None:
        while (frame := self.socket.read()) is not None:
            opcode, payload = frame
            if opcode == 8:
                self.close_reason = struct.unpack("!H", payload[:2])[0], payload[2:].decode()
                return None
            if opcode == 9:
                self.socket.frame(10, payload)
            elif opcode in (1, 2):
                return payload.decode()
        return None

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.socket.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


class LinesLink:
    """Texts over TCP lines."""

    close_reason: tuple[int, str] | None = None

    def __init__(self, port: int):
        self.lines = Lines(port)
        self.lines.socket.settimeout(None)

    def write(self, text: str) -> None:
        self.lines.write(text)

    def read(self) -> str | None:
        return self.lines.read()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.lines.socket.shutdown(socket.SHUT_RDWR)
        self.lines.close()


class Plain:
    """A client without a protocol: what comes is in `texts`."""

    def __init__(self, link: WebSocketLink | LinesLink):
        self.link = link
        self.texts: list[str] = []
        self.is_open = True
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            while (text := self.link.read()) is not None:
                self._take(text)
        self.is_open = False

    def _take(self, text: str) -> None:
        self.texts.append(text)

    def say(self, text: str) -> None:
        self.link.write(text)

    def close(self) -> None:
        self.link.close()
        self.reader.join(5)

    def gone(self) -> tuple[int, str] | None:
        """Waits until the server has closed, and says why it did."""
        wait_for(lambda: not self.is_open, "the end of a connection")
        return self.link.close_reason

    def __enter__(self) -> Plain:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Client(Plain):
    """A client of the JSON protocol. Publications are in `publications`, messages to the user in `messages`."""

    def __init__(self, link: WebSocketLink | LinesLink, user: str = "", **hello: Any):
        self.publications: dict[str, list[dict[str, Any]]] = {}
        self.messages: list[Any] = []
        self.disconnect: dict[str, Any] | None = None
        self.replies: dict[int, Future[dict[str, Any]]] = {}
        self.number = 0
        self.user = user
        self.writing = threading.Lock()
        super().__init__(link)
        if user:
            hello["token"] = token(user)
        self.hello = self.call(connect=hello)
        self.id = self.hello.get("connect", {}).get("client", "")

    def __enter__(self) -> Client:
        return self

    def _read(self) -> None:
        super()._read()
        for future in list(self.replies.values()):
            future.set_exception(ConnectionError(f"closed: {self.link.close_reason}"))

    def _take(self, text: str) -> None:
        for line in text.split("\n"):
            message = json.loads(line)
            if not message:
                if isinstance(self.link, WebSocketLink):
                    self.link.write("{}")
            elif "id" in message:
                self.replies.pop(message["id"]).set_result(message)
            elif "pub" in (push := message["push"]):
                self.publications.setdefault(push["channel"], []).append(push["pub"])
            elif "message" in push:
                self.messages.append(push["message"]["data"])
            elif "disconnect" in push:
                self.disconnect = push["disconnect"]

    def request(self, **command: Any) -> Future[dict[str, Any]]:
        """Sends a command; its reply comes some time."""
        future: Future[dict[str, Any]] = Future()
        with self.writing:
            self.number += 1
            self.replies[self.number] = future
            self.link.write(json.dumps({"id": self.number, **command}))
        if not self.is_open and not future.done():
            future.set_exception(ConnectionError(f"closed: {self.link.close_reason}"))
        return future

    def call(self, **command: Any) -> dict[str, Any]:
        """Sends a command and waits for its reply."""
        return self.request(**command).result(30)

    def done(self, **command: Any) -> dict[str, Any]:
        """The same, and there must not be an error."""
        reply = self.call(**command)
        assert "error" not in reply, (command, reply)
        return reply

    def join(self, *channels: str) -> Client:
        for channel in channels:
            self.done(subscribe={"channel": channel})
        return self

    def say(self, text: str, channel: str = "room:1", event: str = "say") -> None:
        self.done(publish={"channel": channel, "data": {"event": event, "data": {"text": text}}})

    def heard(self, channel: str = "room:1") -> list[Any]:
        """The data of the publications so far."""
        return [publication["data"] for publication in self.publications.get(channel, ())]


@dataclass
class Flood:
    """Clients that say numbered things, a window of them in flight, each again until it is acknowledged."""

    clients: list[Client]
    each: int
    window: int = 16
    acknowledged: list[str] = field(default_factory=list)
    retries: int = 0
    failures: list[Any] = field(default_factory=list)

    def start(self) -> Flood:
        self.threads = [
            threading.Thread(target=self._run, args=(number, client), daemon=True)
            for number, client in enumerate(self.clients)
        ]
        for thread in self.threads:
            thread.start()
        return self

    def _run(self, number: int, client: Client) -> None:
        try:
            self._flow(number, client)
        except Exception as error:
            self.failures.append(repr(error))

    def _flow(self, number: int, client: Client) -> None:
        todo = deque(f"{number}-{n:05}" for n in range(self.each))
        flying: deque[tuple[str, Future[dict[str, Any]]]] = deque()
        while todo or flying:
            while todo and len(flying) < self.window:
                text = todo.popleft()
                data = {"event": "count", "data": {"text": text}}
                flying.append((text, client.request(publish={"channel": f"room:{number + 1}", "data": data})))
            text, future = flying.popleft()
            error = future.result(60).get("error")
            if error is None:
                self.acknowledged.append(text)
            elif error["code"] == TEMPORARY and error.get("temporary"):
                self.retries += 1
                todo.append(text)
                time.sleep(0.01)
            else:
                raise AssertionError(error)

    def end(self, patience: float = 90) -> None:
        """Waits until all is acknowledged."""
        until = time.monotonic() + patience
        for thread in self.threads:
            thread.join(max(0.1, until - time.monotonic()))
        assert not self.failures, self.failures
        assert not any(thread.is_alive() for thread in self.threads), (
            f"only {len(self.acknowledged)} were acknowledged"
        )
