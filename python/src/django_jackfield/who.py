"""Who is there: connections, and users who are online."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from asgiref.sync import sync_to_async

from django_jackfield.aliases import brokers
from django_jackfield.ask import presence, presence_stats
from django_jackfield.errors import AskError
from django_jackfield.orders import connections_question
from django_jackfield.push import user_id

logger = logging.getLogger("django_jackfield")

T = TypeVar("T")

FEW_USERS = 8
"""So many users are asked for one by one; for more, all connections are looked through."""
MOST_LISTED = 10_000
"""So many connections a node lists in one answer: where there are as many, some may be missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """One connection, as the server knows it. `channels` are those it is in."""

    id: str
    user_id: str
    transport: str
    protocol: str
    listener: str
    remote: str
    channels: frozenset[str]

    @classmethod
    def read(cls, client: str, said: Mapping[str, Any]) -> Connection:
        """What the server says of a connection."""
        state = said.get("state") or {}
        return cls(
            id=client,
            user_id=str(said.get("user") or ""),
            transport=str(said.get("transport") or ""),
            protocol=str(said.get("protocol") or ""),
            listener=str(said.get("listener") or ""),
            remote=str(said.get("remote") or ""),
            channels=frozenset(state.get("channels") or ()),
        )


def connections(
    user: Any = None,
    *,
    client: str | None = None,
    session: str | None = None,
    timeout: float | None = None,
    via: str = "default",
) -> list[Connection]:
    """The connections of a user, the one with an id, or all of the cluster.

    `session` is the server's own name for a session of a transport that has one.
    """
    target: dict[str, str] = {} if user is None else {"user": user_id(user)}
    target |= {} if client is None else {"client": client}
    target |= {} if session is None else {"session": session}
    result = brokers[via].ask(connections_question(target), timeout)
    return [Connection.read(one, said) for one, said in result["connections"].items()]


def is_online(user: Any, *, timeout: float | None = None, via: str = "default") -> bool:
    """Whether a user (an object or its id) has a connection."""
    return bool(connections(user, timeout=timeout, via=via))


def online_users(
    users: Iterable[T], *, timeout: float | None = None, via: str = "default"
) -> set[T]:
    """Those of the users (objects or ids) who have a connection."""
    asked = {user: user_id(user) for user in users}
    if len(asked) <= FEW_USERS:
        return {user for user in asked if is_online(user, timeout=timeout, via=via)}
    listed = connections(timeout=timeout, via=via)
    there = {one.user_id for one in listed}
    if len(listed) >= MOST_LISTED:
        unsure = {user for user, known in asked.items() if known not in there}
        there |= {asked[user] for user in unsure if is_online(user, timeout=timeout, via=via)}
    return {user for user, known in asked.items() if known in there}


def connections_in(channel: str, *, via: str = "default") -> list[Connection]:
    """The connections that are in a channel."""
    listed = connections(via=via)
    found = {one.id: one for one in listed if channel in one.channels}
    if len(listed) < MOST_LISTED:
        return list(found.values())
    try:
        members = presence(channel, via=via)
    except AskError as error:
        logger.warning(
            "%r keeps no presence, some of who is in it may be missed: %s", channel, error
        )
        members = {}
    for client, said in members.items():
        state: dict[str, Any] = {"channels": {channel: {}}}
        found.setdefault(
            client, Connection.read(client, {"user": said.get("user"), "state": state})
        )
    return list(found.values())


def presence_count(channel: str, *, timeout: float | None = None, via: str = "default") -> int:
    """How many users are in a channel that keeps presence."""
    return presence_stats(channel, timeout=timeout, via=via)["num_users"]


async def aconnections(
    user: Any = None,
    *,
    client: str | None = None,
    session: str | None = None,
    timeout: float | None = None,
    via: str = "default",
) -> list[Connection]:
    """`connections` for async code, in a thread of its own."""
    return await sync_to_async(connections, thread_sensitive=False)(
        user, client=client, session=session, timeout=timeout, via=via
    )


async def ais_online(user: Any, *, timeout: float | None = None, via: str = "default") -> bool:
    """`is_online` for async code."""
    return await sync_to_async(is_online, thread_sensitive=False)(user, timeout=timeout, via=via)


async def aonline_users(
    users: Iterable[T], *, timeout: float | None = None, via: str = "default"
) -> set[T]:
    """`online_users` for async code."""
    asked = list(users)
    work = sync_to_async(online_users, thread_sensitive=False)
    found: set[T] = await work(asked, timeout=timeout, via=via)
    return found


async def apresence_count(
    channel: str, *, timeout: float | None = None, via: str = "default"
) -> int:
    """`presence_count` for async code."""
    return await sync_to_async(presence_count, thread_sensitive=False)(
        channel, timeout=timeout, via=via
    )
