"""Looking at the server: its channels and nodes, and their async twins."""

from __future__ import annotations

from typing import Any

from asgiref.sync import sync_to_async

from django_jackfield.aliases import brokers
from django_jackfield.command import Command


def channels(
    pattern: str = "", *, timeout: float | None = None, via: str = "default"
) -> dict[str, int]:
    """The channels that somebody is in, and how many are; `pattern` is a glob such as `room:*`."""
    found = _ask("channels", {"pattern": pattern}, timeout, via)["channels"]
    return {name: about["num_clients"] for name, about in sorted(found.items())}


def nodes(*, timeout: float | None = None, via: str = "default") -> list[dict[str, Any]]:
    """How the nodes are: `{"name", "version", "num_clients", "num_channels", "uptime"...}` each."""
    found: list[dict[str, Any]] = _ask("info", {}, timeout, via)["nodes"]
    return found


async def achannels(
    pattern: str = "", *, timeout: float | None = None, via: str = "default"
) -> dict[str, int]:
    """`channels` for async code."""
    return await sync_to_async(channels, thread_sensitive=False)(pattern, timeout=timeout, via=via)


async def anodes(*, timeout: float | None = None, via: str = "default") -> list[dict[str, Any]]:
    """`nodes` for async code."""
    return await sync_to_async(nodes, thread_sensitive=False)(timeout=timeout, via=via)


def _ask(method: str, payload: dict[str, Any], timeout: float | None, via: str) -> dict[str, Any]:
    result: dict[str, Any] = brokers[via].ask(Command.make(method, payload), timeout)
    return result
