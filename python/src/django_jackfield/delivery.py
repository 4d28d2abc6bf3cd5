"""When commands are sent: at once, or as one pipeline when the transaction commits."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django.db import transaction

from django_jackfield.aliases import brokers
from django_jackfield.command import Command
from django_jackfield.errors import JackfieldError
from django_jackfield.signals import publication_failed, publication_sent

if TYPE_CHECKING:
    from django_jackfield.backends.base import BaseBackend

logger = logging.getLogger("django_jackfield")


class Batch:
    """The commands of one call inside a transaction.

    At commit the first whose turn comes sends the commands of all that are left, as one pipeline.
    Invariant: a batch lives exactly as long as Django keeps its callback, and Django drops the
    callbacks of a savepoint that is rolled back; so the weak references of the connection tell
    what is left.
    """

    def __init__(
        self, connection: Any, commands: Sequence[Command], via: str, rows: Sequence[int] = ()
    ) -> None:
        self.connection = connection
        self.commands = list(commands)
        self.via = via
        self.rows = list(rows)
        """Their rows in the outbox; none if they have none."""

    def flush(self) -> None:
        """Sends what is left of the transaction."""
        commands, self.commands = self.commands, []
        rows, self.rows = self.rows, []
        committed = not self.connection.run_on_commit  # Why: not so inside a TestCase.
        for other in live_batches(self.connection) if committed and commands else ():
            if other.via == self.via:
                commands += other.commands
                rows += other.rows
                other.commands, other.rows = [], []
        if not commands:
            return
        if deliver_quietly(commands, self.via, kept=len(rows)) and rows:
            from django_jackfield.outbox.store import take_out_quietly

            take_out_quietly(self.connection.alias, rows)


def deliver(
    commands: Sequence[Command],
    *,
    on_commit: bool | None = None,
    outbox: bool | None = None,
    using: str | None = None,
    via: str = "default",
) -> None:
    """Sends now (raising PublishError), or after the transaction (telling by log and signal).

    With the outbox on, the commands are rows of the transaction until the queue has them.
    """
    backend = brokers[via]
    config = backend.config
    if not (config.on_commit if on_commit is None else on_commit):
        if outbox:
            raise TypeError("outbox=True keeps commands for the commit: leave on_commit as it is")
        send_now(commands, via, backend)
        return
    connection: Any = transaction.get_connection(using)
    if config.outbox if outbox is None else outbox:
        _deliver_kept(connection, commands, via, strict=config.outbox == "strict")
    elif connection.in_atomic_block:
        _send_on_commit(connection, Batch(connection, commands, via))
    else:
        deliver_quietly(commands, via, backend=backend)


def deliver_quietly(
    commands: Sequence[Command], via: str, *, kept: int = 0, backend: BaseBackend | None = None
) -> bool:
    """Sends, and never raises: a committed request must not fail because push is down.

    Gives whether the queue has them. `kept` of them are in the outbox in any case.
    """
    try:
        send_now(commands, via, backend)
    except JackfieldError as error:
        fate = f"; {kept} of them wait in the outbox for the relay" if kept else ""
        logger.log(
            logging.WARNING if kept == len(commands) else logging.ERROR,
            "%d command(s) were not published via %r: %s%s",
            len(commands),
            via,
            error,
            fate,
        )
        publication_failed.send_robust(
            sender=type(brokers[via]), commands=list(commands), via=via, error=error, kept=kept
        )
        return False
    return True


def _deliver_kept(connection: Any, commands: Sequence[Command], via: str, *, strict: bool) -> None:
    """By way of the outbox."""
    from django_jackfield.outbox.store import put, require_app, wake

    if strict:
        put(connection, commands, via)
        wake(connection)
    elif connection.in_atomic_block:
        rows = put(connection, commands, via)
        _send_on_commit(connection, Batch(connection, commands, via, rows))
    else:
        # Nothing was committed together with them, so a row is needed only if the queue is away.
        require_app()
        try:
            send_now(commands, via)
        except JackfieldError as error:
            put(connection, commands, via)
            logger.warning(
                "%d command(s) wait in the outbox for the relay: %s", len(commands), error
            )
            publication_failed.send_robust(
                sender=type(brokers[via]),
                commands=list(commands),
                via=via,
                error=error,
                kept=len(commands),
            )


def _send_on_commit(connection: Any, batch: Batch) -> None:
    known = connection.__dict__.setdefault("_jackfield_batches", [])
    if not connection.run_on_commit:
        known.clear()
    known.append(weakref.ref(batch))
    connection.on_commit(batch.flush, robust=True)


def live_batches(connection: Any) -> list[Batch]:
    """The batches of the transaction that have not been rolled back, in order."""
    refs: list[weakref.ref[Batch]] = connection.__dict__.get("_jackfield_batches", [])
    return [batch for ref in refs if (batch := ref()) is not None]


def waiting_commands(connection: Any) -> int:
    """How many commands wait for a commit."""
    return sum(len(batch.commands) for batch in live_batches(connection))


def send_now(commands: Sequence[Command], via: str, backend: BaseBackend | None = None) -> None:
    """Hands commands to the queue and tells of it. Raises PublishError."""
    backend = backend or brokers[via]
    backend.send(commands)
    if publication_sent.receivers:
        publication_sent.send_robust(sender=type(backend), commands=list(commands), via=via)
