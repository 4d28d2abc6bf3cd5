"""Thousands of clients in one loop: those that read as fast as they can, and those that a thin line holds back."""

from __future__ import annotations

import base64
import errno
import json
import os
import select
import socket
import struct
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import pytest
from serving import Server
from speakers import PATH

PATIENCE = 60.0
TCP_MAXSEG = 2
CHUNK = 256 * 1024
PING = b"\x81\x02{}"

# What a crowd needs of a server: nobody is asked who it is, nobody says too much.
OPEN = """
[http_api]
insecure = true

[client]
insecure = true
message_rate_limit = 0
"""

Message = Callable[["Guest", dict[str, Any]], None]


def frame(opcode: int, payload: bytes) -> bytes:
    """A frame of a client. The mask is zeros, so that what is sent is what is written."""
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", 0x80 | opcode, 0x80 | size)
    elif size < 65536:
        head = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, size)
    else:
        head = struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, size)
    return head + b"\0\0\0\0" + payload


class Wire:
    """A socket that never waits."""

    def __init__(self, crowd: Crowd, port: int, *, source: str = "", narrow: bool = False):
        self.crowd = crowd
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if narrow:
            # As behind a modem: a small window, and segments that fit into it.
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
            self.socket.setsockopt(socket.IPPROTO_TCP, TCP_MAXSEG, 1400)
        if source:
            self.socket.bind((source, 0))
        code = self.socket.connect_ex(("127.0.0.1", port))
        if code not in (0, errno.EINPROGRESS):
            self.socket.close()
            raise OSError(code, os.strerror(code))
        self.number = self.socket.fileno()
        self.out = b""
        self.wanted = select.EPOLLIN | select.EPOLLOUT
        self.is_reading = True
        self.is_open = True
        crowd.add(self)

    def write(self, data: bytes) -> None:
        """Sends what goes, and the rest when there is room."""
        if self.out or not self.is_open:
            self.out += data
            return
        sent = 0
        with suppress(BlockingIOError, ConnectionError, BrokenPipeError):
            sent = self.socket.send(data)
        self.out = data[sent:]
        self.listen()

    def listen(self) -> None:
        """Tells the loop what this socket waits for."""
        wanted = (select.EPOLLIN if self.is_reading else 0) | (select.EPOLLOUT if self.out else 0)
        if self.is_open and wanted != self.wanted:
            self.wanted = wanted
            self.crowd.poll.modify(self.number, wanted)

    def turn(self, events: int) -> None:
        if events & select.EPOLLOUT:
            data, self.out = self.out, b""
            if data:
                self.write(data)
            self.listen()
        if events & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
            self.read(CHUNK)

    def read(self, most: int) -> int:
        """Reads up to `most` bytes, once."""
        try:
            data = self.socket.recv(most)
        except BlockingIOError:
            return 0
        except OSError:
            data = b""
        if data:
            self.received(data)
        else:
            self.close()
        return len(data)

    def received(self, data: bytes) -> None:
        raise NotImplementedError

    def close(self, *, reset: bool = False) -> None:
        """Ends it; with `reset` as a cut line does, without a word and without a wait."""
        if self.is_open:
            self.is_open = False
            self.crowd.remove(self)
            if reset:
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.socket.close()


