"""Starts the real server on free loopback ports, and small sockets that speak its dialects."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import random
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
BINARY = Path(
    os.environ.get("JACKFIELD_BIN")
    or Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / "jackfield"
)
PATIENCE = 30.0


PORTS = Path(tempfile.gettempdir()) / "jackfield-test-ports"
_taken: list[int] = []


def free_port() -> int:
    """A port below those that outgoing connections get, and that no other test run has chosen.

    A lock on a file of its name says that it is taken for as long as this process lives.
    """
    PORTS.mkdir(exist_ok=True)
    while True:
        port = random.randrange(10_000, 30_000)
        claim = os.open(PORTS / str(port), os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            os.close(claim)
            continue
        _taken.append(claim)
        return port


def wait_for(condition: Callable[[], Any], what: str, patience: float = PATIENCE) -> Any:
    """Waits until `condition` gives something true, and gives it back."""
    end = time.monotonic() + patience
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"in {patience} s there was no sign of: {what}")
        time.sleep(0.01)


class Server:
    """One `jackfield serve` with ports of its own.

    `config` is the text of a jackfield.toml without ports; every port is chosen here and handed over by `--set`.
    Listeners named `json` and `raw` get the ports `tcp_json` and `tcp_raw` where `tcp` is true.
    """

    def __init__(self, config: str = "", *, dev: bool = False, workers: int = 2, sets: tuple[str, ...] = ()):
        self.folder = tempfile.TemporaryDirectory(prefix="jackfield-test-")
        self.port, self.internal, self.embedded = free_port(), free_port(), free_port()
        self.tcp_json, self.tcp_raw = free_port(), free_port()
        self.config = config
        self.dev, self.workers, self.sets = dev, workers, sets
        self.process: subprocess.Popen[bytes] | None = None
        self.host = "127.0.0.1"  # Where it takes clients.
        self.wrapper: tuple[str, ...] = ()  # A program that runs the server, and file descriptors for it.
        self.descriptors: tuple[int, ...] = ()

    def start(self) -> Server:
        assert BINARY.exists(), f"{BINARY} is missing: cargo build --release -p jackfield"
        path = Path(self.folder.name) / "jackfield.toml"
        text = self.config
        for name in ("port", "internal", "embedded", "tcp_json", "tcp_raw"):
            text = text.replace("{" + name + "}", str(getattr(self, name)))
        if self.dev:
            text += (
                f'\n[[tcp]]\nname = "json"\nport = {self.tcp_json}\ndialect = "centrifugo-json"\n'
                f'\n[[tcp]]\nname = "raw"\nport = {self.tcp_raw}\ndialect = "raw"\nchannel = "ws"\npublish_to = "channel"\n'
            )
        path.write_text(text)
        self.log = open(Path(self.folder.name) / "log", "ab")
        command = [*self.wrapper, str(BINARY), "serve", "-c", str(path), "--workers", str(self.workers)]
        if self.dev:
            command.append("--dev")
        for pair in (
            "http_server.address=127.0.0.1",
            f"http_server.port={self.port}",
            f"http_server.internal_port={self.internal}",
            f"embedded.port={self.embedded}",
            *self.sets,
        ):
            command += ["--set", pair]
        environment = {key: value for key, value in os.environ.items() if not key.startswith("JACKFIELD_")}
        self.process = subprocess.Popen(
            command, stdout=self.log, stderr=self.log, env=environment, pass_fds=self.descriptors
        )
        wait_for(lambda: self.process.poll() is not None or self.healthy(), f"a healthy server\n{self.logged()}")
        assert self.process.poll() is None, f"the server did not start:\n{self.logged()}"
        return self

    def healthy(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection((self.host, self.port), 1) as probe:
            probe.sendall(b"GET /health HTTP/1.1\r\nHost: test\r\n\r\n")
            return probe.recv(64).startswith(b"HTTP/1.1 200")
        return False

    def logged(self) -> str:
        path = Path(self.folder.name) / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def signal(self, number: int) -> None:
        assert self.process
        self.process.send_signal(number)

    def stop(self) -> int:
        code = 0
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                code = self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise
        return code

    def __enter__(self) -> Server:
        return self.start()

    def __exit__(self, *_: object) -> None:
        try:
            self.stop()
        finally:
            self.log.close()
            self.folder.cleanup()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/connection/websocket"


class Lines:
    """A TCP client that speaks lines."""

    def __init__(self, port: int):
        self.socket = self.dial(port)
        self.socket.settimeout(PATIENCE)
        self.file = self.socket.makefile("rb")
        self.ids = 0

    def dial(self, port: int) -> socket.socket:
        return socket.create_connection(("127.0.0.1", port), 5)

    def write(self, line: str | bytes) -> None:
        self.socket.sendall((line.encode() if isinstance(line, str) else line) + b"\n")

    def read(self) -> str | None:
        """The next line; None when the server has closed."""
        line = self.file.readline()
        return line.decode().rstrip("\n") if line else None

    def command(self, **request: Any) -> dict[str, Any]:
        """Sends one command of the JSON dialect and waits for its reply; pushes before it are kept in `pushes`."""
        self.ids += 1
        self.write(json.dumps({"id": self.ids, **request}))
        return self.reply(self.ids)

    def reply(self, number: int) -> dict[str, Any]:
        while True:
            line = self.read()
            assert line is not None, "the server closed before it replied"
            message = json.loads(line)
            if message.get("id") == number:
                return message
            if "push" in message:
                self.pushes.append(message["push"])

    @property
    def pushes(self) -> list[dict[str, Any]]:
        return self.__dict__.setdefault("_pushes", [])

    def push(self) -> dict[str, Any]:
        """The next push."""
        while not self.pushes:
            line = self.read()
            assert line is not None, "the server closed before it pushed"
            message = json.loads(line)
            if "push" in message:
                self.pushes.append(message["push"])
        return self.pushes.pop(0)

    def close(self) -> None:
        self.file.close()
        self.socket.close()


class RawWebSocket:
    """A WebSocket client of bytes: what no well-behaved library lets one send, this one does."""

    def __init__(self, port: int, path: str, headers: tuple[str, ...] = ()):
        self.socket = self.dial(port)
        self.socket.settimeout(PATIENCE)
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [
            f"GET {path} HTTP/1.1",
            f"Host: 127.0.0.1:{port}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key}",
            "Sec-WebSocket-Version: 13",
            *headers,
        ]
        self.socket.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        self.buffer = b""
        while b"\r\n\r\n" not in self.buffer:
            chunk = self.socket.recv(4096)
            assert chunk, f"closed in the handshake after {self.buffer!r}"
            self.buffer += chunk
        self.head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)

    def dial(self, port: int) -> socket.socket:
        return socket.create_connection(("127.0.0.1", port), 5)

    def frame(self, opcode: int, payload: bytes, *, fin: bool = True, masked: bool = True, rsv: int = 0) -> None:
        """Sends one frame, good or bad."""
        head = bytes([(0x80 if fin else 0) | (rsv << 4) | opcode])
        bit = 0x80 if masked else 0
        if len(payload) < 126:
            head += bytes([bit | len(payload)])
        elif len(payload) < 65536:
            head += bytes([bit | 126]) + struct.pack("!H", len(payload))
        else:
            head += bytes([bit | 127]) + struct.pack("!Q", len(payload))
        if masked:
            mask = os.urandom(4)
            payload = bytes(byte ^ mask[n % 4] for n, byte in enumerate(payload))
            head += mask
        self.socket.sendall(head + payload)

    def text(self, text: str) -> None:
        self.frame(1, text.encode())

    def _take(self, count: int) -> bytes | None:
        while len(self.buffer) < count:
            chunk = self.socket.recv(65536)
            if not chunk:
                return None
            self.buffer += chunk
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken

    def read(self) -> tuple[int, bytes] | None:
        """The next frame as (opcode, payload); None when the server has closed."""
        head = self._take(2)
        if head is None:
            return None
        length = head[1] & 0x7F
        if length == 126:
            length = struct.unpack("!H", self._take(2) or b"\0\0")[0]
        elif length == 127:
            length = struct.unpack("!Q", self._take(8) or b"\0" * 8)[0]
        payload = self._take(length) if length else b""
        return None if payload is None else (head[0] & 0x0F, payload)

    def closed(self) -> tuple[int, str]:
        """Reads on to the Close frame: its code and reason."""
        while True:
            frame = self.read()
            assert frame is not None, "the server closed without a Close frame"
            if frame[0] == 8:
                return struct.unpack("!H", frame[1][:2])[0], frame[1][2:].decode()

    def close(self) -> None:
        self.socket.close()


@contextlib.contextmanager
def collecting(socket_: RawWebSocket) -> Iterator[list[bytes]]:
    """Reads data frames in the background into the list."""
    frames: list[bytes] = []

    def run() -> None:
        with contextlib.suppress(OSError):
            while (frame := socket_.read()) is not None:
                if frame[0] in (1, 2):
                    frames.append(frame[1])

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    yield frames
    with contextlib.suppress(OSError):
        socket_.socket.shutdown(socket.SHUT_RDWR)
    thread.join(5)
