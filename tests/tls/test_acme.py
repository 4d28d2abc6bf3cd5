"""Certificates fetched from an authority: pebble, over TLS-ALPN-01 on our own public port."""

from __future__ import annotations

import json
import os
import shutil
import socketserver
import ssl
import struct
import subprocess
import threading
import urllib.request
from pathlib import Path

import pytest
from authority import Authority
from cryptography import x509
from secure import HEAD, SecureServer, context, dial, joined, serial
from serving import PATIENCE, free_port, wait_for
from speakers import unique

PEBBLE = os.environ.get("JACKFIELD_PEBBLE") or shutil.which("pebble")
HOSTS = ("jackfield.test", "www.jackfield.test")

pytestmark = pytest.mark.skipif(
    not PEBBLE, reason="there is no pebble: go install github.com/letsencrypt/pebble/v2/cmd/pebble@latest"
)


class Names(socketserver.ThreadingTCPServer):
    """A name server over TCP that knows one answer to every question about an address: this machine."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Question)
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Question(socketserver.StreamRequestHandler):
    """Questions on one connection."""

    def handle(self) -> None:
        while length := self.rfile.read(2):
            question = self.rfile.read(int.from_bytes(length, "big"))
            end = question.index(b"\0", 12) + 5
            asks_for_address = question[end - 4 : end - 2] == b"\0\1"
            answer = b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4\x7f\0\0\1" if asks_for_address else b""
            reply = question[:2] + b"\x85\x80" + struct.pack("!4H", 1, bool(answer), 0, 0) + question[12:end] + answer
            self.wfile.write(len(reply).to_bytes(2, "big") + reply)


class Pebble:
    """A small ACME authority. It visits the names it is asked about at `tls_port`."""

    def __init__(self, authority: Authority, folder: Path, tls_port: int):
        self.folder, self.port, self.management = folder, free_port(), free_port()
        issued = authority.issue("localhost")
        self.names = Names()
        config = {
            "listenAddress": f"127.0.0.1:{self.port}",
            "managementListenAddress": f"127.0.0.1:{self.management}",
            "certificate": str(issued.certificate),
            "privateKey": str(issued.key),
            "httpPort": free_port(),  # Nobody is there: what is left is TLS-ALPN-01.
            "tlsPort": tls_port,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": False,
        }
        path = folder / "pebble.json"
        path.write_text(json.dumps({"pebble": config}))
        self.context = context(authority)
        self.log = (folder / "pebble.log").open("wb")
        command = [str(PEBBLE), "-config", str(path), "-dnsserver", f"127.0.0.1:{self.names.port}"]
        # It would refuse one nonce in twenty and wait before it looks; the tests are about our side.
        environment = {**os.environ, "PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0"}
        environment.pop("PEBBLE_VA_ALWAYS_VALID", None)
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, env=environment)

    def __enter__(self) -> Pebble:
        wait_for(lambda: self.process.poll() is not None or self.root(), "pebble")
        assert self.process.poll() is None, self.logged()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait()
        self.names.shutdown()
        self.names.server_close()
        self.log.close()

    @property
    def directory(self) -> str:
        return f"https://localhost:{self.port}/dir"

    def root(self) -> Path | None:
        """Its root, as a file; another one at each start."""
        try:
            with urllib.request.urlopen(f"https://localhost:{self.management}/roots/0", context=self.context) as answer:
                path = self.folder / "root.pem"
                path.write_bytes(answer.read())
                return path
        except OSError:
            return None

    def logged(self) -> str:
        return (self.folder / "pebble.log").read_text(errors="replace")

    def finished(self) -> int:
        return self.logged().count("Issued certificate serial")


def config(pebble: Pebble, authority: Authority, cache: Path) -> str:
    return f"""{HEAD}
[http_server.tls_autocert]
enabled = true
host_whitelist = {json.dumps(HOSTS)}
cache_dir = "{cache}"
email = "admin@jackfield.test"
directory_url = "{pebble.directory}"
directory_ca_pem_file = "{authority.certificate}"
"""


def obtained(server: SecureServer, root: Path, name: str) -> bool:
    try:
        with dial(server.port, context(root), name=name):
            return True
    except (ssl.SSLError, OSError):
        return False


def test_a_certificate_is_obtained_served_and_kept(authority: Authority, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    server = SecureServer()
    with Pebble(authority, tmp_path, server.port) as pebble:
        server.config = config(pebble, authority, cache)
        root = pebble.root()
        assert root
        with server:
            try:
                for name in HOSTS:
                    wait_for(lambda name=name: obtained(server, root, name), f"a certificate for {name}", 60)
            except AssertionError:
                print(server.logged(), pebble.logged(), sep="\n-----\n")
                raise
            with dial(server.port, context(root), name=HOSTS[0]) as client:
                seen = x509.load_der_x509_certificate(client.getpeercert(binary_form=True) or b"")
            names = seen.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(
                x509.DNSName
            )
            assert set(HOSTS[:1]) <= set(names) <= set(HOSTS)
            client = joined(server, context(root), unique("quiet:"), name=HOSTS[0])
            assert client.result(ping={}) == {}
            client.close()
            count = pebble.finished()
            assert count >= 1, pebble.logged()
            assert cache.stat().st_mode & 0o077 == 0, "the cache holds keys: it is for its owner alone"
            first = serial(server.port, HOSTS[0])
            server.stop()
            server.start()
            wait_for(lambda: obtained(server, root, HOSTS[0]), "the kept certificate")
            assert serial(server.port, HOSTS[0]) == first
            assert pebble.finished() == count, "what is kept is not asked for again"


def test_an_authority_that_is_not_there_is_named_and_tried_again(authority: Authority, tmp_path: Path) -> None:
    server = SecureServer()
    pebble = Pebble(authority, tmp_path, server.port)
    with pebble:
        pass
    server.config = config(pebble, authority, tmp_path / "cache")
    with server:

        def word() -> list[str]:
            lines = server.logged().splitlines()
            return [line for line in lines if "acme" in line.lower() and ("WARN" in line or "ERROR" in line)]

        try:
            wait_for(word, "a word about it")
        finally:
            print(server.logged())
        # The rest of the server lives.
        with urllib.request.urlopen(f"http://127.0.0.1:{server.internal}/health", timeout=PATIENCE) as answer:
            assert answer.status == 200
