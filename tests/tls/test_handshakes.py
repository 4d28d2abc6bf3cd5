"""Handshakes: versions, names, protocols, tickets."""

from __future__ import annotations

import signal
import socket
import ssl
from collections.abc import Iterator

import pytest
from authority import Authority, Issued
from cryptography import x509
from secure import (
    Alert,
    Records,
    SecureServer,
    SecureSocket,
    alert_in,
    alerts,
    all_of,
    base,
    context,
    dial,
    hello,
    joined,
    keys,
    serial,
    upgrade,
)
from serving import PATIENCE
from speakers import token, unique

pytestmark = pytest.mark.usefixtures("neighbours")
VERSIONS = pytest.mark.parametrize("version", ["1.2", "1.3"])


@pytest.fixture(scope="module")
def issued(authority: Authority) -> dict[str, Issued]:
    return {
        "localhost": authority.issue("localhost"),
        "one.example": authority.issue("one.example"),
        "*.wild.example": authority.issue("wild", names=("*.wild.example", "wild.example")),
        "rsa.example": authority.issue("rsa.example", rsa_key=True),
    }


@pytest.fixture(scope="module")
def server(issued: dict[str, Issued]) -> Iterator[SecureServer]:
    further = [
        f"\n[[http_server.tls.certificates]]\n{keys(one)}\n" for name, one in issued.items() if name != "localhost"
    ]
    with SecureServer(base(issued["localhost"]) + "".join(further)) as server:
        yield server


@VERSIONS
def test_a_socket_over_each_version(server: SecureServer, authority: Authority, version: str) -> None:
    client = joined(server, context(authority, version=version), unique("quiet:"))
    assert client.socket.version() == f"TLSv{version}"
    text = "x" * 60_000
    client.result(publish={"channel": "quiet:big", "data": text})
    client.result(subscribe={"channel": "quiet:big"})
    client.result(publish={"channel": "quiet:big", "data": text})
    assert client.push()["pub"]["data"] == text
    client.close()


@VERSIONS
@pytest.mark.parametrize("piece", [1, 7])
def test_ciphertext_in_pieces(server: SecureServer, authority: Authority, version: str, piece: int) -> None:
    client = Records(server.port, context(authority, version=version), piece=piece)
    client.write(upgrade("/echo"))
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += client.read(1)
    assert answer.startswith(b"HTTP/1.1 101")
    client.write(b"\x81\x85\0\0\0\0hello")
    assert b"".join(client.read(1) for _ in range(7)) == b"\x81\x05hello"
    client.close()


@VERSIONS
def test_a_frame_of_many_records_comes_back(server: SecureServer, authority: Authority, version: str) -> None:
    client = Records(server.port, context(authority, version=version), piece=1000)
    client.write(upgrade("/echo"))
    while b"\r\n\r\n" not in (answer := client.read()):
        pass
    assert answer.startswith(b"HTTP/1.1 101")
    payload = bytes(range(256)) * 200
    client.write(b"\x82\xfe" + len(payload).to_bytes(2, "big") + b"\0\0\0\0" + payload)
    back = b""
    while len(back) < len(payload) + 4:
        back += client.read()
    assert back == b"\x82\x7e" + len(payload).to_bytes(2, "big") + payload
    client.close()


@VERSIONS
def test_the_name_asked_for_chooses_the_certificate(
    server: SecureServer, issued: dict[str, Issued], authority: Authority, version: str
) -> None:
    for asked, seen in {
        "localhost": "localhost",
        "one.example": "one.example",
        "ONE.example": "one.example",
        "a.wild.example": "*.wild.example",
        "wild.example": "*.wild.example",
        "rsa.example": "rsa.example",
        "a.b.wild.example": "localhost",
        "unknown.example": "localhost",
        "xn--nxasmq6b.example": "localhost",
    }.items():
        with dial(server.port, context(None, version=version), name=asked) as client:
            found = x509.load_der_x509_certificate(client.getpeercert(binary_form=True) or b"").serial_number
        assert found == issued[seen].serial, asked
    assert serial(server.port, None) == issued["localhost"].serial
    with dial(server.port, context(authority, version=version), name="a.wild.example") as client:
        assert client.getpeercert()
    with pytest.raises(ssl.SSLCertVerificationError):
        dial(server.port, context(authority, version=version), name="unknown.example")


