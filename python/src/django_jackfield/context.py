"""What a handler is told beside the data."""

from __future__ import annotations

from typing import Any

from asgiref.sync import sync_to_async

from django_jackfield.command import Command
from django_jackfield.event import Event
from django_jackfield.push import apublish, publish


class Context:
    """The first argument of every handler."""

    def __init__(
        self, event: Event, *, params: dict[str, Any] | None = None, via: str = "default"
    ) -> None:
        self._event = event
        self._via = via
        self._user: Any = None
        self.params = params or {}
        self.id = event.id
        self.type = event.type
        self.user_id = event.user
        self.client = event.client
        self.channel = event.channel
        self.event = event.event
        self.seq = event.seq
        self.meta = event.meta
        self.attempt = event.attempt
        self.time = event.time
        self.deadline = event.deadline
        self.remote = event.remote
        self.transport = event.transport
        self.protocol = event.protocol
        self.listener = event.listener
        self.node = event.node
        self.token = event.token
        self.name = event.name
        self.version = event.version
        self.channels = event.channels
        self._batch: tuple[Context, ...] = ()

    def __repr__(self) -> str:
        return f"<Context {self.type} {self.id} of user {self.user_id!r}>"

    @property
    def batch(self) -> tuple[Context, ...]:
        """The contexts of all events of a batch, oldest first; this one where there is none."""
        return self._batch or (self,)

    @property
    def language(self) -> str:
        """The language of the connection, as its `meta` tells; empty if it does not."""
        said = self.meta.get("language", "")
        return said if isinstance(said, str) else ""

    @property
    def data(self) -> Any:
        """The data of the event, as it came."""
        return self._event.data

    @property
    def user(self) -> Any:
        """The Django user, fetched when first asked for; AnonymousUser if there is none."""
        if self._user is None:
            self._user = _fetch_user(self.user_id)
        return self._user

    async def auser(self) -> Any:
        """`user` for async handlers."""
        if self._user is None:
            self._user = await sync_to_async(_fetch_user)(self.user_id)
        return self._user

    def publish(
        self,
        data: Any = None,
        *,
        channel: str | None = None,
        text: str | None = None,
        on_commit: bool | None = None,
        using: str | None = None,
    ) -> Command:
        """Publishes, to the channel that the message came through unless another is named."""
        return publish(
            channel or self.channel,
            data,
            text=text,
            on_commit=on_commit,
            using=using,
            via=self._via,
        )

    async def apublish(
        self,
        data: Any = None,
        *,
        channel: str | None = None,
        text: str | None = None,
        on_commit: bool | None = None,
        using: str | None = None,
    ) -> Command:
        """`publish` for async handlers."""
        return await apublish(
            channel or self.channel,
            data,
            text=text,
            on_commit=on_commit,
            using=using,
            via=self._via,
        )


def _fetch_user(user_id: str) -> Any:
    from django.contrib.auth import get_user_model
    from django.contrib.auth.models import AnonymousUser

    model = get_user_model()
    if not user_id:
        return AnonymousUser()
    try:
        return model._default_manager.get(pk=user_id)
    except (model.DoesNotExist, ValueError, TypeError):
        return AnonymousUser()
