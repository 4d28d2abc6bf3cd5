"""Which event a thread or a coroutine works on, for the lines of a log."""

from __future__ import annotations

import logging
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from django_jackfield.context import Context

current: ContextVar[Context | None] = ContextVar("django_jackfield_event", default=None)
"""The context of the handler that runs here; None outside of handlers."""


class EventFilter(logging.Filter):
    """Adds `event_id`, `client`, `user_id` and `channel` to each record; empty outside handlers."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Lets everything pass."""
        ctx = current.get()
        record.event_id = ctx.id if ctx else ""
        record.client = ctx.client if ctx else ""
        record.user_id = ctx.user_id if ctx else ""
        record.channel = ctx.channel if ctx else ""
        return True
