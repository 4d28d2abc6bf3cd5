"""When commands are sent: at once, or as one pipeline when the transaction commits."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Sequence
from typing import Any

from django.db import transaction

from django_jackfield.aliases import brokers
from django_jackfield.command import Command
from django_jackfield.errors import JackfieldError
from django_jackfield.signals import publication_failed, publication_sent

logger = logging.getLogger("django_jackfield")


class Batch:
    """The commands of one call inside a transaction.

    At commit the first whose turn comes sends the commands of all that are left, as one pipeline.
    Invariant: a batch lives exactly as long as Django keeps its callback, and Django drops the
    callbacks of a savepoint that is rolled back; so the weak references of the connection tell
    what is left.
    """

    def __init__(self, connection: Any, commands: Sequence[Command], via: str) -> None:
        self.connection = connection
        self.commands = list(commands)
        self.via = via

    def flush(self) -> None:
        """Sends what is left of the transaction."""
        commands, self.commands = self.commands, []
        committed = not self.connection.run_on_commit  # Why: not so inside a TestCase.
        for other in live_batches(self.connection) if committed and commands else ():
            if other.via == self.via:
                commands += other.commands
                other.commands = []
        if commands:
            deliver_quietly(commands, self.via)


def deliver(
    commands: Sequence[Command],
    *,
    on_commit: bool | None = None,
    using: str | None = None,
    via: str = "default",
) -> None:
    """Sends now (raising PublishError), or after the transaction (telling by log and signal)."""
    config = brokers[via].config
    if not (config.on_commit if on_commit is None else on_commit):
        _send(commands, via)
        return
    connection = transaction.get_connection(using)
    if not connection.in_atomic_block:
        deliver_quietly(commands, via)
        return
    batch = Batch(connection, commands, via)
    known = connection.__dict__.setdefault("_jackfield_batches", [])
    if not connection.run_on_commit:
        known.clear()
    known.append(weakref.ref(batch))
    connection.on_commit(batch.flush, robust=True)


def deliver_quietly(commands: Sequence[Command], via: str) -> None:
    """Sends, and never raises: a committed request must not fail because push is down."""
    try:
        _send(commands, via)
    except JackfieldError as error:
        logger.error("%d command(s) were not published via %r: %s", len(commands), via, error)
        publication_failed.send_robust(
            sender=type(brokers[via]), commands=list(commands), via=via, error=error
        )


def live_batches(connection: Any) -> list[Batch]:
    """The batches of the transaction that have not been rolled back, in order."""
    refs: list[weakref.ref[Batch]] = connection.__dict__.get("_jackfield_batches", [])
    return [batch for ref in refs if (batch := ref()) is not None]


def waiting_commands(connection: Any) -> int:
    """How many commands wait for a commit."""
    return sum(len(batch.commands) for batch in live_batches(connection))


def _send(commands: Sequence[Command], via: str) -> None:
    backend = brokers[via]
    backend.send(commands)
    publication_sent.send_robust(sender=type(backend), commands=list(commands), via=via)
