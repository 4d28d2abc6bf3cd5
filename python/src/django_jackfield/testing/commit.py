"""What waits for a commit, in a test that never commits."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connections

logger = logging.getLogger("django_jackfield")


@contextmanager
def as_if_committed() -> Iterator[None]:
    """Runs the on_commit callbacks of the block at its end, as the worker's commit would.

    They are gone then: a `captureOnCommitCallbacks` around it does not run them again. Callbacks
    from before the block go on waiting. Where the block raises they are dropped, as by a rollback.
    """
    before = {
        connection.alias: len(connection.run_on_commit)
        for connection in connections.all(initialized_only=True)
    }
    done = False
    try:
        yield
        done = True
    finally:
        for connection in connections.all(initialized_only=True):
            start = before.get(connection.alias, 0)
            while len(connection.run_on_commit) > start:
                callback: Any = connection.run_on_commit.pop(start)
                if done:
                    _run(callback[1], is_robust=callback[2])


def _run(function: Callable[[], Any], *, is_robust: bool) -> None:
    try:
        function()
    except Exception:
        if not is_robust:
            raise
        logger.exception("on_commit callback %r failed", function)
