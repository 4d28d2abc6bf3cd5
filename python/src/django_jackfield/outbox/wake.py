"""Waiting for the next sweep: by time, or until PostgreSQL tells of a strict alias."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from django.db import connections

from django_jackfield.aliases import brokers
from django_jackfield.outbox.store import CHANNEL, can_notify

logger = logging.getLogger("django_jackfield.outbox")

LOOK_SECONDS = 0.5
"""So long a signal that ends the relay may be overlooked while PostgreSQL is listened to."""


class Bell:
    """Listens on a connection of its own. Where there is nothing to listen to it only waits."""

    def __init__(self, databases: Sequence[str]) -> None:
        strict = any(brokers[via].config.outbox == "strict" for via in brokers)
        # One database: nobody listens to two at once, and the others have the interval.
        able = [using for using in databases if strict and can_notify(connections[using])]
        self._using = able[0] if able else None
        self._connection: Any = None

    @property
    def rings(self) -> bool:
        """Whether there is something to listen to."""
        return self._using is not None

    def wait(self, seconds: float, stop: threading.Event) -> None:
        """Returns when told, after `seconds`, or when stopped."""
        if self._using is None:
            stop.wait(seconds)
            return
        try:
            self._listen()
            left = seconds
            while left > 0 and not stop.is_set():
                look = min(left, LOOK_SECONDS)
                left -= look
                if list(self._connection.connection.notifies(timeout=look, stop_after=1)):
                    return
        except Exception as error:  # Those of psycopg itself come here unwrapped.
            logger.warning("relay: PostgreSQL does not tell of new rows: %s", error)
            self.close()
            stop.wait(seconds)

    def close(self) -> None:
        """Ends the connection."""
        if self._connection is not None:
            with suppress(Exception):
                self._connection.close()
            self._connection = None

    def _listen(self) -> None:
        assert self._using is not None  # noqa: S101 - for the type checker
        if self._connection is None:
            self._connection = connections[self._using].copy()  # type: ignore[attr-defined]
        if self._connection.connection is None:
            with self._connection.cursor() as cursor:
                cursor.execute(f"LISTEN {CHANNEL}")
