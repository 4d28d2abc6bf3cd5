"""Clients for each way in beside JSON over WebSocket, and the configuration that opens all of them."""

from __future__ import annotations

import base64
import json
import socket
import struct
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, NamedTuple
from urllib.parse import quote

from centrifuge.protocol import client_pb2
from google.protobuf import json_format
from serving import PATIENCE, RawWebSocket, Server
from speakers import BASE, JsonSocket, token
from talkers import Talker

SSE, STREAM, EMULATION = "/connection/sse", "/connection/http_stream", "/emulation"
UNI_WEBSOCKET, UNI_SSE, UNI_STREAM = "/connection/uni_websocket", "/connection/uni_sse", "/connection/uni_http_stream"
JSON, BYTES = "application/json", "application/octet-stream"

VARINT = 'name = "varint"\nport = {tcp_json}\nframing = "varint"\ndialect = "centrifugo-protobuf"'

# Everything of `speakers.BASE`; the listener of JSON lines speaks Protobuf instead.
EVERYTHING = (
    BASE.replace('name = "json"\nport = {tcp_json}', VARINT)
    + """
[[channel.namespaces]]
name = "kept"
history_size = 100
history_ttl = "5m"
allow_subscribe_for_client = true
allow_publish_for_client = true
allow_history_for_client = true
force_recovery = true

[[raw]]
path = "/echo"
dialect = "echo"
message_size_limit = 1048576

[websocket]
compression = true

[sse]
enabled = true

[http_stream]
enabled = true

[uni_websocket]
enabled = true

[uni_sse]
enabled = true

[uni_http_stream]
enabled = true
"""
)


class Answer(NamedTuple):
    """What HTTP answered; the names of the headers in small letters."""

    status: int
    headers: dict[str, str]
    body: bytes