@VERSIONS
def test_alpn(server: SecureServer, authority: Authority, version: str) -> None:
    for offered, chosen in {("http/1.1",): "http/1.1", ("h2", "http/1.1"): "http/1.1", (): None}.items():
        with dial(server.port, context(authority, version=version, alpn=offered)) as client:
            assert client.selected_alpn_protocol() == chosen
    with pytest.raises(Alert, match="no_application_protocol"), alerts():
        dial(server.port, context(authority, version=version, alpn=("h2", "spdy/3")))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1], ids=["1.0", "1.1"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_old_versions_are_refused(server: SecureServer, version: ssl.TLSVersion) -> None:
    old = context(None)
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version = old.maximum_version = version
    first = hello(old)
    assert first[0] == 22 and first[9:11] == {"TLSv1": b"\x03\x01", "TLSv1_1": b"\x03\x02"}[version.name]
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as client:
        client.sendall(first)
        # A hello of that age lacks signature algorithms as well, and either may be named.
        assert alert_in(all_of(client)) in ("protocol_version", "handshake_failure")


@pytest.mark.parametrize(
    "cipher", ["AES128-SHA", "AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-SHA", "DHE-RSA-AES128-GCM-SHA256"]
)
def test_weak_ciphers_are_refused(server: SecureServer, cipher: str) -> None:
    weak = context(None, version="1.2")
    weak.set_ciphers(f"{cipher}:@SECLEVEL=0")
    with pytest.raises(Alert, match="handshake_failure"), alerts():
        dial(server.port, weak)


def test_only_1_3_where_the_config_says_so(authority: Authority) -> None:
    with SecureServer(base(authority.issue("localhost"), min_version="1.3")) as server:
        with pytest.raises(Alert, match="protocol_version"), alerts():
            dial(server.port, context(authority, version="1.2"))
        joined(server, context(authority, version="1.3")).close()


def resume(
    server: SecureServer, client_context: ssl.SSLContext, session: ssl.SSLSession | None
) -> tuple[bool, ssl.SSLSession]:
    """Whether the handshake was short, and the ticket for the next one; with 1.3 it comes with the first answer."""
    with dial(server.port, client_context, session=session) as client:
        client.settimeout(PATIENCE)
        client.sendall(upgrade("/echo"))
        assert client.recv(12) == b"HTTP/1.1 101"
        assert client.session
        return bool(client.session_reused), client.session


@VERSIONS
def test_a_session_is_resumed(server: SecureServer, authority: Authority, version: str) -> None:
    client_context = context(authority, version=version)
    reused, ticket = resume(server, client_context, None)
    assert not reused
    for _ in range(3):
        reused, ticket = resume(server, client_context, ticket)
        assert reused
    server.signal(signal.SIGHUP)
    assert resume(server, client_context, ticket)[0], "a ticket outlives a reload"


@VERSIONS
def test_a_ticket_of_another_server_is_no_ticket(server: SecureServer, authority: Authority, version: str) -> None:
    client_context = context(authority, version=version)
    with SecureServer(base(authority.issue("localhost"))) as other:
        _, ticket = resume(other, client_context, None)
    reused, _ = resume(server, client_context, ticket)
    assert not reused


@VERSIONS
def test_goodbyes(server: SecureServer, authority: Authority, version: str) -> None:
    """A close in words is answered; one that cuts the records off is noticed."""
    client = joined(server, context(authority, version=version))
    client.socket.settimeout(PATIENCE)
    plain = client.socket.unwrap()
    assert all_of(plain) == b""
    plain.close()

    witness = joined(server, context(authority), "open:goodbyes")
    cut = joined(server, context(authority, version=version), "open:goodbyes", "bob")
    while witness.push().get("join", {}).get("info", {}).get("user") != "bob":
        pass
    # A socket that is closed beneath its TLS says no goodbye.
    socket.close(cut.socket.detach())
    while witness.push().get("leave", {}).get("info", {}).get("user") != "bob":
        pass
    witness.close()


def test_many_at_once(server: SecureServer, authority: Authority) -> None:
    """Handshakes that are begun together end together: none waits for the others' bytes."""
    begun = []
    first = hello(context(authority))
    for _ in range(200):
        client = socket.create_connection(("127.0.0.1", server.port), PATIENCE)
        client.sendall(first[: len(first) // 2])
        begun.append(client)
    late = SecureSocket(server.port, context(authority))
    assert late.result(connect={"token": token()})["client"]
    for client in begun:
        client.sendall(first[len(first) // 2 :])
    for client in begun:
        assert client.recv(1) == b"\x16"
        client.close()
    late.close()
