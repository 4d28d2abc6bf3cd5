"""Asking the server: presence and history, and their async twins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asgiref.sync import sync_to_async

from django_jackfield.aliases import brokers
from django_jackfield.command import Position, client_question, history_question, question


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


def ask_client(
    method: str,
    data: Any = None,
    *,
    user: str | None = None,
    client: str | None = None,
    session: str | None = None,
    text: str | None = None,
    timeout: float = 5.0,
    via: str = "default",
) -> Any:
    """Asks one client something and waits for its answer, up to 30 seconds.

    Exactly one connection must match. What the client says is not to be trusted. Raises AskError
    with the client's own code, with 108 where there is no such connection or none that can answer,
    with 100 where it did not answer in time.
    """
    target = {"user": user, "client": client, "session": session}
    question = client_question(method, data, target, text, max(1, round(timeout * 1000)))
    # The server itself tells when the time is up; that word must have time to come.
    return brokers[via].ask(question, timeout + 2.0)["data"]


async def aask_client(
    method: str,
    data: Any = None,
    *,
    user: str | None = None,
    client: str | None = None,
    session: str | None = None,
    text: str | None = None,
    timeout: float = 5.0,
    via: str = "default",
) -> Any:
    """`ask_client` for async code, in a thread of its own."""
    return await sync_to_async(ask_client, thread_sensitive=False)(
        method,
        data,
        user=user,
        client=client,
        session=session,
        text=text,
        timeout=timeout,
        via=via,
    )


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
