"""Certificates come and go under open connections; bad ones do not get in."""

from __future__ import annotations

import resource
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from authority import Authority, Issued
from secure import HEAD, SecureLines, SecureServer, SecureSocket, base, context, joined, serial, tls
from serving import BINARY, Server, free_port, wait_for
from speakers import token, unique

CROWD = 1000
CHANNEL = "quiet:crowd"


@pytest.fixture(scope="module")
def installed(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Issued:
    return authority.issue("localhost").copy(tmp_path_factory.mktemp("installed"))


@pytest.fixture(scope="module")
def everywhere(authority: Authority, installed: Issued) -> Iterator[SecureServer]:
    """The same files on the public port, the internal port and a TCP listener."""
    tcp = '\n[[tcp]]\nname = "json"\nport = {tcp_json}\n' + tls("tcp.tls", installed)
    # Nobody of the crowd is read while the others come in, so nobody answers pings meanwhile.
    sets = ("client.ping_interval=5m",)
    with SecureServer(base(installed) + tls("http_server.internal_tls", installed) + tcp, sets=sets) as server:
        yield server


@pytest.fixture(scope="module")
def crowd(authority: Authority, everywhere: SecureServer) -> Iterator[list[SecureSocket]]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < CROWD + 500:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, CROWD + 500), hard))
    client_context = context(authority)
    clients = [joined(everywhere, client_context, CHANNEL, f"user-{n}") for n in range(CROWD)]
    yield clients
    for client in clients:
        client.close()


def by_signal(server: Server) -> None:
    server.signal(signal.SIGHUP)


def by_itself(_: Server) -> None:
    """Nobody tells the server that the files are others."""


@pytest.mark.parametrize("tell", [by_signal, by_itself])
def test_a_certificate_is_swapped_under_a_thousand(
    authority: Authority,
    installed: Issued,
    everywhere: SecureServer,
    crowd: list[SecureSocket],
    tell: Callable[[Server], None],
) -> None:
    before = {serial(port) for port in (everywhere.port, everywhere.internal, everywhere.tcp_json)}
    assert len(before) == 1
    renewed = authority.issue("localhost")
    assert renewed.serial not in before
    renewed.install(installed)
    tell(everywhere)
    for port in (everywhere.port, everywhere.internal, everywhere.tcp_json):
        wait_for(lambda port=port: serial(port) == renewed.serial, f"the new certificate on port {port}")
    late = joined(everywhere, context(authority))
    word = unique("after the swap ")
    late.result(publish={"channel": CHANNEL, "data": word})
    for client in crowd:
        assert client.push()["pub"]["data"] == word
        assert client.result(ping={}) == {}
    late.close()


def exchanged(issued: Issued) -> Issued:
    return Issued(issued.key, issued.certificate, issued.serial)


BROKEN: dict[str, Callable[[Authority, Issued], object]] = {
    "a certificate of noise": lambda _, at: at.certificate.write_bytes(bytes(range(256))),
    "a certificate cut short": lambda _, at: at.certificate.write_text(at.certificate.read_text()[:300]),
    "an empty certificate": lambda _, at: at.certificate.write_bytes(b""),
    "no certificate": lambda _, at: at.certificate.unlink(),
    "no key": lambda _, at: at.key.unlink(),
    "the key of another": lambda authority, at: at.key.write_bytes(authority.issue("x").key.read_bytes()),
    "a locked key": lambda authority, at: authority.issue("localhost", password=b"secret").install(at),
    "two files exchanged": lambda authority, at: exchanged(authority.issue("localhost")).install(at),
}