class Http:
    """A connection that speaks HTTP by hand; `source` is the loopback address that it comes from."""

    def __init__(self, port: int, *, source: str = "127.0.0.1", before: bytes = b""):
        self.port = port
        self.socket = socket.create_connection(("127.0.0.1", port), 5, source_address=(source, 0))
        self.socket.settimeout(PATIENCE)
        self.buffer = bytearray()
        if before:
            self.socket.sendall(before)

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def ask(self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> None:
        self.send(request(method, path, body, headers))

    def fill(self) -> bool:
        """Reads what there is; False at the end. A reset is an end too: the server need not read what it refused."""
        chunk = b""
        with suppress(ConnectionResetError):
            chunk = self.socket.recv(65536)
        self.buffer += chunk
        return bool(chunk)

    def until(self, separator: bytes) -> bytes:
        while separator not in self.buffer:
            assert self.fill(), f"closed after {bytes(self.buffer)!r}"
        taken, _, rest = bytes(self.buffer).partition(separator)
        self.buffer = bytearray(rest)
        return taken

    def head(self) -> tuple[int, dict[str, str]]:
        """Status and headers; each header once, and nothing in them that could start another line."""
        status, *lines = self.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        assert status.startswith("HTTP/1.1 "), status
        headers: dict[str, str] = {}
        for line in lines:
            name, colon, value = line.partition(":")
            assert colon and name.lower() not in headers, (line, lines)
            assert not set(line) & {"\r", "\n", "\0"}, line
            headers[name.lower()] = value.strip()
        return int(status.split()[1]), headers

    def answer(self) -> Answer:
        """One whole answer, as long as it says it is."""
        status, headers = self.head()
        length = int(headers.get("content-length", 0))
        assert status == 204 or "content-length" in headers, headers
        while len(self.buffer) < length:
            assert self.fill(), f"{length} bytes were announced, {len(self.buffer)} came"
        body, self.buffer = bytes(self.buffer[:length]), self.buffer[length:]
        return Answer(status, headers, body)

    def ended(self) -> bytes:
        """Reads to the end of the connection; what came before it."""
        while self.fill():
            pass
        rest, self.buffer = bytes(self.buffer), bytearray()
        return rest

    def close(self) -> None:
        self.socket.close()


def request(method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> bytes:
    """The bytes of a request; `body` None for none at all."""
    fields = {"Host": "h"} | ({} if body is None else {"Content-Length": str(len(body))}) | (headers or {})
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + (body or b"")


def ask(
    port: int, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> Answer:
    """One request on a connection of its own, and its answer."""
    client = Http(port)
    client.ask(method, path, body, headers)
    answer = client.answer()
    client.close()
    return answer


# Tongues: commands to bytes, bytes to messages.


class JsonTongue:
    """The JSON encoding."""

    content_type = JSON

    @staticmethod
    def pack(*commands: dict[str, Any]) -> bytes:
        return "\n".join(json.dumps(command) for command in commands).encode()

    @staticmethod
    def unpack(message: bytes) -> dict[str, Any]:
        return json.loads(message)

    @staticmethod
    def uplink(session: str, node: str, data: bytes) -> bytes:
        return json.dumps({"session": session, "node": node, "data": data.decode()}).encode()


class ProtobufTongue:
    """The Protobuf encoding, by Google's library and the schema of the unmodified Python SDK."""

    content_type = BYTES

    @staticmethod
    def pack(*commands: dict[str, Any]) -> bytes:
        messages = (json_format.ParseDict(wrap(command), client_pb2.Command()).SerializeToString() for command in commands)
        return b"".join(prefixed(message) for message in messages)

    @staticmethod
    def unpack(message: bytes) -> dict[str, Any]:
        return unwrap(json_format.MessageToDict(client_pb2.Reply.FromString(message), preserving_proto_field_name=True))

    @staticmethod
    def uplink(session: str, node: str, data: bytes) -> bytes:
        return client_pb2.EmulationRequest(node=node, session=session, data=data).SerializeToString()


# Fields that are bytes; the tests put JSON into them.
OPAQUE = {"data", "conn_info", "chan_info"}


def wrap(value: Any) -> Any:
    """Makes a message as the tests write it into the JSON form of Protobuf messages."""
    if isinstance(value, dict):
        packed = lambda item: base64.b64encode(json.dumps(item).encode()).decode()  # noqa: E731
        return {key: packed(item) if key in OPAQUE else wrap(item) for key, item in value.items()}
    return value


def unwrap(value: Any) -> Any:
    """The other way round; data that is no JSON stays bytes."""

    def opaque(item: str) -> Any:
        raw = base64.b64decode(item)
        try:
            return json.loads(raw)
        except ValueError:
            return raw

    if isinstance(value, dict):

        def field(key: str, item: Any) -> Any:
            if key in OPAQUE and isinstance(item, str):
                return opaque(item)
            return int(item) if key == "offset" else unwrap(item)

        return {key: field(key, item) for key, item in value.items()}
    return [unwrap(item) for item in value] if isinstance(value, list) else value


def prefixed(message: bytes) -> bytes:
    """A message behind its length as a varint."""
    length, head = len(message), b""
    while length > 0x7F:
        head += bytes([length & 0x7F | 0x80])
        length >>= 7
    return head + bytes([length]) + message


# Cutters: take the first whole message out of a buffer; None when there is none.


def cut_varint(buffer: bytearray) -> bytes | None:
    length = 0
    for n, byte in enumerate(buffer):
        length |= (byte & 0x7F) << (7 * n)
        if byte < 0x80:
            if len(buffer) < n + 1 + length:
                return None
            message = bytes(buffer[n + 1 : n + 1 + length])
            del buffer[: n + 1 + length]
            return message
    return None


def cut_line(buffer: bytearray) -> bytes | None:
    if b"\n" not in buffer:
        return None
    line, _, rest = bytes(buffer).partition(b"\n")
    buffer[:] = rest
    return line


def cut_event(buffer: bytearray) -> bytes | None:
    """The data of the next event, by the rules of the HTML standard for lines that end in LF or CR LF."""
    data: list[bytes] = []
    at = 0
    while (end := buffer.find(b"\n", at)) >= 0:
        line = bytes(buffer[at:end]).removesuffix(b"\r")
        at = end + 1
        if line.startswith(b"data:"):
            data.append(line[5:].removeprefix(b" "))
        elif not line and data:
            del buffer[:at]
            return b"\n".join(data)
        else:
            assert not line or line.startswith(b":"), line
    return None


class Downlink(Http):
    """A streaming answer, message by message."""

    def __init__(
        self,
        port: int,
        cut: Callable[[bytearray], bytes | None],
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ):
        super().__init__(port)
        self.cut = cut
        self.ask(method, path, body, headers)
        self.status, self.headers = self.head()

    def message(self) -> bytes | None:
        """The next message; None when the server has closed."""
        while (message := self.cut(self.buffer)) is None:
            if not self.fill():
                assert not self.buffer.strip(), f"the stream ends within a message: {bytes(self.buffer)!r}"
                return None
        return message


def downlink(door: str, port: int, first: bytes, headers: dict[str, str] | None = None) -> Downlink:
    """Opens the streaming answer of a bidirectional door; `first` are the commands it begins with."""
    typed = (headers or {}) | {"Content-Type": BYTES if door == "http_stream-protobuf" else JSON}
    match door:
        case "sse":
            return Downlink(port, cut_event, "GET", f"{SSE}?cf_connect={quote(first)}", None, headers)
        case "sse-post":
            return Downlink(port, cut_event, "POST", SSE, first, typed)
        case "http_stream":
            return Downlink(port, cut_line, "POST", STREAM, first, typed)
        case "http_stream-protobuf":
            return Downlink(port, cut_varint, "POST", STREAM, first, typed)
    raise ValueError(door)


class Emulated(Talker):
    """A client whose commands are requests of their own to /emulation, and whose replies are one long answer."""

    def __init__(self, server: Server, door: str, *commands: dict[str, Any], pongs: bool = True):
        super().__init__(pongs=pongs)
        self.port = server.port
        self.tongue = ProtobufTongue if door.endswith("protobuf") else JsonTongue
        self.session = self.node = ""
        self.uplink: Http | None = None
        self.down = downlink(door, server.port, self.tongue.pack(*commands))
        assert self.down.status == 200, (self.down.status, self.down.ended())

    def post(self, body: bytes) -> Answer:
        """Sends a body to /emulation over the connection that is kept for this; the answer."""
        if self.uplink is None:
            self.uplink = Http(self.port)
        self.uplink.ask("POST", EMULATION, body, {"Content-Type": self.tongue.content_type})
        answer = self.uplink.answer()
        if answer.headers.get("connection", "").lower() == "close":
            self.uplink.close()
            self.uplink = None
        return answer

    def send(self, *commands: dict[str, Any]) -> None:
        answer = self.post(self.tongue.uplink(self.session, self.node, self.tongue.pack(*commands)))
        assert answer.status == 204, answer

    def step(self) -> bool:
        message = self.down.message()
        if message is not None:
            self.take(self.tongue.unpack(message))
        return message is not None

    def close(self) -> None:
        self.down.close()
        if self.uplink:
            self.uplink.close()


class ProtobufSocket(JsonSocket):
    """A WebSocket client of the Protobuf dialect."""

    def __init__(self, port: int, **options: Any):
        super().__init__(port, ("Sec-WebSocket-Protocol: centrifuge-protobuf",), **options)

    def send(self, *commands: dict[str, Any]) -> None:
        self.frame(2, ProtobufTongue.pack(*commands))

    def step(self) -> bool:
        frame = self.read()
        if frame is None:
            return False
        opcode, payload = frame
        if opcode == 8:
            self.end = struct.unpack("!H", payload[:2])[0], payload[2:].decode()
            return False
        assert opcode in (2, 9, 10), opcode
        buffer = bytearray(payload if opcode == 2 else b"")
        while (message := cut_varint(buffer)) is not None:
            self.take(ProtobufTongue.unpack(message))
        assert not buffer, "a frame ends with a whole message"
        return True


class VarintSocket(Talker):
    """A TCP client of the Protobuf dialect."""

    def __init__(self, port: int, *, pongs: bool = True):
        super().__init__(pongs=pongs)
        self.socket = socket.create_connection(("127.0.0.1", port), 5)
        self.socket.settimeout(PATIENCE)
        self.buffer = bytearray()

    def send(self, *commands: dict[str, Any]) -> None:
        self.socket.sendall(ProtobufTongue.pack(*commands))

    def step(self) -> bool:
        while (message := cut_varint(self.buffer)) is None:
            chunk = self.socket.recv(65536)
            if not chunk:
                return False
            self.buffer += chunk
        self.take(ProtobufTongue.unpack(message))
        return True

    def close(self) -> None:
        self.socket.close()


def at_once(deed: Callable[[Any], None], things: Iterable[Any]) -> None:
    """Does the same with each of them at the same time, where the time is the server's own deadlines."""
    things = list(things)
    with ThreadPoolExecutor(len(things)) as pool:
        for done in [pool.submit(deed, thing) for thing in things]:
            done.result()


EMULATED = ("sse", "sse-post", "http_stream", "http_stream-protobuf")
TWO_WAY = ("websocket", "websocket-protobuf", "tcp-protobuf", *EMULATED)


def enter(server: Server, door: str, user: str = "ann", **connect: Any) -> tuple[Any, dict[str, Any]]:
    """A client that has connected through a door, and the result of its connect."""
    command = {"token": token(user), **connect}
    if door in EMULATED:
        client = Emulated(server, door, {"id": 1, "connect": command})
        assert next(client.ids) == 1
        hello = client.reply(1)["connect"]
        client.session, client.node = hello["session"], hello["node"]
        return client, hello
    client = {
        "websocket": lambda: JsonSocket(server.port),
        "websocket-protobuf": lambda: ProtobufSocket(server.port),
        "tcp-protobuf": lambda: VarintSocket(server.tcp_json),
    }[door]()
    return client, client.result(connect=command)


def echoing(server: Server, *headers: str) -> RawWebSocket:
    """A client of the echo endpoint."""
    return RawWebSocket(server.port, "/echo", headers)
