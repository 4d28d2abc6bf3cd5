"""Keeps commands in a list, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from django_jackfield.backends.base import BaseBackend
from django_jackfield.command import Command
from django_jackfield.errors import AskError
from django_jackfield.serialise import to_json


class Outbox(list[Command]):
    """What was sent. Cleared, nothing has been published."""

    def clear(self) -> None:
        """Empties it, and the histories that came of it."""
        from django_jackfield.testing.server import server

        super().clear()
        server.forget()


outbox = Outbox()


class LocMemBackend(BaseBackend):
    """What was sent is in `outbox`; the fake clients of a test hear it and are told of."""

    FOR_DEVELOPMENT: ClassVar[bool] = True

    @property
    def failures(self) -> tuple[type[Exception], ...]:
        return ()

    def _send(self, commands: Sequence[Command]) -> None:
        from django_jackfield.testing.server import server

        outbox.extend(commands)
        for command in commands:
            server.apply(command)

    def _ask(self, command: Command, timeout: float) -> bytes:
        from django_jackfield.testing.server import server

        try:
            result = server.ask(command)
        except AskError as error:
            said = {"code": error.code, "message": error.message}
            return to_json({"v": 1, "id": command.id, "error": said})
        return to_json({"v": 1, "id": command.id, "result": result})