class Guest(Wire):
    """A WebSocket client of the JSON dialect; what comes goes to `hear`, message by message."""

    def __init__(
        self, crowd: Crowd, server: Server, hear: Message, first: Iterable[dict[str, Any]] = (), **options: Any
    ):
        super().__init__(crowd, server.port, **options)
        self.hear = hear
        self.glance: Callable[[Guest, bytes], None] | None = None
        self.buffer = bytearray()
        self.taken = 0  # Bytes that came.
        self.rest = b""
        self.is_lazy = False  # What comes is looked at later, by whoever calls `unpack`.
        self.ids = 0
        self.is_up = False
        self.end: int | None = None
        self.about: Any = None
        self.commands = [{"connect": {}}, *first]
        key = base64.b64encode(os.urandom(16)).decode()
        self.out = (
            f"GET {PATH} HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        ).encode()

    def say(self, *commands: dict[str, Any]) -> int:
        """Sends commands in one frame; the id of the last."""
        lines = []
        for command in commands:
            self.ids += 1
            lines.append(json.dumps({"id": self.ids, **command}, separators=(",", ":")))
        self.write(frame(1, "\n".join(lines).encode()))
        return self.ids

    def received(self, data: bytes) -> None:
        self.taken += len(data)
        if self.glance is not None:
            # Somebody who looks at the bytes only: there are too many for more. Pings are answered all the same.
            data = self.rest + data
            cut = data.rfind(b"\x81", len(data) - 3)
            self.rest = data[cut:] if cut >= 0 and not data.endswith(PING) else b""
            if PING in data:
                self.write(frame(1, b"{}"))
            return self.glance(self, data[: len(data) - len(self.rest)])
        self.buffer += data
        if not self.is_up:
            head, end, rest = self.buffer.partition(b"\r\n\r\n")
            if not end:
                return
            assert head.startswith(b"HTTP/1.1 101"), bytes(head)
            self.is_up, self.buffer = True, rest
            self.say(*self.commands)
        if not self.is_lazy:
            self.unpack()

    def unpack(self) -> None:
        buffer, at = self.buffer, 0
        while len(buffer) - at >= 2:
            size, start = buffer[at + 1], at + 2
            if size == 126:
                size, start = int.from_bytes(buffer[at + 2 : at + 4], "big"), at + 4
            elif size == 127:
                size, start = int.from_bytes(buffer[at + 2 : at + 10], "big"), at + 10
            if len(buffer) < start + size:
                break
            opcode, payload = buffer[at] & 15, bytes(buffer[start : start + size])
            at = start + size
            if opcode == 8:
                self.end = int.from_bytes(payload[:2], "big")
                self.close()
                return
            for line in payload.split(b"\n"):
                message = json.loads(line)
                if message:
                    self.hear(self, message)
                else:
                    self.write(frame(1, b"{}"))
        del buffer[:at]

    def throttle(self, rate: int | None) -> None:
        """From now on reads this many bytes a second; `None`: all there is."""
        self.crowd.pace(self, rate)
        self.is_reading = rate is None
        self.listen()


class Api(Wire):
    """A connection to the server API that sends requests and reads answers without waiting for them."""

    def __init__(self, crowd: Crowd, server: Server):
        super().__init__(crowd, server.internal)
        self.server, self.buffer = server, b""
        self.waiting: list[Callable[[dict[str, Any]], None]] = []

    def ask(self, method: str, body: dict[str, Any], then: Callable[[dict[str, Any]], None]) -> None:
        if not self.is_open and not self.waiting and self.crowd.is_open:
            # The server ends connections that say nothing for a while.
            Wire.__init__(self, self.crowd, self.server.internal)
        data = json.dumps(body, separators=(",", ":")).encode()
        self.waiting.append(then)
        self.write(f"POST /api/{method} HTTP/1.1\r\nHost: t\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data)

    def received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end].decode("latin-1").lower()
            size = int(head.split("content-length:", 1)[1].split("\r\n", 1)[0])
            if len(self.buffer) < end + 4 + size:
                return
            body, self.buffer = self.buffer[end + 4 : end + 4 + size], self.buffer[end + 4 + size :]
            assert head.startswith("http/1.1 200"), (head, body)
            self.waiting.pop(0)(json.loads(body))


class Crowd:
    """The loop."""

    def __init__(self) -> None:
        self.poll = select.epoll()
        self.wires: dict[int, Wire] = {}
        self.paced: dict[Guest, tuple[int, float]] = {}
        self.chores: list[Callable[[float], None]] = []
        self.is_open = True

    def __enter__(self) -> Crowd:
        return self

    def __exit__(self, *_: object) -> None:
        self.is_open = False
        for wire in list(self.wires.values()):
            wire.close(reset=True)
        self.poll.close()

    def add(self, wire: Wire) -> None:
        self.wires[wire.number] = wire
        self.poll.register(wire.number, wire.wanted)

    def remove(self, wire: Wire) -> None:
        self.poll.unregister(wire.number)
        self.paced.pop(wire, None)  # type: ignore[call-overload]
        del self.wires[wire.number]

    def pace(self, guest: Guest, rate: int | None) -> None:
        if rate is None:
            self.paced.pop(guest, None)
        else:
            self.paced[guest] = (rate, time.monotonic())

    def turn(self, wait: float = 0.02) -> None:
        """One round: whatever is ready, the readers on thin lines, and chores."""
        for number, events in self.poll.poll(wait, 1024):
            wire = self.wires.get(number)
            if wire is not None:
                wire.turn(events)
        now = time.monotonic()
        for guest, (rate, since) in list(self.paced.items()):
            due = int((now - since) * rate)
            if due >= min(rate // 20, CHUNK) and rate > 0:
                # What was not there to be read is not caught up on later: a line does not save.
                self.paced[guest] = (rate, now)
                guest.read(due)
        for chore in self.chores:
            chore(now)

    def until(self, condition: Callable[[], Any], what: Callable[[], str] | str, patience: float = PATIENCE) -> None:
        """Turns until the condition holds."""
        end = time.monotonic() + patience
        while not condition():
            assert time.monotonic() < end, f"in {patience} s: {what if isinstance(what, str) else what()}"
            self.turn()

    def during(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.turn()


def processor(server: Server) -> float:
    """Seconds of processor time that the server has used."""
    assert server.process
    with open(f"/proc/{server.process.pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(server: Server) -> int:
    """Bytes of memory that the server has."""
    assert server.process
    with open(f"/proc/{server.process.pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def metric(server: Server, name: str, namespace: str = "") -> float:
    """A number of /metrics."""
    with socket.create_connection(("127.0.0.1", server.internal), 5) as http:
        http.sendall(b"GET /metrics HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
        text = b""
        while chunk := http.recv(65536):
            text += chunk
    wanted = f'namespace="{namespace}"'
    for line in text.decode().splitlines():
        if line.startswith((name + "{", name + " ", name + "_total")) and (not namespace or wanted in line):
            return float(line.rsplit(" ", 1)[1])
    raise AssertionError(f"there is no metric {name} of {namespace or 'the server'}")


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


@pytest.fixture
def figures(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Prints a figure where people see it, whether or not the test passes."""

    def show(text: str) -> None:
        with capsys.disabled():
            print(f"\n    {text}", end="", flush=True)

    return show
