"""What Channels calls a group, said to a Jackfield channel."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from asgiref.sync import sync_to_async

from django_jackfield.command import Command
from django_jackfield.push import publish

MAX_NAME_LENGTH = 100
_NAME = re.compile(r"[a-zA-Z\d\-_.]+")


def group_send(
    group: str,
    message: Mapping[str, Any],
    *,
    prefix: str = "",
    on_commit: bool | None = None,
    using: str | None = None,
    via: str = "default",
) -> Command:
    """`async_to_sync(channel_layer.group_send)(group, message)`, without the event loop.

    Publishes to the channel `prefix + group`: the `type` of the message is the name of the event,
    the rest is its data. It waits for the commit, as `publish` does.
    """
    channel = prefix + valid_group_name(group)
    return publish(channel, event_of(message), on_commit=on_commit, using=using, via=via)


async def agroup_send(
    group: str,
    message: Mapping[str, Any],
    *,
    prefix: str = "",
    on_commit: bool | None = None,
    using: str | None = None,
    via: str = "default",
) -> Command:
    """`group_send` for async code."""
    return await sync_to_async(group_send)(
        group, message, prefix=prefix, on_commit=on_commit, using=using, via=via
    )


def event_of(message: Mapping[str, Any]) -> dict[str, Any]:
    """`{"type": T, **rest}` as `{"event": T, "data": rest}`."""
    if not isinstance(message, Mapping) or not isinstance(message.get("type"), str):
        raise TypeError(f"a message of a group is a dict with a text as its type, not {message!r}")
    return {
        "event": message["type"],
        "data": {name: value for name, value in message.items() if name != "type"},
    }


def valid_group_name(name: Any) -> str:
    """The name, if Channels would take it. Raises TypeError as Channels does."""
    if isinstance(name, str) and len(name) < MAX_NAME_LENGTH and _NAME.fullmatch(name):
        return name
    raise TypeError(
        f"Group name must be a valid unicode string with length < {MAX_NAME_LENGTH} containing "
        f"only ASCII alphanumerics, hyphens, underscores, or periods, not {name!r}"
    )
