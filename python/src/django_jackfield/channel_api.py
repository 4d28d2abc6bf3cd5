"""What one does with the channels of a class: publish, see who is there, read the history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from asgiref.sync import sync_to_async

from django_jackfield import ask
from django_jackfield.command import Command, Position
from django_jackfield.patterns import names
from django_jackfield.push import publish


class ChannelApi:
    """Class methods of every Channel. Each takes the values of the pattern: `(7)` or `(pk=7)`.

    They are not called `presence` and `history`, because those are options of the class.
    """

    pattern: ClassVar[str] = ""
    via: ClassVar[str] = "default"

    @classmethod
    def name(cls, *args: Any, **kwargs: Any) -> str:
        """The name of a channel: `RoomChannel.name(7)` or `RoomChannel.name(pk=7)`."""
        raise NotImplementedError

    @classmethod
    def publish(cls, *args: Any, data: Any = None, event: str = "message", **more: Any) -> Command:
        """Publishes `{"event": event, "data": data}` to one channel; bytes go as they are.

        `more` are the values of the pattern by name and what `django_jackfield.publish` takes
        beside: `key=`, `id=`, `skip_history=`, `on_commit=`, `using=` and so on. Where a name is
        both, it is the value of the pattern.
        """
        values, how = cls._sorted(more)
        return publish(cls.name(*args, **values), shaped(event, data), **({"via": cls.via} | how))

    @classmethod
    async def apublish(
        cls, *args: Any, data: Any = None, event: str = "message", **more: Any
    ) -> Command:
        """`publish` for async code."""
        return await sync_to_async(cls.publish)(*args, data=data, event=event, **more)

    @classmethod
    def members(cls, *args: Any, **more: Any) -> dict[str, dict[str, Any]]:
        """Who is in a channel, where `presence` is on: client id to `{"user", "conn_info", ..}`.

        `timeout=` is the patience, in seconds.
        """
        values, how = cls._sorted(more)
        return ask.presence(cls.name(*args, **values), **({"via": cls.via} | how))

    @classmethod
    async def amembers(cls, *args: Any, **more: Any) -> dict[str, dict[str, Any]]:
        """`members` for async code."""
        return await sync_to_async(cls.members, thread_sensitive=False)(*args, **more)

    @classmethod
    def counts(cls, *args: Any, **more: Any) -> dict[str, int]:
        """How many are in a channel: `{"num_clients", "num_users"}`."""
        values, how = cls._sorted(more)
        return ask.presence_stats(cls.name(*args, **values), **({"via": cls.via} | how))

    @classmethod
    async def acounts(cls, *args: Any, **more: Any) -> dict[str, int]:
        """`counts` for async code."""
        return await sync_to_async(cls.counts, thread_sensitive=False)(*args, **more)

    @classmethod
    def recent(
        cls,
        *args: Any,
        limit: int = -1,
        since: Position | Mapping[str, Any] | None = None,
        **more: Any,
    ) -> dict[str, Any]:
        """What a channel has kept: `{"publications", "epoch", "offset"}`.

        The newest `limit`, newest first; with `since` those after a position, oldest first. A
        limit of -1 is all, and 0 only the position.
        """
        values, how = cls._sorted(more)
        if limit != 0 and since is None:
            how.setdefault("reverse", True)
        return ask.history(
            cls.name(*args, **values), limit=limit, since=since, **({"via": cls.via} | how)
        )

    @classmethod
    async def arecent(
        cls,
        *args: Any,
        limit: int = -1,
        since: Position | Mapping[str, Any] | None = None,
        **more: Any,
    ) -> dict[str, Any]:
        """`recent` for async code."""
        return await sync_to_async(cls.recent, thread_sensitive=False)(
            *args, limit=limit, since=since, **more
        )

    @classmethod
    def _sorted(cls, more: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """The values of the pattern, and everything else."""
        known: Sequence[str] = names(cls.pattern)
        values = {name: value for name, value in more.items() if name in known}
        return values, {name: value for name, value in more.items() if name not in known}


def shaped(event: str, data: Any) -> Any:
    """The form of every publication of a Channel. Bytes have no room for a name."""
    if isinstance(data, bytes | bytearray | memoryview):
        if event != "message":
            raise TypeError(f"bytes are published without a name, so not as the event {event!r}")
        return data
    return {"event": event, "data": data}
