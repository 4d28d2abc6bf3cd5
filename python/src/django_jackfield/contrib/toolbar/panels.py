"""The panel "Jackfield": what this request told the server, and what still waits for a commit."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from debug_toolbar.panels import Panel  # type: ignore[import-not-found,import-untyped]
from django.db import connections
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from django_jackfield.backends.base import BaseBackend
from django_jackfield.command import Command
from django_jackfield.delivery import live_batches

MOST_CHARACTERS = 300

_rows: ContextVar[list[dict[str, Any]] | None] = ContextVar("jackfield_toolbar", default=None)
_patched = False


class JackfieldPanel(Panel):  # type: ignore[misc]
    """Commands of the request: channel, event, size, how long the queue took, sent or waiting."""

    title = _("Jackfield")
    template = "jackfield_toolbar/panel.html"
    is_async = True

    @property
    def nav_subtitle(self) -> str:
        count = len(self.get_stats().get("rows", ()))  # type: ignore[no-untyped-call]
        return ngettext("%d command", "%d commands", count) % count

    def enable_instrumentation(self) -> None:
        """Called before the request."""
        _patch()
        self._token = _rows.set([])

    def disable_instrumentation(self) -> None:
        """Called after the request."""
        token = self.__dict__.pop("_token", None)
        if token is not None:
            _rows.set(None)

    def process_request(self, request: HttpRequest) -> HttpResponse:
        """Collects while the response is made."""
        self._told = _rows.get()
        response: HttpResponse = super().process_request(request)  # type: ignore[no-untyped-call]
        return response

    def generate_stats(self, request: HttpRequest, response: HttpResponse) -> None:
        """What the template shows."""
        rows = list(_rows.get() or getattr(self, "_told", None) or ())
        rows += [
            _row(command, "waiting for the commit", batch.via)
            for connection in connections.all(initialized_only=True)
            for batch in live_batches(connection)
            for command in batch.commands
        ]
        self.record_stats(  # type: ignore[no-untyped-call]
            {
                "rows": rows,
                "bytes": sum(row["bytes"] for row in rows),
                "milliseconds": round(sum(row["milliseconds"] or 0 for row in rows), 2),
            }
        )


def _patch() -> None:
    """Listens at the one door to the queue, once per process."""
    global _patched
    if not _patched:
        _patched = True
        BaseBackend.send = _timed(BaseBackend.send)  # type: ignore[method-assign]


def _timed(send: Callable[..., None]) -> Callable[..., None]:
    def timed(self: BaseBackend, commands: Any) -> None:
        rows = _rows.get()
        if rows is None:
            send(self, commands)
            return
        start, state = time.perf_counter(), "failed"
        try:
            send(self, commands)
            state = "sent"
        finally:
            took = (time.perf_counter() - start) * 1000
            new = [_row(command, state, self.config.alias) for command in commands]
            if new:
                # One pipeline takes one time: it stands at its first command.
                new[0]["milliseconds"] = round(took, 2)
            rows.extend(new)

    return timed


def _row(command: Command, state: str, via: str) -> dict[str, Any]:
    fields = command.fields
    said = fields.get("data")
    shaped = isinstance(said, dict) and isinstance(said.get("event"), str)
    to = ", ".join(command.channels) or str(fields.get("user") or fields.get("client") or "")
    text = json.dumps(said, ensure_ascii=False) if "data" in fields else str(fields.get("text", ""))
    return {
        "method": command.method,
        "to": to,
        "event": said["event"] if shaped and isinstance(said, dict) else "",
        "data": text[:MOST_CHARACTERS],
        "bytes": len(command.payload),
        "milliseconds": None,
        "state": state,
        "via": via,
    }
