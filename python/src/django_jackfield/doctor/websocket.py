"""A small WebSocket client of the standard library that speaks the JSON protocol of the server."""

from __future__ import annotations

import base64
import json
import os
import socket
import ssl
import struct
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


class HandshakeRefused(Exception):
    """The server, or what stands before it, did not upgrade: the status and what it said."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"status {status} {text}".strip())
        self.status = status


class Closed(Exception):
    """The server closed, with a code and a reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"closed with {code} {reason}".strip())
        self.code = code
        self.reason = reason


class WebSocket:
    """One connection. Commands are answered in `command`; pushes that come between are kept."""

    def __init__(self, url: str, *, origin: str | None = None, timeout: float = 5.0) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("ws", "wss") or not parts.hostname:
            raise ValueError(f"{url!r} is no ws:// or wss:// URL")
        secure = parts.scheme == "wss"
        self.headers: dict[str, str] = {}
        self.pushes: list[dict[str, Any]] = []
        self._timeout = timeout
        self._ids = 0
        self._buffer = b""
        self._socket = socket.create_connection(
            (parts.hostname, parts.port or (443 if secure else 80)), timeout
        )
        try:
            if secure:
                context = ssl.create_default_context()
                self._socket = context.wrap_socket(self._socket, server_hostname=parts.hostname)
            self._handshake(parts.netloc.rpartition("@")[2], _target(url), origin)
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> WebSocket:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def command(self, **request: Any) -> dict[str, Any]:
        """Sends a command and gives its reply. Raises Closed, TimeoutError, OSError."""
        self._ids += 1
        self._write(TEXT, json.dumps({"id": self._ids, **request}).encode())
        return self._wait(lambda message: message.get("id") == self._ids)

    def answer(self, method: str, data: Any) -> None:
        """Waits until the application asks for this method, and answers it."""

        def asks(message: Mapping[str, Any]) -> bool:
            asked = message.get("push", {}).get("message", {}).get("data")
            return isinstance(asked, dict) and asked.get("method") == method

        found = next(filter(asks, self.pushes), None) or self._wait(asks)
        call = found["push"]["message"]["data"]["call"]
        self.command(rpc={"method": "jackfield.answer", "data": {"call": call, "data": data}})

    def wait_for_publication(self, channel: str) -> Any:
        """The data of the next publication in a channel."""

        def fits(message: Mapping[str, Any]) -> bool:
            push = message.get("push", {})
            return push.get("channel") == channel and "pub" in push

        found = next(filter(fits, self.pushes), None) or self._wait(fits)
        return found["push"]["pub"].get("data")

    def _wait(self, fits: Any) -> dict[str, Any]:
        end = time.monotonic() + self._timeout
        found: dict[str, Any] | None = None
        while found is None:
            left = end - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"no answer within {self._timeout:g} s")
            self._socket.settimeout(left)
            for line in self._read().splitlines():
                message = json.loads(line)
                if message == {}:
                    self._write(TEXT, b"{}")
                elif found is None and fits(message):
                    found = message
                elif "push" in message:
                    self.pushes.append(message)
        return found

    def _handshake(self, host: str, target: str, origin: str | None) -> None:
        lines = [
            f"GET {target} HTTP/1.1",
            f"Host: {host}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
            "Sec-WebSocket-Version: 13",
            *([f"Origin: {origin}"] if origin else []),
        ]
        self._socket.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        while b"\r\n\r\n" not in self._buffer:
            if len(self._buffer) > 65_536 or not self._more():
                break
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        first, *rest = head.decode(errors="replace").split("\r\n")
        for line in rest:
            name, _, value = line.partition(":")
            self.headers[name.strip().lower()] = value.strip()
        words = first.split(" ", 2)
        if len(words) < 2 or not words[0].startswith("HTTP/") or not words[1].isdigit():
            raise HandshakeRefused(0, f"no HTTP: {first[:60]!r}")
        if words[1] != "101":
            raise HandshakeRefused(int(words[1]), words[2] if len(words) > 2 else "")

    def _write(self, opcode: int, payload: bytes) -> None:
        mask = os.urandom(4)
        if len(payload) < 126:
            head = bytes([0x80 | opcode, 0x80 | len(payload)])
        else:
            head = bytes([0x80 | opcode, 0x80 | 126]) + struct.pack("!H", len(payload))
        masked = bytes(byte ^ mask[n % 4] for n, byte in enumerate(payload))
        self._socket.sendall(head + mask + masked)

    def _read(self) -> str:
        """The next text message."""
        while True:
            opcode, length = self._take(2)
            opcode, length = opcode & 0x0F, length & 0x7F
            if length == 126:
                length = struct.unpack("!H", self._take(2))[0]
            elif length == 127:
                length = struct.unpack("!Q", self._take(8))[0]
            payload = self._take(length)
            if opcode == CLOSE:
                code = struct.unpack("!H", payload[:2])[0] if payload else 1005
                raise Closed(code, payload[2:].decode(errors="replace"))
            if opcode == PING:
                self._write(PONG, payload)
            elif opcode == TEXT:
                return payload.decode()

    def _take(self, count: int) -> bytes:
        while len(self._buffer) < count:
            if not self._more():
                raise Closed(1006, "the connection ended")
        taken, self._buffer = self._buffer[:count], self._buffer[count:]
        return taken

    def _more(self) -> bool:
        chunk = self._socket.recv(65_536)
        self._buffer += chunk
        return bool(chunk)


def _target(url: str) -> str:
    parts = urlsplit(url)
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
