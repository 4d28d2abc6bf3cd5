"""Sockets that are passed at start, as systemd passes them: named, listening, and open before the server is."""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Iterator

import pytest
from serving import PATIENCE, Lines, Server
from speakers import BASE, joined, token, unique

# What stands between systemd and the server: descriptors from 3 on, their number, their names, and whose they are.
WRAPPER = """
import fcntl, os, sys
names, numbers, whose, program = sys.argv[1], sys.argv[2].split(","), sys.argv[3], sys.argv[4:]
beyond = [fcntl.fcntl(int(number), fcntl.F_DUPFD, 100) for number in numbers]
for place, number in enumerate(beyond, 3):
    os.dup2(number, place)
os.closerange(3 + len(beyond), 200)
pid = str(os.getpid()) if whose == "ours" else whose
os.environ.update(LISTEN_PID=pid, LISTEN_FDS=str(len(beyond)), LISTEN_FDNAMES=names)
os.execv(program[0], program)
"""


@contextlib.contextmanager
def listening(count: int) -> Iterator[list[socket.socket]]:
    """Sockets that listen already."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]


def activated(server: Server, sockets: list[socket.socket], names: str, whose: str = "ours") -> Server:
    numbers = [one.fileno() for one in sockets]
    server.wrapper = (sys.executable, "-c", WRAPPER, names, ",".join(map(str, numbers)), whose)
    server.descriptors = tuple(numbers)
    return server


@pytest.mark.parametrize("workers", [1, 2])
def test_every_door_takes_the_socket_of_its_name(workers: int) -> None:
    with listening(3) as sockets:
        public, internal, lines = (one.getsockname()[1] for one in sockets)
        server = activated(Server(BASE, workers=workers), sockets, "http:internal:json")
        unused = server.port, server.internal, server.tcp_json
        server.port = public
        # The ports of the config stay as they are; who has a socket opens none.
        server.sets = (f"http_server.port={unused[0]}",)
        with server:
            server.internal, server.tcp_json = internal, lines
            channel = unique("open:activated-")
            clients = [joined(server, channel, f"user-{n}") for n in range(8)]
            line = Lines(server.tcp_json)
            assert "connect" in line.command(connect={"token": token("liner")})
            assert "publish" in line.command(publish={"channel": channel, "data": "from a passed socket"})
            for client in clients:
                assert client.push()["pub"]["data"] == "from a passed socket"
            with socket.create_connection(("127.0.0.1", internal), PATIENCE) as plain:
                plain.sendall(b"GET /health HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
                assert plain.recv(12) == b"HTTP/1.1 200"
            for port in unused:
                with pytest.raises(ConnectionRefusedError):
                    socket.create_connection(("127.0.0.1", port), PATIENCE)
            for client in clients:
                client.close()
            line.close()


def test_who_came_before_the_server_is_served() -> None:
    """The queue of a passed socket is older than the server: nobody in it is lost, not over a restart either."""
    with listening(1) as sockets:
        server = activated(Server(BASE), sockets, "http")
        server.sets = (f"http_server.port={server.port}",)
        server.port = sockets[0].getsockname()[1]
        for _ in range(2):
            early = socket.create_connection(("127.0.0.1", server.port), PATIENCE)
            early.settimeout(PATIENCE)
            early.sendall(b"GET /health HTTP/1.1\r\nHost: h\r\n\r\n")
            server.start()
            assert early.recv(12) == b"HTTP/1.1 200"
            early.close()
            assert server.stop() == 0
        server.__exit__()


def test_sockets_for_another_process_are_not_taken() -> None:
    with listening(1) as sockets:
        server = activated(Server(BASE), sockets, "http", whose="1")
        with server:
            joined(server).close()


def test_a_name_that_no_door_has_is_said() -> None:
    with listening(1) as sockets:
        server = activated(Server(BASE), sockets, "httpp")
        try:
            server.start()
        except AssertionError as refused:
            assert "httpp" in str(refused)
        else:
            assert "httpp" in server.logged()
        finally:
            server.__exit__()
