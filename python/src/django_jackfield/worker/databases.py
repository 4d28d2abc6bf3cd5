"""Connections to databases, between one message and the next."""

from __future__ import annotations

from django.db import close_old_connections, connections

KEEP_SECONDS = 5.0


def refresh() -> None:
    """Before a message: closes what is broken or too old, as Django does before a request.

    Why not only `close_old_connections`: with CONN_MAX_AGE = 0, the default, each message would
    open a connection of its own, which costs more than most handlers. A thread that goes from one
    message to the next keeps it, for five seconds at most; a thread that waits has none.
    """
    for connection in connections.all(initialized_only=True):
        opened = connection.close_at
        if opened is None or connection.settings_dict["CONN_MAX_AGE"] != 0:
            connection.close_if_unusable_or_obsolete()
            continue
        connection.close_at = opened + KEEP_SECONDS
        try:
            connection.close_if_unusable_or_obsolete()
        finally:
            connection.close_at = opened


def rest() -> None:
    """Before a thread waits for work: closes what is too old, as Django does after a request."""
    close_old_connections()


def leave() -> None:
    """Before a thread ends: closes all that it opened."""
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close()
