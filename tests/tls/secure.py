"""Servers and clients that speak TLS."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from authority import Authority, Issued
from cryptography import x509
from serving import PATIENCE, Lines, Server
from speakers import SECRET, JsonSocket, Neighbours, unique

ALERTS = {
    10: "unexpected_message",
    20: "bad_record_mac",
    22: "record_overflow",
    40: "handshake_failure",
    42: "bad_certificate",
    45: "certificate_expired",
    46: "certificate_unknown",
    48: "unknown_ca",
    50: "decode_error",
    51: "decrypt_error",
    70: "protocol_version",
    116: "certificate_required",
    120: "no_application_protocol",
}

HEAD = f"""
[client.token]
hmac_secret_key = "{SECRET}"

[[channel.namespaces]]
name = "open"
presence = true
join_leave = true
force_push_join_leave = true
allow_subscribe_for_client = true
allow_publish_for_client = true
allow_presence_for_client = true

[[channel.namespaces]]
name = "quiet"
allow_subscribe_for_client = true
allow_publish_for_client = true

[[raw]]
path = "/echo"
dialect = "echo"

[app_link]
driver = "embedded"
"""


def keys(issued: Issued, **more: Any) -> str:
    """The keys of a certificate, and others, as TOML."""
    told = {"cert_pem_file": str(issued.certificate), "key_pem_file": str(issued.key), **more}
    return "\n".join(f"{key} = {toml(value)}" for key, value in told.items())


def toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int) else f'"{value}"'


def tls(table: str, issued: Issued, **more: Any) -> str:
    """A table of TLS."""
    return f"\n[{table}]\nenabled = true\n{keys(issued, **more)}\n"


def base(issued: Issued, **more: Any) -> str:
    """The configuration of a server with TLS on its public port."""
    return HEAD + tls("http_server.tls", issued, **more)


class SecureServer(Server):
    """A server whose public port need not answer plain HTTP, nor let anybody in."""

    before = b""

    def healthy(self) -> bool:
        any_ = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        any_.check_hostname, any_.verify_mode = False, ssl.CERT_NONE
        try:
            with dial(self.port, any_, before=self.before, patience=5):
                return True
        except ssl.SSLError as error:
            return "alert" in str(error).lower()
        except OSError:
            return False


def context(
    authority: Authority | Path | None,
    *,
    client: Issued | None = None,
    version: str | None = None,
    alpn: tuple[str, ...] = (),
) -> ssl.SSLContext:
    """What a client believes and shows; without an authority it believes everything."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if authority is None:
        made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    else:
        made.load_verify_locations(authority.certificate if isinstance(authority, Authority) else authority)
    if client:
        made.load_cert_chain(client.certificate, client.key)
    if version:
        made.minimum_version = made.maximum_version = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}[
            version
        ]
    if alpn:
        made.set_alpn_protocols(list(alpn))
    return made


def dial(
    port: int,
    context: ssl.SSLContext,
    *,
    name: str | None = "localhost",
    before: bytes = b"",
    session: ssl.SSLSession | None = None,
    patience: float = PATIENCE,
) -> ssl.SSLSocket:
    """A connection whose handshake is over."""
    plain = socket.create_connection(("127.0.0.1", port), patience)
    try:
        plain.sendall(before)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return context.wrap_socket(plain, server_hostname=name, session=session)
    except BaseException:
        plain.close()
        raise


def serial(port: int, name: str | None = "localhost", **options: Any) -> int:
    """The serial number of the certificate that the next handshake sees, whoever signed it."""
    with dial(port, context(None), name=name, **options) as client:
        return x509.load_der_x509_certificate(client.getpeercert(binary_form=True) or b"").serial_number


class SecureSocket(JsonSocket):
    """A client of the JSON dialect over WebSocket over TLS."""

    def __init__(
        self, port: int, context: ssl.SSLContext, *, name: str = "localhost", before: bytes = b"", **options: Any
    ):
        self.context, self.name, self.before = context, name, before
        super().__init__(port, **options)

    def dial(self, port: int) -> ssl.SSLSocket:
        return dial(port, self.context, name=self.name, before=self.before)


class SecureLines(Lines):
    """A TCP client that speaks lines over TLS."""

    def __init__(self, port: int, context: ssl.SSLContext, *, before: bytes = b""):
        self.context, self.before = context, before
        super().__init__(port)

    def dial(self, port: int) -> ssl.SSLSocket:
        return dial(port, self.context, before=self.before)


