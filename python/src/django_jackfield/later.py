"""Work that waits for the commit and then must not break anything."""

from __future__ import annotations

import logging
from collections.abc import Callable

from django.db import transaction

from django_jackfield.aliases import brokers
from django_jackfield.errors import JackfieldError

logger = logging.getLogger("django_jackfield")


def after_commit(
    work: Callable[[], object],
    what: str,
    *,
    on_commit: bool | None = None,
    using: str | None = None,
    via: str = "default",
) -> None:
    """Works now (and raises), or after the transaction (and tells what failed in the log)."""
    if not (brokers[via].config.on_commit if on_commit is None else on_commit):
        work()
        return

    def quietly() -> None:
        try:
            work()
        except JackfieldError as error:
            logger.error("%s failed via %r: %s", what, via, error)
        except Exception:
            logger.exception("%s failed via %r", what, via)

    connection = transaction.get_connection(using)
    if connection.in_atomic_block:
        connection.on_commit(quietly, robust=True)
    else:
        quietly()
