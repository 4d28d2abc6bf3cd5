"""Certificates of clients: who has a good one is who it says, who has a bad one stays out."""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from authority import Authority, Issued
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from secure import (
    Alert,
    SecureLines,
    SecureNeighbours,
    SecureServer,
    SecureSocket,
    alerts,
    base,
    context,
    dial,
    hello,
    joined,
    keys,
    s_client,
    upgrade,
)
from serving import free_port, wait_for
from speakers import token, unique

TILL = free_port()
VERSIONS = pytest.mark.parametrize("version", ["1.2", "1.3"])


@pytest.fixture(scope="module")
def server(authority: Authority) -> Iterator[SecureServer]:
    """Certificates are asked for: on the public port by wish, on two listeners by force."""
    issued = authority.issue("localhost")
    ca = str(authority.certificate)
    config = base(issued, client_ca_pem_file=ca, client_auth="optional")
    for name, port, more in (("json", "tcp_json", "user_from_certificate = true\n"), ("raw", "tcp_raw", "")):
        config += f'\n[[tcp]]\nname = "{name}"\nport = {{{port}}}\n{more}'
        config += f"\n[tcp.tls]\nenabled = true\n{keys(issued, client_ca_pem_file=ca)}\n"
    config += f'\n[[tcp]]\nname = "till"\nport = {TILL}\ndialect = "raw"\nchannel = "open:till"\n'
    config += "user_from_certificate = true\n"
    config += f"\n[tcp.tls]\nenabled = true\n{keys(issued, client_ca_pem_file=ca)}\n"
    with SecureServer(config, sets=("client.user_from_certificate=true",)) as server:
        yield server


@pytest.fixture
def neighbours(server: SecureServer, authority: Authority) -> Iterator[SecureNeighbours]:
    neighbours = SecureNeighbours(server, context(authority))
    yield neighbours
    neighbours.check()


class App:
    """Reads what the application is told."""

    def __init__(self, server: SecureServer):
        self.redis = redis.Redis(port=server.embedded, protocol=2, decode_responses=True)

    def event(self, **fields: str) -> dict[str, Any]:
        """The event that has these fields."""

        def look() -> dict[str, Any] | None:
            for lane in range(8):
                for _, event in self.redis.xrange(f"{{jackfield:{lane}}}:events"):
                    if all(event.get(key, "") == value for key, value in fields.items()):
                        return dict(event)
            return None

        return dict(wait_for(look, f"an event with {fields}"))


@pytest.fixture
def app(server: SecureServer) -> Iterator[App]:
    app = App(server)
    yield app
    app.redis.close()


NAMES = {
    "the common name": ("till-7", (), "till-7"),
    "a host": ("x", ("till-8.shop.example",), "till-8.shop.example"),
    "a mail address": ("x", ("mailto:ann@shop.example",), "ann@shop.example"),
    "a URI before all": ("x", ("till.example", "mailto:a@b.example", "spiffe://shop/till/9"), "spiffe://shop/till/9"),
    "a name of many letters": ("Kasse Größe 9 — ☂", (), "Kasse Größe 9 — ☂"),
}


@VERSIONS
@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.usefixtures("neighbours")
def test_the_certificate_says_who_it_is(
    server: SecureServer, authority: Authority, app: App, kind: str, version: str
) -> None:
    common, names, user = NAMES[kind]
    shown = context(authority, client=authority.issue(common, names=names, client=True), version=version)
    channel = unique("open:mutual-")
    witness = joined(server, context(authority), channel, "witness")
    assert witness.push()["join"]["info"]["user"] == "witness"

    lines = SecureLines(server.tcp_json, shown)
    told = lines.command(connect={})["connect"]["client"]
    assert lines.command(subscribe={"channel": channel})["subscribe"] is not None
    assert witness.push()["join"]["info"] == {"user": user, "client": told}
    event = app.event(type="connect", client=told)
    assert (event["user"], event["listener"], event["transport"]) == (user, "json", "tcp")

    client = SecureSocket(server.port, shown)
    told = client.result(connect={})["client"]
    client.result(subscribe={"channel": channel})
    assert witness.push()["join"]["info"] == {"user": user, "client": told}
    assert app.event(type="connect", client=told)["user"] == user
    for one in (lines, client, witness):
        one.close()


@pytest.mark.usefixtures("neighbours")
def test_a_token_goes_before_the_certificate(server: SecureServer, authority: Authority, app: App) -> None:
    shown = context(authority, client=authority.issue("till-7", client=True))
    client = SecureSocket(server.port, shown)
    told = client.login("ann")["client"]
    assert app.event(type="connect", client=told)["user"] == "ann"
    client.close()


@pytest.mark.usefixtures("neighbours")
def test_where_nobody_asked_for_the_name_it_is_no_user(server: SecureServer, authority: Authority) -> None:
    """A listener without `user_from_certificate` lets in whom the authority knows, and then wants a token."""
    shown = context(authority, client=authority.issue("till-7", client=True))
    lines = SecureLines(server.tcp_raw, shown)
    assert "connect" in lines.command(connect={"token": token()})
    lines.close()
    lines = SecureLines(server.tcp_raw, shown)
    lines.write('{"id":1,"connect":{}}')
    answer = lines.read()
    assert answer is None or "client" not in json.loads(answer).get("connect", {}), answer
    lines.close()


def refusal(port: int, shown: Any) -> None:
    """With TLS 1.3 a client learns that it is refused only when it reads."""
    with dial(port, shown) as client:
        client.sendall(b'{"id":1,"connect":{}}\n')
        while client.recv(100):
            pass


