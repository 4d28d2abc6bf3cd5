"""Which partitions of the events a worker reads, and how many wait in each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django_jackfield.backends.base import BaseBackend


@dataclass(frozen=True, slots=True)
class Lease:
    """One partition. `owner` is empty where nobody reads it."""

    partition: int
    owner: str
    backlog: int


def leases(backend: BaseBackend) -> list[Lease] | None:
    """Every partition; None where the backend knows nothing of workers."""
    if hasattr(backend, "client"):
        return _redis_leases(backend)
    if hasattr(backend, "topology"):
        return _rabbitmq_leases(backend)
    return None


def _redis_leases(backend: Any) -> list[Lease]:
    found = []
    with backend._guarded():
        client = backend.client()
        for partition in range(backend.config.partitions):
            lane = f"{{{backend.config.prefix}:{partition}}}"
            owner = client.get(f"{lane}:lease:app") or b""
            backlog = client.xlen(f"{lane}:events")
            found.append(Lease(partition, owner.decode(errors="replace"), int(backlog)))
    return found


def _rabbitmq_leases(backend: Any) -> list[Lease]:
    import pika

    found = []
    with backend._guarded():
        connection = pika.BlockingConnection(backend.parameters())
        try:
            channel = connection.channel()
            backend.topology.declare(channel)
            for partition in range(backend.config.partitions):
                name = f"{backend.topology.events}.{partition}"
                said = channel.queue_declare(name, passive=True).method
                readers = f"{said.consumer_count} worker(s)" if said.consumer_count else ""
                found.append(Lease(partition, readers, said.message_count))
        finally:
            connection.close()
    return found
