"""Rows of the outbox: put in with the business data, taken out when the queue has the commands."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connections, transaction
from django.utils import timezone

from django_jackfield.command import Command

logger = logging.getLogger("django_jackfield.outbox")

APP = "django_jackfield.outbox"
CHANNEL = "jackfield_outbox"
"""What a strict relay listens to in PostgreSQL."""
CHUNK = 500


def require_app() -> None:
    """Raises ImproperlyConfigured where there is no table to put a row into."""
    if not apps.is_installed(APP):
        raise ImproperlyConfigured(
            f"The outbox is on, but {APP!r} is not in INSTALLED_APPS: add it and run "
            "`manage.py migrate`, or turn OUTBOX off."
        )


def put(connection: Any, commands: Sequence[Command], via: str) -> list[int]:
    """Inserts a row per command, in the transaction of `connection`. Gives their keys."""
    require_app()
    from django_jackfield.outbox.models import WaitingCommand

    now = timezone.now()
    rows = [
        WaitingCommand(
            via=via,
            command_id=command.id,
            method=command.method,
            key=command.key,
            payload=command.payload,
            created_at=now,
        )
        for command in commands
    ]
    manager = WaitingCommand._base_manager.using(connection.alias)
    if len(rows) > 1 and connection.features.can_return_rows_from_bulk_insert:
        manager.bulk_create(rows, batch_size=CHUNK)
    elif len(rows) == 1:
        rows[0].save(force_insert=True, using=connection.alias)
    else:  # MySQL tells the keys of single rows only.
        with transaction.atomic(using=connection.alias):
            for row in rows:
                row.save(force_insert=True, using=connection.alias)
    return [row.pk for row in rows]


def take_out(using: str, keys: Sequence[int]) -> None:
    """Deletes rows whose commands are in the queue."""
    from django_jackfield.outbox.models import WaitingCommand

    connection = connections[using]
    quote, meta = connection.ops.quote_name, WaitingCommand._meta
    for start in range(0, len(keys), CHUNK):
        chunk = keys[start : start + CHUNK]
        # By hand: a queryset makes half of what a row costs. Nothing refers to a row.
        marks = ", ".join(["%s"] * len(chunk))
        with connection.cursor() as cursor:
            cursor.execute(
                f"DELETE FROM {quote(meta.db_table)} WHERE {quote('id')} IN ({marks})",  # noqa: S608
                list(chunk),
            )


def take_out_quietly(using: str, keys: Sequence[int]) -> None:
    """Deletes rows; what stays is sent again by a relay, and dropped by the server."""
    try:
        take_out(using, keys)
    except DatabaseError as error:
        logger.warning("%d sent command(s) stay in the outbox for the relay: %s", len(keys), error)


def wake(connection: Any) -> None:
    """Tells the relays that listen, when this transaction commits; once for each transaction."""
    if not can_notify(connection):
        return
    # The hooks of a transaction are emptied when it ends, and cut where a savepoint is undone.
    if any(hook is _told for _, hook, *_ in connection.run_on_commit):
        return
    with connection.cursor() as cursor:
        cursor.execute(f"NOTIFY {CHANNEL}")
    if connection.in_atomic_block:
        connection.on_commit(_told)


def can_notify(connection: Any) -> bool:
    """Whether NOTIFY reaches a relay: PostgreSQL with psycopg 3."""
    return connection.vendor == "postgresql" and hasattr(connection.Database, "ClientCursor")


def _told() -> None:
    """Marks a transaction as one that has told the relays."""
