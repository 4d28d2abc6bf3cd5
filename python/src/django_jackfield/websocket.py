"""A WebSocket client of the standard library: texts out, texts in."""

from __future__ import annotations

import base64
import os
import socket
import ssl
import struct
from urllib.parse import urlsplit

from django_jackfield.errors import JackfieldError


class WebSocketError(JackfieldError, ConnectionError):
    """The server took no WebSocket, or broke it off."""


class WebSocket:
    """One connection to a `ws://` or `wss://` address. For tests and tools, not for many."""

    def __init__(self, url: str, timeout: float = 10.0) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("ws", "wss") or not parts.hostname:
            raise WebSocketError(f"{url!r} is no ws:// or wss:// address")
        port = parts.port or (443 if parts.scheme == "wss" else 80)
        try:
            self._socket = socket.create_connection((parts.hostname, port), timeout)
            if parts.scheme == "wss":
                context = ssl.create_default_context()
                self._socket = context.wrap_socket(self._socket, server_hostname=parts.hostname)
        except OSError as error:
            raise WebSocketError(f"no server at {url} ({error})") from error
        self._buffer = b""
        self.close_reason: tuple[int, str] | None = None
        try:
            self._shake_hands(parts.netloc.rpartition("@")[2], parts.path or "/")
        except BaseException:
            self._socket.close()
            raise
        self._socket.settimeout(None)

    def write(self, text: str) -> None:
        """Sends a text."""
        self._write(1, text.encode())

    def read(self) -> str | None:
        """The next text; None when the server has closed (see `close_reason`)."""
        pieces = b""
        while (frame := self._frame()) is not None:
            final, opcode, payload = frame
            if opcode == 8:
                if len(payload) >= 2:
                    code = struct.unpack("!H", payload[:2])[0]
                    self.close_reason = code, payload[2:].decode(errors="replace")
                return None
            if opcode == 9:
                self._write(10, payload)
            elif opcode in (0, 1, 2):
                pieces += payload
                if final:
                    return pieces.decode()
        return None

    def shut(self) -> None:
        """Breaks off; who reads is told. The object is closed by `close`."""
        try:
            self._write(8, struct.pack("!H", 1000))
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def close(self) -> None:
        """Lets go of the socket."""
        self._socket.close()

    def _shake_hands(self, host: str, path: str) -> None:
        key = base64.b64encode(os.urandom(16)).decode()
        head = (
            f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        self._socket.sendall(head.encode())
        while b"\r\n\r\n" not in self._buffer:
            chunk = self._socket.recv(4096)
            if not chunk:
                raise WebSocketError("the server closed before it answered")
            self._buffer += chunk
        answer, self._buffer = self._buffer.split(b"\r\n\r\n", 1)
        status = answer.split(b"\r\n", 1)[0].decode(errors="replace")
        if " 101 " not in status + " ":
            raise WebSocketError(f"the server takes no WebSocket here: {status}")

    def _write(self, opcode: int, payload: bytes) -> None:
        length = len(payload)
        if length < 126:
            head = struct.pack("!BB", 0x80 | opcode, 0x80 | length)
        elif length < 65536:
            head = struct.pack("!BBH", 0x80 | opcode, 0xFE, length)
        else:
            head = struct.pack("!BBQ", 0x80 | opcode, 0xFF, length)
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[number & 3] for number, byte in enumerate(payload))
        self._socket.sendall(head + mask + masked)

    def _frame(self) -> tuple[bool, int, bytes] | None:
        head = self._take(2)
        if head is None:
            return None
        length = head[1] & 0x7F
        if length > 125:
            size = self._take(2 if length == 126 else 8)
            if size is None:
                return None
            length = int.from_bytes(size, "big")
        payload = self._take(length)
        return None if payload is None else (bool(head[0] & 0x80), head[0] & 0x0F, payload)

    def _take(self, count: int) -> bytes | None:
        while len(self._buffer) < count:
            try:
                chunk = self._socket.recv(65536)
            except OSError:
                return None
            if not chunk:
                return None
            self._buffer += chunk
        taken, self._buffer = self._buffer[:count], self._buffer[count:]
        return taken