def joined(
    server: Server, context: ssl.SSLContext, channel: str | None = None, user: str = "ann", **options: Any
) -> SecureSocket:
    """A client that is connected, and in a channel if one is named."""
    client = SecureSocket(server.port, context, **options)
    client.login(user)
    if channel:
        client.result(subscribe={"channel": channel})
    return client


class SecureNeighbours(Neighbours):
    """Well-behaved clients over TLS: whatever somebody else does, they live and hear each other."""

    def __init__(self, server: Server, context: ssl.SSLContext, count: int = 4, before: bytes = b""):
        # A channel without joins and leaves: what is heard there is what is published.
        self.channel = unique("quiet:neighbours-")
        self.clients = [joined(server, context, self.channel, f"neighbour-{n}", before=before) for n in range(count)]
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.answer_pings, daemon=True)
        self.thread.start()


class Alert(Exception):
    """The server said no in TLS; its word for why."""


@contextlib.contextmanager
def alerts() -> Iterator[None]:
    """Turns what OpenSSL says about an alert into the alert's name."""
    try:
        yield
    except ssl.SSLError as error:
        # `[SSL: TLSV1_ALERT_UNKNOWN_CA]`, or `[SSL] tlsv1 alert no application protocol` where it has no name for it.
        found = re.search(r"alert[ _]([a-z0-9_ ]+)", str(error), re.IGNORECASE)
        if not found:
            raise
        raise Alert(found[1].strip().lower().replace(" ", "_")) from error


def alert_in(answer: bytes) -> str | None:
    """The name of the alert at the end of what came from the server unencrypted."""
    at = 0
    while len(answer) - at >= 5:
        kind, length = answer[at], int.from_bytes(answer[at + 3 : at + 5], "big")
        body = answer[at + 5 : at + 5 + length]
        if kind == 21 and length == 2:
            return ALERTS.get(body[1], str(body[1]))
        at += 5 + length
    return None


def all_of(client: socket.socket) -> bytes:
    """Everything until the server closes."""
    answer = b""
    with contextlib.suppress(ConnectionResetError):
        while chunk := client.recv(65536):
            answer += chunk
    return answer


def hello(context: ssl.SSLContext, name: str = "localhost") -> bytes:
    """The first bytes that a client with this context sends."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    talk = context.wrap_bio(incoming, outgoing, server_hostname=name)
    with contextlib.suppress(ssl.SSLWantReadError):
        talk.do_handshake()
    return outgoing.read()


class Records:
    """A TLS client that has the ciphertext in its own hands: it can send it in any pieces, or send anything else."""

    def __init__(self, port: int, context: ssl.SSLContext, *, piece: int = 1 << 20):
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.piece = piece
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")
        self.do(self.tls.do_handshake)

    def do(self, step: Any, *values: Any) -> Any:
        while True:
            try:
                done = step(*values)
                self.send()
                return done
            except ssl.SSLWantReadError:
                self.send()
                data = self.socket.recv(65536)
                if not data:
                    self.incoming.write_eof()
                self.incoming.write(data)

    def send(self) -> None:
        data = self.outgoing.read()
        for at in range(0, len(data), self.piece):
            self.socket.sendall(data[at : at + self.piece])

    def write(self, data: bytes) -> None:
        self.do(self.tls.write, data)

    def read(self, limit: int = 65536) -> bytes:
        return self.do(self.tls.read, limit)

    def close(self) -> None:
        self.socket.close()


class s_client:  # noqa: N801 - the program is called so.
    """`openssl s_client` with lines in and lines out; it hangs up where the server's certificate is no good."""

    def __init__(self, port: int, authority: Authority, *arguments: str):
        command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", "localhost"]
        trust = [
            "-quiet",
            "-verify_return_error",
            "-verify_hostname",
            "localhost",
            "-CAfile",
            str(authority.certificate),
        ]
        self.process = subprocess.Popen(
            [*command, *trust, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def ask(self, line: str) -> str:
        """The line that is said after this one."""
        assert self.process.stdin and self.process.stdout and self.process.stderr
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().decode()
        assert answer, self.process.stderr.read().decode()
        return answer

    def __enter__(self) -> s_client:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()


def upgrade(path: str) -> bytes:
    """A WebSocket handshake."""
    return (
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()
