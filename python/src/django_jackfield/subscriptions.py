"""Putting connections into channels and taking them out, from the outside."""

from __future__ import annotations

from typing import Any

from asgiref.sync import sync_to_async

from django_jackfield.command import Command
from django_jackfield.decisions import Subscription
from django_jackfield.delivery import deliver
from django_jackfield.orders import entry, removal
from django_jackfield.push import user_id

TAKEN_OUT = 2000
"""The code a client hears when it is taken out for good."""


def subscribe(
    user: Any,
    channel: str,
    grant: Subscription | None = None,
    *,
    client: str | None = None,
    on_commit: bool | None = None,
    using: str | None = None,
    via: str = "default",
) -> Command:
    """Puts the open connections of a user, or the one with the id `client`, into a channel.

    No rule is asked: you are the rule. `grant` says more of the subscription.
    """
    command = entry(_target(user, client), channel, grant or Subscription())
    deliver([command], on_commit=on_commit, using=using, via=via)
    return command


def unsubscribe(
    user: Any,
    channel: str,
    *,
    client: str | None = None,
    code: int = TAKEN_OUT,
    reason: str = "",
    on_commit: bool | None = None,
    using: str | None = None,
    via: str = "default",
) -> Command:
    """Takes the connections of a user, or the one with the id `client`, out of a channel.

    Codes from 2500 on let the client ask at once to come in again. What keeps it out for good is
    the rule of the channel: see `recheck`.
    """
    command = removal(_target(user, client), channel, code, reason)
    deliver([command], on_commit=on_commit, using=using, via=via)
    return command


async def asubscribe(
    user: Any,
    channel: str,
    grant: Subscription | None = None,
    *,
    client: str | None = None,
    on_commit: bool | None = None,
    using: str | None = None,
    via: str = "default",
) -> Command:
    """`subscribe` for async code."""
    return await sync_to_async(subscribe)(
        user, channel, grant, client=client, on_commit=on_commit, using=using, via=via
    )


async def aunsubscribe(
    user: Any,
    channel: str,
    *,
    client: str | None = None,
    code: int = TAKEN_OUT,
    reason: str = "",
    on_commit: bool | None = None,
    using: str | None = None,
    via: str = "default",
) -> Command:
    """`unsubscribe` for async code."""
    return await sync_to_async(unsubscribe)(
        user,
        channel,
        client=client,
        code=code,
        reason=reason,
        on_commit=on_commit,
        using=using,
        via=via,
    )


def _target(user: Any, client: str | None) -> dict[str, str]:
    if user is None and client is None:
        raise TypeError("name a user, or a connection by client=")
    target = {} if user is None else {"user": user_id(user)}
    return target | ({} if client is None else {"client": client})
