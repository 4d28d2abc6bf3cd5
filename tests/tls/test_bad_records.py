"""What is no TLS, or stops being TLS: it ends with a word where there is one, and hurts nobody else."""

from __future__ import annotations

import os
import random
import select
import socket
import subprocess
from collections.abc import Iterator

import pytest
from authority import Authority
from secure import Records, SecureServer, alert_in, all_of, base, context, dial, hello, joined, s_client, upgrade
from serving import PATIENCE, Server
from speakers import JsonSocket, unique
from speakers import joined as plain_joined

pytestmark = pytest.mark.usefixtures("neighbours")
NOISE = random.Random(7).randbytes(600)


@pytest.fixture(scope="module")
def server(authority: Authority) -> Iterator[SecureServer]:
    with SecureServer(base(authority.issue("localhost")), sets=("http_server.handshake_timeout=2s",)) as server:
        yield server


def said(port: int, data: bytes, *, ends: bool = False) -> bytes:
    """All that the server says to these bytes until it closes."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
        client.sendall(data)
        if ends:
            client.shutdown(socket.SHUT_WR)
        return all_of(client)


# Bytes, and the alerts that RFC 8446 allows for them.
GARBAGE = {
    "noise in a handshake record": (b"\x16\x03\x01\x02\x00" + NOISE[:512], {"decode_error", "unexpected_message"}),
    "a record over the limit": (b"\x16\x03\x01\xff\xff" + NOISE, {"record_overflow", "decode_error"}),
    "an empty handshake record": (b"\x16\x03\x01\x00\x00" * 40, {"decode_error", "unexpected_message"}),
    "a hello of another length": (b"\x16\x03\x01\x00\x08\x01\x00\x00\x04\x03\x03\x00\x00", {"decode_error"}),
    "a Finished first": (b"\x16\x03\x03\x00\x10\x14\x00\x00\x0c" + NOISE[:12], {"unexpected_message", "decode_error"}),
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_is_answered_with_an_alert(server: SecureServer, name: str) -> None:
    data, allowed = GARBAGE[name]
    assert alert_in(said(server.port, data)) in allowed


NO_TLS = {
    "an alert first": b"\x15\x03\x03\x00\x02\x02\x28",
    "a CCS first": b"\x14\x03\x03\x00\x01\x02",
    "data first": b"\x17\x03\x03\x00\x10" + NOISE[:16],
    "SSL 2": b"\x80\x2e\x01\x03\x01\x00\x15" + NOISE[:41],
    "zeros": b"\x00" * 100,
    "ones": b"\xff" * 100,
}


@pytest.mark.parametrize("name", NO_TLS)
def test_what_is_no_tls_at_all_ends(server: SecureServer, name: str) -> None:
    said(server.port, NO_TLS[name])


def test_a_hello_cut_anywhere(server: SecureServer, authority: Authority) -> None:
    whole = hello(context(authority))
    for length in (1, 3, 5, 6, 44, len(whole) // 2, len(whole) - 1):
        assert alert_in(said(server.port, whole[:length], ends=True)) in (None, "decode_error", "unexpected_message")


def test_a_handshake_that_stalls_is_cut(server: SecureServer, authority: Authority) -> None:
    """The wait is the server's own: 2 s here. Somebody who sends a byte now and then gets no more time."""
    whole = hello(context(authority))
    silent = socket.create_connection(("127.0.0.1", server.port), PATIENCE)
    dripping = socket.create_connection(("127.0.0.1", server.port), PATIENCE)
    # The handshake is over, the request never comes.
    idle = dial(server.port, context(authority))
    silent.sendall(whole[:-1])
    dripping.settimeout(0.05)
    try:
        for byte in whole[:-1] * 100:
            dripping.sendall(bytes([byte]))
            try:
                if not dripping.recv(100):
                    break
            except TimeoutError:
                continue
        else:
            raise AssertionError("the server waits for ever")
    except ConnectionError:
        pass
    all_of(silent)
    assert b"408" in all_of(idle)[:20]
    for client in (silent, dripping, idle):
        client.close()


