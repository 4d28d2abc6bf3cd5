"""Tests without a server: `class ChatTests(RealtimeTestMixin, TestCase)`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from django.db import DEFAULT_DB_ALIAS, connections
from django.test import SimpleTestCase, override_settings

from django_jackfield.backends.locmem import outbox
from django_jackfield.command import Command
from django_jackfield.conf import raw_aliases
from django_jackfield.delivery import waiting_commands
from django_jackfield.testing.client import JackfieldClient
from django_jackfield.testing.documents import load_document, save_document
from django_jackfield.testing.errors import (
    CallError,
    Denied,
    Disconnected,
    NotHandled,
    PublishDenied,
    SubscribeDenied,
)
from django_jackfield.testing.received import Received
from django_jackfield.testing.server import server

__all__ = [
    "CallError",
    "Denied",
    "Disconnected",
    "JackfieldClient",
    "NotHandled",
    "PublishDenied",
    "RealtimeTestMixin",
    "Received",
    "SubscribeDenied",
    "load_document",
    "locmem_aliases",
    "outbox",
    "save_document",
]

LOCMEM = "django_jackfield.backends.locmem.LocMemBackend"
_ANY = object()

if TYPE_CHECKING:
    _Base = SimpleTestCase
else:
    _Base = object


def locmem_aliases() -> dict[str, Any]:
    """The project's JACKFIELD with every alias switched to locmem."""
    return {
        alias: dict(raw) | {"BACKEND": LOCMEM, "OPTIONS": {}}
        for alias, raw in raw_aliases().items()
    }


def matches(
    command: Command, channel: str | None, event: str | None, data: Any, user: str | None
) -> bool:
    """Whether a command is what an assertion looks for."""
    if channel is not None and channel not in command.channels:
        return False
    if user is not None and command.fields.get("user") != user:
        return False
    if event is None:
        return data is _ANY or command.data == data
    said = command.data
    if not isinstance(said, dict) or said.get("event") != event:
        return False
    return data is _ANY or said.get("data") == data


class RealtimeTestMixin(_Base):
    """Switches every alias to locmem; each test begins with an empty outbox and no clients."""

    jackfield_client_class: type[JackfieldClient] = JackfieldClient

    @classmethod
    def setUpClass(cls) -> None:
        cls.enterClassContext(override_settings(JACKFIELD=locmem_aliases()))
        super().setUpClass()

    def setUp(self) -> None:
        super().setUp()
        server.reset()
        outbox.clear()
        self.addCleanup(server.reset)

    @property
    def outbox(self) -> list[Command]:
        """What was sent in this test."""
        return outbox

    def jackfield_client(
        self, user: Any = None, *, connect: bool = True, **more: Any
    ) -> JackfieldClient:
        """A fake browser of a user, or of nobody; `more` is what JackfieldClient takes."""
        client = self.jackfield_client_class(user, **more)
        return client.connect() if connect else client

    @contextmanager
    def capturePublications(self, using: str = DEFAULT_DB_ALIAS) -> Iterator[list[Command]]:
        """Collects what the block sends, and what it sends on commit as if it had committed."""
        start = len(outbox)
        captured: list[Command] = []
        with ExitStack() as stack:
            capture = getattr(self, "captureOnCommitCallbacks", None)
            if capture is not None:
                stack.enter_context(capture(using=using, execute=True))
            yield captured
        captured.extend(outbox[start:])

    def assertPublished(
        self,
        channel: str | None = None,
        event: str | None = None,
        *,
        data: Any = _ANY,
        user: str | None = None,
        count: int | None = None,
    ) -> list[Command]:
        """Asserts that it was sent, `count` times or at least once. Returns what fits."""
        found = [one for one in outbox if matches(one, channel, event, data, user)]
        wanted = "at least once" if count is None else f"{count} time(s)"
        if len(found) != count if count is not None else not found:
            what = f"{channel or user!r}" + (f" event {event!r}" if event else "")
            self.fail(f"{what} was published {len(found)} time(s), not {wanted}.{_told()}")
        return found

    def assertNotPublished(
        self,
        channel: str | None = None,
        event: str | None = None,
        *,
        data: Any = _ANY,
        user: str | None = None,
    ) -> None:
        """Asserts that nothing of the kind was sent."""
        self.assertPublished(channel, event, data=data, user=user, count=0)


def _told() -> str:
    """The rest of a failure: what was sent instead, and what still waits for a commit."""
    sent = "".join(
        f"\n  {one.method} {one.payload.decode(errors='replace')[:200]}" for one in outbox
    )
    waiting = sum(waiting_commands(connection) for connection in connections.all(True))
    hint = f"\n{waiting} wait for a commit: use capturePublications()." if waiting else ""
    return f"\nSent:{sent or ' nothing'}{hint}"
