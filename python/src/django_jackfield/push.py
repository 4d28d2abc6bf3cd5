"""Telling the server: publish, send, and their async twins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from asgiref.sync import sync_to_async

from django_jackfield.command import Command, message, publication
from django_jackfield.delivery import deliver

Publishable = tuple[str | Sequence[str], Any] | tuple[str | Sequence[str], Any, Mapping[str, Any]]
"""`(channel, data)`, or with a dict of what else `publish` takes about the publication as third."""


def publish(
    channel: str | Sequence[str],
    data: Any = None,
    *,
    text: str | None = None,
    id: str | None = None,
    tags: Mapping[str, str] | None = None,
    skip_history: bool = False,
    key: str | None = None,
    delta: bool = False,
    idempotency_key: str | None = None,
    version: int | None = None,
    version_epoch: str | None = None,
    on_commit: bool | None = None,
    outbox: bool | None = None,
    using: str | None = None,
    via: str = "default",
) -> Command:
    """Publishes to a channel, or to each of a list.

    `data` is any JSON value, or bytes; `text` is for clients that read plain text. It is
    serialised here and sent when the transaction on `using` commits. An `id` that the server
    has seen within 5 minutes is dropped there.

    What the server drops without an error: an `idempotency_key` that the channel took within
    5 minutes, and a `version` (a count of your own, of the life `version_epoch`) that is not
    newer than the channel's last. `key` names what the data is the latest value of, where a
    channel carries several side by side. `delta` sends subscribers who asked for it only the
    difference to the publication before.

    With `outbox` (the OUTBOX of the alias unless given) it is also a row of the transaction until
    the queue has it: docs/django-outbox.md.
    """
    command = publication(
        channel,
        data,
        text=text,
        id=id,
        tags=tags,
        skip_history=skip_history,
        key=key,
        delta=delta,
        idempotency_key=idempotency_key,
        version=version,
        version_epoch=version_epoch,
    )
    deliver([command], on_commit=on_commit, outbox=outbox, using=using, via=via)
    return command


def publish_many(
    items: Iterable[Publishable],
    *,
    on_commit: bool | None = None,
    outbox: bool | None = None,
    using: str | None = None,
    via: str = "default",
) -> list[Command]:
    """Publishes many as one pipeline."""
    commands = [
        publication(item[0], item[1], **(item[2] if len(item) == 3 else {})) for item in items
    ]
    if commands:
        deliver(commands, on_commit=on_commit, outbox=outbox, using=using, via=via)
    return commands


def send(
    *,
    user: Any,
    data: Any = None,
    text: str | None = None,
    id: str | None = None,
    on_commit: bool | None = None,
    outbox: bool | None = None,
    using: str | None = None,
    via: str = "default",
) -> Command:
    """Sends to every connection of a user (a user object, or its id)."""
    command = message(user_id(user), data, text=text, id=id)
    deliver([command], on_commit=on_commit, outbox=outbox, using=using, via=via)
    return command


async def apublish(
    channel: str | Sequence[str],
    data: Any = None,
    *,
    text: str | None = None,
    id: str | None = None,
    tags: Mapping[str, str] | None = None,
    skip_history: bool = False,
    key: str | None = None,
    delta: bool = False,
    idempotency_key: str | None = None,
    version: int | None = None,
    version_epoch: str | None = None,
    on_commit: bool | None = None,
    outbox: bool | None = None,
    using: str | None = None,
    via: str = "default",
) -> Command:
    """`publish` for async code. It runs in the thread that holds the database connection."""
    return await sync_to_async(publish)(
        channel,
        data,
        text=text,
        id=id,
        tags=tags,
        skip_history=skip_history,
        key=key,
        delta=delta,
        idempotency_key=idempotency_key,
        version=version,
        version_epoch=version_epoch,
        on_commit=on_commit,
        outbox=outbox,
        using=using,
        via=via,
    )


async def apublish_many(
    items: Iterable[Publishable],
    *,
    on_commit: bool | None = None,
    outbox: bool | None = None,
    using: str | None = None,
    via: str = "default",
) -> list[Command]:
    """`publish_many` for async code."""
    return await sync_to_async(publish_many)(
        items, on_commit=on_commit, outbox=outbox, using=using, via=via
    )


async def asend(
    *,
    user: Any,
    data: Any = None,
    text: str | None = None,
    id: str | None = None,
    on_commit: bool | None = None,
    outbox: bool | None = None,
    using: str | None = None,
    via: str = "default",
) -> Command:
    """`send` for async code."""
    return await sync_to_async(send)(
        user=user,
        data=data,
        text=text,
        id=id,
        on_commit=on_commit,
        outbox=outbox,
        using=using,
        via=via,
    )


def user_id(user: Any) -> str:
    """The id by which the server knows a user: the primary key as text."""
    if hasattr(user, "is_anonymous"):
        if user.is_anonymous:
            raise ValueError("an anonymous user has no id; publish to a channel")
        user = user.pk
    if user is None or isinstance(user, bool):
        raise TypeError(f"user must be a user object or its id, not {user!r}")
    return str(user)
