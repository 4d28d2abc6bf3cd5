"""Keeps commands in a list, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from django_jackfield.backends.base import BaseBackend
from django_jackfield.command import Command
from django_jackfield.serialise import to_json

outbox: list[Command] = []


class LocMemBackend(BaseBackend):
    """What was sent is in `outbox`; presence is empty, history is what the outbox holds."""

    FOR_DEVELOPMENT: ClassVar[bool] = True

    @property
    def failures(self) -> tuple[type[Exception], ...]:
        return ()

    def _send(self, commands: Sequence[Command]) -> None:
        outbox.extend(commands)

    def _ask(self, command: Command, timeout: float) -> bytes:
        result: dict[str, Any]
        if command.method == "presence":
            result = {"presence": {}}
        elif command.method == "presence_stats":
            result = {"num_clients": 0, "num_users": 0}
        elif command.method == "connections":
            result = {"connections": {}}
        else:
            result = self._history(command)
        return to_json({"v": 1, "id": command.id, "result": result})

    def _history(self, command: Command) -> dict[str, Any]:
        channel, limit = command.channels[0], command.fields["limit"]
        published = [
            {"offset": offset, "data": sent.fields.get("data")}
            for offset, sent in enumerate((c for c in outbox if channel in c.channels), start=1)
        ]
        after = (command.fields.get("since") or {"offset": 0})["offset"]
        newer = published[after:]
        return {
            "publications": newer if limit < 0 else newer[:limit],
            "epoch": "locmem",
            "offset": len(published),
        }