@pytest.mark.parametrize("shape", BROKEN)
def test_a_broken_file_keeps_the_old_certificate(
    authority: Authority, everywhere: SecureServer, installed: Issued, shape: str, tmp_path: Path
) -> None:
    good = Issued(installed.certificate, installed.key, serial(everywhere.port)).copy(tmp_path)
    client = joined(everywhere, context(authority))
    said = len(everywhere.logged())
    BROKEN[shape](authority, installed)
    everywhere.signal(signal.SIGHUP)
    try:
        fault = wait_for(
            lambda: [
                line for line in everywhere.logged()[said:].splitlines() if str(installed.certificate.parent) in line
            ],
            "a log line that names the file",
        )
        assert any(word in fault[0] for word in ("WARN", "ERROR")), fault
        for port in (everywhere.port, everywhere.internal, everywhere.tcp_json):
            assert serial(port) == good.serial
        assert client.result(ping={}) == {}
    finally:
        good.install(installed)
    renewed = authority.issue("localhost")
    renewed.install(installed)
    wait_for(lambda: serial(everywhere.port) == renewed.serial, "the repaired certificate")
    client.close()


def refused(config: str, tmp_path: Path) -> str:
    """What the server says when it does not start."""
    path = tmp_path / "jackfield.toml"
    path.write_text(config.replace("{tcp_json}", str(free_port())))
    ports = [
        f"http_server.port={free_port()}",
        f"http_server.internal_port={free_port()}",
        f"embedded.port={free_port()}",
    ]
    sets = [word for pair in ("http_server.address=127.0.0.1", *ports) for word in ("--set", pair)]
    done = subprocess.run(
        [str(BINARY), "serve", "-c", str(path), *sets], capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode not in (0, -11, 101), done
    return done.stdout + done.stderr


START: dict[str, tuple[Callable[[Authority, Issued], object], str, str]] = {
    **{
        name: (BROKEN[name], file, word)
        for name, file, word in (
            ("a certificate of noise", "cert.pem", "PEM"),
            ("a certificate cut short", "cert.pem", "PEM"),
            ("an empty certificate", "cert.pem", "is empty"),
            ("no certificate", "cert.pem", "No such file"),
            ("no key", "key.pem", "No such file"),
            ("the key of another", "key.pem", "not the key of the certificate"),
            ("a locked key", "key.pem", "encrypted"),
            ("two files exchanged", "cert.pem", "certificate"),
        )
    },
    "a folder": (lambda _, at: (at.certificate.unlink(), at.certificate.mkdir()), "cert.pem", "directory"),
}


@pytest.mark.parametrize("where", ["http_server.tls", "http_server.internal_tls", "tcp.tls"])
@pytest.mark.parametrize("shape", START)
def test_a_start_with_broken_files_is_refused_in_words(
    authority: Authority, tmp_path: Path, shape: str, where: str
) -> None:
    files = authority.issue("localhost").copy(tmp_path / "files")
    breaks, file, word = START[shape]
    breaks(authority, files)
    listener = '\n[[tcp]]\nname = "json"\nport = {tcp_json}\n' if where == "tcp.tls" else ""
    said = refused(HEAD + listener + tls(where, files), tmp_path)
    assert str(files.certificate.parent / file) in said and word in said, said


def test_an_expired_certificate_is_named_at_start(authority: Authority, tmp_path: Path) -> None:
    files = authority.issue("localhost", days=(-10, -1)).copy(tmp_path / "files")
    with SecureServer(base(files)) as server:
        lines = [line for line in server.logged().splitlines() if "WARN" in line and "certificate has ended" in line]
        assert any("http_server.tls" in line for line in lines), server.logged()


def test_an_authority_that_is_none(authority: Authority, tmp_path: Path) -> None:
    files = authority.issue("localhost")
    no = tmp_path / "ca.pem"
    for text, word in ((None, "No such file"), ("", "is empty"), (files.key.read_text(), "certificate")):
        if text is not None:
            no.write_text(text)
        said = refused(base(files, client_ca_pem_file=str(no)), tmp_path)
        assert str(no) in said and word in said, said


def test_lines_live_on_too(authority: Authority, everywhere: SecureServer, installed: Issued) -> None:
    lines = SecureLines(everywhere.tcp_json, context(authority))
    assert "connect" in lines.command(connect={"token": token()})
    renewed = authority.issue("localhost")
    renewed.install(installed)
    everywhere.signal(signal.SIGHUP)
    wait_for(lambda: serial(everywhere.tcp_json) == renewed.serial, "the new certificate")
    assert lines.command(ping={}) == {"id": 2, "ping": {}}
    lines.close()
