"""What the application is told, read from the embedded queue."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import redis
from serving import Server, wait_for

PARTITIONS = 8


class Events:
    """The events of a server, as a worker of the application would find them."""

    def __init__(self, server: Server):
        self.queue = redis.Redis(port=server.embedded, protocol=2, decode_responses=True, socket_timeout=30)
        wait_for(self.queue.ping, "the embedded queue")

    def of(self, client: str, kind: str) -> dict[str, str]:
        """The first event of this kind from one connection."""
        stream = "{jackfield:%d}:events" % (zlib.crc32(client.encode()) % PARTITIONS)
        found = lambda: [f for _, f in self.queue.xrange(stream) if (f["client"], f["type"]) == (client, kind)]  # noqa: E731
        return wait_for(found, f"an event {kind} of {client}")[0]

    def remote(self, client: str) -> str:
        """The address that the application was told, without its port."""
        return self.of(client, "connect")["remote"].rpartition(":")[0].strip("[]")


@contextmanager
def events(server: Server) -> Iterator[Events]:
    reader = Events(server)
    yield reader
    reader.queue.close()
