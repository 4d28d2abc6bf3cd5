"""A channel layer for code that was written for Channels: its groups are Jackfield channels.

It does not import Channels, so it stays when Channels goes.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from importlib import import_module
from typing import Any, NoReturn

from asgiref.sync import sync_to_async
from django.core.exceptions import ImproperlyConfigured

from django_jackfield.command import Command
from django_jackfield.compat.groups import agroup_send, valid_group_name
from django_jackfield.conf import suggestion
from django_jackfield.delivery import deliver

OPTIONS = ("beside", "capacity", "channel_capacity", "expiry", "on_commit", "prefix", "via")
CLIENT = "jackfield!"
"""What stands before the id of a connection where Channels wants the name of a channel."""


class JackfieldChannelLayer:
    """`CHANNEL_LAYERS = {"default": {"BACKEND": "django_jackfield.compat.JackfieldChannelLayer"}}`.

    `CONFIG` takes `prefix` (group `chat_7` is the channel `prefix + "chat_7"`), `via` (an alias of
    JACKFIELD), `on_commit`, and `beside`: the alias of another layer in CHANNEL_LAYERS, which goes
    on serving consumers until the last of them is gone. The limits of Channels (`capacity`,
    `channel_capacity`, `expiry`) are taken and mean nothing: the server has its own.
    """

    class ChannelFull(Exception):
        """Never raised: a queue that is full is a PublishError."""

    MessageTooLarge = ValueError
    MAX_NAME_LENGTH = 100
    extensions = ["groups"]

    def __init__(
        self,
        prefix: str = "",
        via: str = "default",
        on_commit: bool | None = None,
        beside: str | None = None,
        capacity: Any = None,
        channel_capacity: Any = None,
        expiry: Any = 60,
        **unknown: Any,
    ) -> None:
        for name in unknown:
            raise ImproperlyConfigured(
                f"CHANNEL_LAYERS: JackfieldChannelLayer has no option {name!r}."
                f"{suggestion(name, OPTIONS)}"
            )
        self.prefix = prefix
        self.via = via
        self.on_commit = on_commit
        self.beside = beside
        self.expiry = expiry

    async def group_send(self, group: str, message: Mapping[str, Any]) -> None:
        """Publishes to the channel of the group: `type` is the event, the rest its data."""
        await agroup_send(
            group, message, prefix=self.prefix, on_commit=self.on_commit, via=self.via
        )
        if (other := self._beside()) is not None:
            await other.group_send(group, message)

    async def group_add(self, group: str, channel: str) -> None:
        """Puts a connection (`connection_name(client)`) into the channel of the group."""
        await self._move("subscribe", "group_add", group, channel)

    async def group_discard(self, group: str, channel: str) -> None:
        """Takes a connection out of the channel of the group."""
        await self._move("unsubscribe", "group_discard", group, channel)

    async def send(self, channel: str, message: Mapping[str, Any]) -> None:
        """To one consumer, which only a layer `beside` this one has."""
        await self._other("send", "send(user=...) or ask_client(client=...)").send(channel, message)

    async def receive(self, channel: str) -> Any:
        """What one consumer hears, which only a layer `beside` this one has."""
        return await self._other("receive", "a Channel class with @on methods").receive(channel)

    async def new_channel(self, prefix: str = "specific") -> Any:
        """A name for a consumer, which only a layer `beside` this one has."""
        return await self._other("new_channel", "a Channel class").new_channel(prefix)

    def valid_group_name(self, name: Any) -> bool:
        """True, or a TypeError, as in Channels."""
        return bool(valid_group_name(name))

    require_valid_group_name = valid_group_name

    async def _move(self, method: str, called: str, group: str, channel: str) -> None:
        valid_group_name(group)
        if not channel.startswith(CLIENT):
            other = self._other(called, f"{called}(group, connection_name(ctx.client))")
            await getattr(other, called)(group, channel)
            return
        payload = {"client": channel.removeprefix(CLIENT), "channel": self.prefix + group}
        command = Command.make(method, payload)
        await sync_to_async(deliver)([command], on_commit=self.on_commit, via=self.via)

    def _beside(self) -> Any:
        if self.beside is None:
            return None
        layers = import_module("channels.layers")

        return layers.channel_layers[self.beside]

    def _other(self, method: str, instead: str) -> Any:
        other = self._beside()
        return self._refuse(method, instead) if other is None else other

    def _refuse(self, method: str, instead: str) -> NoReturn:
        raise NotImplementedError(
            f"JackfieldChannelLayer.{method}(): the sockets are in the Jackfield server, so there "
            f"are no consumers to reach. Use {instead} of django_jackfield, or keep consumers for "
            "now: add the old layer to CHANNEL_LAYERS under another alias and name that as "
            '"beside" in CONFIG.'
        )


def connection_name(client: str) -> str:
    """The name of a connection for `group_add`, from `ctx.client` of a handler."""
    return CLIENT + str(uuid.UUID(client))