def test_http_on_the_tls_port_is_told_so(server: SecureServer) -> None:
    for request in (b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", upgrade("/connection/websocket")):
        head, _, body = said(server.port, request).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 400 ")
        assert b"TLS" in body and b"https" in body, body
        assert b"text/plain" in head


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("shape", ["noise", "an empty record", "a plain alert", "a flood of empty records"])
def test_records_that_go_bad_after_the_handshake(
    server: SecureServer, authority: Authority, version: str, shape: str
) -> None:
    client = Records(server.port, context(authority, version=version))
    client.write(upgrade("/echo"))
    assert client.read(12) == b"HTTP/1.1 101"
    client.socket.sendall(
        {
            "noise": b"\x17\x03\x03\x00\x40" + NOISE[:64],
            "an empty record": b"\x17\x03\x03\x00\x00",
            "a plain alert": b"\x15\x03\x03\x00\x02\x02\x14",
            "a flood of empty records": b"\x17\x03\x03\x00\x00" * 5000,
        }[shape]
    )
    all_of(client.socket)
    client.close()


def test_renegotiation_is_refused(server: SecureServer, authority: Authority) -> None:
    command = [
        "openssl",
        "s_client",
        "-connect",
        f"127.0.0.1:{server.port}",
        "-tls1_2",
        "-CAfile",
        str(authority.certificate),
    ]
    done = subprocess.run(
        [*command, "-servername", "localhost"], input=b"R\n", capture_output=True, timeout=PATIENCE, check=False
    )
    words = done.stdout + done.stderr
    assert b"Verify return code: 0" in words and b"RENEGOTIATING" in words
    # OpenSSL asks for it; the server sends no second certificate but `no_renegotiation`, or hangs up.
    assert b"no renegotiation" in words.lower() or b"unexpected eof" in words.lower(), words[-2000:].decode()


def test_key_updates_go_on(server: SecureServer, authority: Authority) -> None:
    """A client of TLS 1.3 may change its keys, and ask the server for others."""
    with s_client(server.port, authority, "-tls1_3", "-no_ign_eof", "-msg") as client:
        assert client.process.stdin and client.process.stdout
        out = client.process.stdout.fileno()
        client.process.stdin.write(b"K\n")
        client.process.stdin.flush()
        seen = b""
        # What is written together with the K goes with it; so it is written until somebody answers, with a 400.
        while b"HTTP/1.1 400" not in seen:
            client.process.stdin.write(b"GET / HTTP/1.1\n\n")
            client.process.stdin.flush()
            if select.select([out], [], [], 0.2)[0]:
                chunk = os.read(out, 65536)
                assert chunk, seen.decode(errors="replace")
                seen += chunk
        while chunk := os.read(out, 65536):
            seen += chunk
    sent = seen.index(b">>> TLS 1.3, Handshake [length 0005], KeyUpdate")
    answered = seen.index(b"<<< TLS 1.3, Handshake [length 0005], KeyUpdate")
    assert sent < answered < seen.index(b"HTTP/1.1 400")


def test_hellos_of_those_who_leave(server: SecureServer, authority: Authority) -> None:
    whole = hello(context(authority))
    for n in range(500):
        client = socket.create_connection(("127.0.0.1", server.port), PATIENCE)
        client.sendall(whole[: n % (len(whole) + 1)])
        client.close()


def test_one_port_with_and_without_tls(authority: Authority) -> None:
    with SecureServer(base(authority.issue("localhost"), also_plain=True)) as server:
        channel = unique("quiet:")
        plain = plain_joined(server, channel)
        secure = joined(server, context(authority), channel, "bob")
        secure.result(publish={"channel": channel, "data": "over TLS"})
        assert plain.push()["pub"]["data"] == "over TLS"
        plain.result(publish={"channel": channel, "data": "in the clear"})
        assert [secure.push()["pub"]["data"] for _ in range(2)] == ["over TLS", "in the clear"]
        assert Server.healthy(server)
        # The first byte alone decides nothing wrongly.
        client = Records(server.port, context(authority), piece=1)
        client.write(upgrade("/echo"))
        assert client.read(12) == b"HTTP/1.1 101"
        client.close()
        plain.close()
        secure.close()


def test_the_clear_is_not_spoken_unasked(server: SecureServer) -> None:
    with pytest.raises(AssertionError):
        JsonSocket(server.port).login()
