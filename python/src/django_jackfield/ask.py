"""Asking the server: presence and history, and their async twins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asgiref.sync import sync_to_async

from django_jackfield.aliases import brokers
from django_jackfield.command import Position, history_question, question


def presence(
    channel: str, *, timeout: float | None = None, via: str = "default"
) -> dict[str, dict[str, Any]]:
    """Who is in a channel: client id to `{"user", "client", "conn_info", "chan_info"}`."""
    result = brokers[via].ask(question("presence", channel), timeout)
    members: dict[str, dict[str, Any]] = result["presence"]
    return members


def presence_stats(
    channel: str, *, timeout: float | None = None, via: str = "default"
) -> dict[str, int]:
    """How many are in a channel: `{"num_clients", "num_users"}`."""
    stats: dict[str, int] = brokers[via].ask(question("presence_stats", channel), timeout)
    return stats


def history(
    channel: str,
    *,
    limit: int = -1,
    since: Position | Mapping[str, Any] | None = None,
    reverse: bool | None = None,
    timeout: float | None = None,
    via: str = "default",
) -> dict[str, Any]:
    """`{"publications", "epoch", "offset"}`; a limit of 0 asks for the position, -1 for all."""
    question = history_question(channel, limit, since, reverse)
    found: dict[str, Any] = brokers[via].ask(question, timeout)
    return found


async def apresence(
    channel: str, *, timeout: float | None = None, via: str = "default"
) -> dict[str, dict[str, Any]]:
    """`presence` for async code, in a thread of its own."""
    return await sync_to_async(presence, thread_sensitive=False)(channel, timeout=timeout, via=via)


async def apresence_stats(
    channel: str, *, timeout: float | None = None, via: str = "default"
) -> dict[str, int]:
    """`presence_stats` for async code."""
    return await sync_to_async(presence_stats, thread_sensitive=False)(
        channel, timeout=timeout, via=via
    )


async def ahistory(
    channel: str,
    *,
    limit: int = -1,
    since: Position | Mapping[str, Any] | None = None,
    reverse: bool | None = None,
    timeout: float | None = None,
    via: str = "default",
) -> dict[str, Any]:
    """`history` for async code."""
    return await sync_to_async(history, thread_sensitive=False)(
        channel, limit=limit, since=since, reverse=reverse, timeout=timeout, via=via
    )