@VERSIONS
@pytest.mark.usefixtures("neighbours")
def test_who_is_refused(server: SecureServer, authority: Authority, stranger: Authority, version: str) -> None:
    cases: dict[str, tuple[Issued | None, str]] = {
        "none": (None, "certificate_required|handshake_failure|bad_certificate"),
        "of a stranger": (stranger.issue("till-7", client=True), "unknown_ca|bad_certificate|decrypt_error"),
        "expired": (authority.issue("till-7", client=True, days=(-10, -1)), "certificate_expired"),
        "not yet": (
            authority.issue("till-7", client=True, days=(1, 10)),
            "bad_certificate|certificate_expired|certificate_unknown",
        ),
        "of a server": (authority.issue("till-7"), "bad_certificate|certificate_unknown|unsupported_certificate"),
    }
    for name, (issued, alert) in cases.items():
        with pytest.raises(Alert, match=f"^({alert})$"), alerts():
            refusal(server.tcp_json, context(authority, client=issued, version=version))
            pytest.fail(f"a certificate came in: {name}")


@VERSIONS
@pytest.mark.usefixtures("neighbours")
def test_nobody_is_in_before_the_handshake_is_over(
    server: SecureServer, authority: Authority, stranger: Authority, app: App, version: str
) -> None:
    """A raw client is in its channel without a word, but not before the server knows who it is."""
    witness = joined(server, context(authority), "open:till", "witness")
    assert witness.push()["join"]["info"]["user"] == "witness"
    half = socket.create_connection(("127.0.0.1", TILL), 5)
    half.sendall(hello(context(authority, version=version)))
    assert half.recv(1) == b"\x16"
    with pytest.raises(Alert), alerts():
        refusal(TILL, context(authority, client=stranger.issue("thief", client=True), version=version))
    with dial(TILL, context(authority, client=authority.issue("till-7", client=True), version=version)) as client:
        # The first to join, of three who tried, is the one who may.
        assert witness.push()["join"]["info"]["user"] == "till-7"
        assert app.event(type="connect", listener="till", user="till-7")
        witness.result(publish={"channel": "open:till", "data": "for tills"})
        assert client.recv(100) == b"for tills\n"
    half.close()
    witness.close()


@VERSIONS
@pytest.mark.usefixtures("neighbours")
def test_by_wish_only_the_bad_ones_are_refused(
    server: SecureServer, authority: Authority, stranger: Authority, version: str
) -> None:
    joined(server, context(authority, version=version)).close()
    shown = context(authority, client=stranger.issue("till-7", client=True), version=version)
    with (
        pytest.raises(Alert, match="unknown_ca|bad_certificate|decrypt_error"),
        alerts(),
        dial(server.port, shown) as one,
    ):
        one.sendall(upgrade("/connection/websocket"))
        one.recv(1)


def test_required_on_the_public_port(authority: Authority, stranger: Authority) -> None:
    with SecureServer(base(authority.issue("localhost"), client_ca_pem_file=str(authority.certificate))) as server:
        shown = context(authority, client=authority.issue("till-7", client=True))
        client = joined(server, shown)
        for issued in (None, stranger.issue("till-7", client=True)):
            with pytest.raises(Alert), alerts(), dial(server.port, context(authority, client=issued)) as other:
                other.sendall(upgrade("/connection/websocket"))
                other.recv(1)
        assert client.result(ping={}) == {}
        client.close()


@VERSIONS
def test_a_resumed_session_is_the_same_user(server: SecureServer, authority: Authority, version: str) -> None:
    shown = context(authority, client=authority.issue("till-7", client=True), version=version)
    session = None
    for turn in range(3):
        with dial(server.tcp_json, shown, session=session) as client:
            client.sendall(
                b'{"id":1,"connect":{}}\n{"id":2,"subscribe":{"channel":"open:resumed"}}\n{"id":3,"presence":{"channel":"open:resumed"}}\n'
            )
            said = client.makefile("rb")
            answer: dict[str, Any] = {}
            while answer.get("id") != 3:
                answer = json.loads(said.readline())
            assert {info["user"] for info in answer["presence"]["presence"].values()} == {"till-7"}
            assert client.session_reused == (turn > 0)
            session = client.session


HOSTILE = ["a\nERROR forged line", "\x1b[31mred", "'; DROP TABLE users; --", "x" * 60, "{jackfield:0}", "*", "a\x7fb"]


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.usefixtures("neighbours")
def test_names_that_mean_harm(server: SecureServer, authority: Authority, app: App, name: str) -> None:
    """A name is taken as it is; one that could make a log lie gives way to the fingerprint of its certificate."""
    issued = authority.issue(name, client=True)
    der = x509.load_pem_x509_certificate(issued.certificate.read_bytes()).public_bytes(Encoding.DER)
    lines = SecureLines(server.tcp_json, context(authority, client=issued))
    told = lines.command(connect={})["connect"]["client"]
    user = app.event(type="connect", client=told)["user"]
    assert user == (name if name.isprintable() else hashlib.sha256(der).hexdigest())
    assert "\nERROR forged" not in server.logged() and "\x1b[31mred" not in server.logged()
    lines.close()


def test_openssl_shows_its_certificate(server: SecureServer, authority: Authority) -> None:
    issued = authority.issue("till-openssl", client=True)
    shown = ["-cert", str(issued.certificate), "-key", str(issued.key)]
    with s_client(server.tcp_json, authority, *shown) as client:
        assert json.loads(client.ask('{"id":1,"connect":{}}'))["connect"]["client"]
