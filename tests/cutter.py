"""A TCP proxy whose connections are cut when a test says so."""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import threading

RESET = struct.pack("ii", 1, 0)


class Cutter:
    """In front of a port: `cut` resets every connection, and none gets through until `heal`."""

    def __init__(self, target: int):
        self.target = target
        self.open = True
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.listener, selectors.EVENT_READ)
        self.peers: dict[socket.socket, socket.socket] = {}
        self.lock = threading.Lock()
        self.done = False

    def __enter__(self) -> Cutter:
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.done = True
        self.thread.join()
        self.cut()
        self.listener.close()
        self.selector.close()

    def run(self) -> None:
        while not self.done:
            for key, _ in self.selector.select(0.05):
                with self.lock:
                    if key.fileobj is self.listener:
                        self.accept()
                    else:
                        self.pass_on(key.fileobj)  # type: ignore[arg-type]

    def accept(self) -> None:
        client, _ = self.listener.accept()
        if not self.open:
            reset(client)
            return
        server = socket.create_connection(("127.0.0.1", self.target))
        for one, other in ((client, server), (server, client)):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.peers[one] = other
            self.selector.register(one, selectors.EVENT_READ)

    def pass_on(self, one: socket.socket) -> None:
        other = self.peers.get(one)
        if other is None:
            return
        try:
            data = one.recv(65536)
            other.sendall(data)
        except OSError:
            data = b""
        if not data:
            self.drop(one)

    def drop(self, one: socket.socket) -> None:
        other = self.peers.pop(one)
        self.peers.pop(other)
        for end in (one, other):
            self.selector.unregister(end)
            reset(end)

    def cut(self) -> int:
        """Resets every connection; the number of those that there were."""
        with self.lock:
            self.open = False
            count = len(self.peers) // 2
            while self.peers:
                self.drop(next(iter(self.peers)))
            return count

    def heal(self) -> None:
        self.open = True


def reset(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    end.close()
